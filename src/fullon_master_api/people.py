"""`fullon user`: who may log in, from the machine that holds the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fullon_master_api.errors import GatewayError, NotFound
from fullon_master_api.model import Role, User

if TYPE_CHECKING:  # What takes long to import is imported by the command that needs it: help and TAB do not wait for it.
    from fullon_master_api.apis.orm import Orm
    from fullon_master_api.auth.passwords import Passwords

people = typer.Typer(no_args_is_help=True, help="Who may log in.")

Mail = Annotated[str, typer.Argument(help="Mail address, spelled exactly.")]
Password = Annotated[
    str,
    typer.Option(
        prompt=True, hide_input=True, confirmation_prompt=True, help="8 to 256 characters; asked for where it is not given."
    ),
]


@people.command()
def add(
    mail: Mail,
    password: Password,
    name: Annotated[str, typer.Option(help="First name.")] = "",
    lastname: Annotated[str, typer.Option(help="Family name.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="May do everything.")] = False,
) -> None:
    """Add a user."""

    async def work() -> str:
        async with stores() as (orm, passwords):
            role = Role.ADMIN if admin else Role.USER
            values = {"mail": mail, "name": name, "lastname": lastname, "role": role}
            user = await orm.users.add(None, values, password_hash=await passwords.hash(password))
            return f"added {line(user)}"

    say(work)


@people.command(name="list")
def show(search: Annotated[str, typer.Option(help="Part of a name or mail.")] = "") -> None:
    """List the users."""
    from fullon_master_api.apis.orm.users import UserFilter

    async def work() -> str:
        lines: list[str] = []
        async with stores() as (orm, _):
            after = None
            while True:
                page = await orm.users.page(None, filters=UserFilter(search=search or None), first=500, after=after)
                lines += [line(user) for user in page.rows]
                if not page.has_next:
                    return "\n".join(lines) or "no users"
                after = page.cursors[-1]

    say(work)


@people.command()
def passwd(mail: Mail, password: Password) -> None:
    """Set a password, and end every session of its user."""

    async def work() -> str:
        async with stores() as (orm, passwords):
            user = await known(orm, mail)
            await orm.users.set_password_hash(user.uid, await passwords.hash(password), None)
            return f"changed the password of {line(user)}; every session ended"

    say(work)


@people.command()
def deactivate(mail: Mail) -> None:
    """Refuse a user at once, everywhere; nothing of theirs is removed."""

    async def work() -> str:
        async with stores() as (orm, _):
            user = await known(orm, mail)
            return f"switched off {line(await orm.users.toggle_active(user.uid, None, active=False))}"

    say(work)


@people.command()
def activate(mail: Mail) -> None:
    """Let a user in again."""

    async def work() -> str:
        async with stores() as (orm, _):
            user = await known(orm, mail)
            return f"switched on {line(await orm.users.toggle_active(user.uid, None, active=True))}"

    say(work)


@people.command()
def totp(mail: Mail, off: Annotated[bool, typer.Option("--off", help="Ask for no second factor any more.")] = False) -> None:
    """Ask a user for a second factor from now on: shows a new secret, once, for their authenticator app."""
    from fullon_master_api.auth.totp import new_totp_secret, totp_uri

    async def work() -> str:
        async with stores() as (orm, _):
            user = await known(orm, mail)
            secret = "" if off else new_totp_secret()
            await orm.users.set_totp_secret(user.uid, secret, None)
            if off:
                return f"no second factor is asked of {line(user)}"
            return f"a second factor is asked of {line(user)}\nsecret  {secret}\naddress {totp_uri(secret, user.mail)}"

    say(work)


@asynccontextmanager
async def stores() -> AsyncIterator[tuple[Orm, Passwords]]:
    from fullon_master_api.apis.orm import open_orm
    from fullon_master_api.auth.passwords import open_passwords
    from fullon_master_api.settings import Settings

    settings = Settings()
    if settings.orm_url.startswith("sqlite"):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_orm(settings.orm_url) as orm, open_passwords() as passwords:
        yield orm, passwords


async def known(orm: Orm, mail: str) -> User:
    user = (await orm.users.by_mails([mail], None))[0]
    if user is None:
        raise NotFound(f"no user {mail!r}: `fullon user list` shows all")
    return user


def line(user: User) -> str:
    return f"{user.uid:5} {user.mail:30} {user.role.value:6} {'active' if user.active else 'switched off'}"


def say(work: Callable[[], Coroutine[Any, Any, str]]) -> None:
    """Do it and print what it says; a refusal ends the command with 1 and its words."""
    try:
        typer.echo(asyncio.run(work()))
    except GatewayError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
