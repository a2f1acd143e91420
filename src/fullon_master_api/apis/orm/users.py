"""Users: who they are, what login needs to know of them, and their refresh tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.columns import ID_MAX
from fullon_master_api.apis.orm.database import Database, Write, chunks, may_write, must_be_admin, sees_all
from fullon_master_api.apis.orm.owned import Owned, equal, owned_by
from fullon_master_api.apis.orm.paging import Listing
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import refresh_tokens, users, utc_now
from fullon_master_api.errors import BadUserInput, Conflict, Forbidden, NotFound, TokenExpired, Unauthenticated
from fullon_master_api.model import Principal, Record, Role, User

_OWN_FIELDS: Final = ("name", "lastname", "phone", "id_num")
_FIELDS: Final = (*_OWN_FIELDS, "mail", "role", "note", "manager", "external_id", "active")

_LISTING: Final = Listing(
    "users",
    User,
    users,
    users.c.uid,
    sorts={"uid": users.c.uid, "mail": users.c.mail, "created_at": users.c.created_at, "name": users.c.name},
    default="uid",
)


class Credentials(Record, frozen=True, kw_only=True):
    """What login compares; it never leaves the server."""

    user: User
    password_hash: str
    token_version: int
    totp_secret: str


class PrincipalFacts(Record, frozen=True, kw_only=True):
    """What may have changed since a token was signed."""

    uid: int
    mail: str
    role: Role
    active: bool
    token_version: int


class UserFilter(Record, frozen=True, kw_only=True):
    active: bool | None = None
    role: Role | None = None
    search: str | None = None  # part of a name, last name or mail, in any case


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(users.c.uid, principal)


def may_set_password(principal: Principal | None) -> None:
    """A key would become a login that outlives it. Raises: Forbidden."""
    may_write(principal)
    if principal is not None and principal.api_key_id is not None:
        raise Forbidden("an API key may not set a password: log in")


class Users(Owned[User, UserFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, users.c.uid, _conditions)

    async def by_mails(self, mails: Sequence[str], principal: Principal | None, *, wanted: Wanted = None) -> list[User | None]:
        """User of each mail, spelled exactly."""
        async with self._database.read() as connection:
            return await _LISTING.many(connection, mails, visible(principal), by=users.c.mail, wanted=wanted)

    async def credentials_by_mail(self, mail: str) -> Credentials | None:
        async with self._database.read() as connection:
            statement = _LISTING.select(users.c.mail == mail).add_columns(
                users.c.password_hash, users.c.token_version, users.c.f2a
            )
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        known = dict(row._mapping)
        password_hash, token_version, f2a = known.pop("password_hash"), known.pop("token_version"), known.pop("f2a")
        return Credentials(user=User(**known), password_hash=password_hash, token_version=token_version, totp_secret=f2a)

    async def principal_facts(self, uids: Sequence[int]) -> list[PrincipalFacts | None]:
        """What each request must know of its user; None where there is no such user."""
        columns = [users.c[name] for name in PrincipalFacts.__struct_fields__]
        found: dict[int, PrincipalFacts] = {}
        async with self._database.read() as connection:
            for part in chunks([uid for uid in dict.fromkeys(uids) if 0 <= uid <= ID_MAX]):
                for row in await connection.execute(select(*columns).where(users.c.uid.in_(part))):
                    found[row.uid] = PrincipalFacts(**row._mapping)
        return [found.get(uid) for uid in uids]

    async def add(self, principal: Principal | None, values: Mapping[str, object], *, password_hash: str) -> User:
        """Raises: Forbidden, BadUserInput, Conflict when the mail is taken."""
        must_be_admin(principal)
        row = inputs.checked(users, values, _FIELDS, new=True)
        _check_mail(row["mail"])
        async with self._database.write() as write:
            await _free(write, row["mail"], None)
            uid = await write.connection.scalar(insert(users).values(**row, password_hash=password_hash).returning(users.c.uid))
            await write.audit(principal, "user.add", f"user:{uid}", mail=row["mail"])
            return await _read(write, users.c.uid == uid)

    async def modify(self, uid: int, principal: Principal | None, values: Mapping[str, object]) -> User:
        """Change fields: a user their own name and phone, an admin all of everybody's.

        Raises: NotFound, Forbidden, BadUserInput, Conflict.
        """
        may_write(principal)
        row = inputs.checked(users, values, _FIELDS)
        if principal is not None and principal.uid == uid and principal.role is Role.ADMIN:
            if row.get("active") is False:
                raise BadUserInput("an admin may not switch themself off", path=("active",))
            if row.get("role", Role.ADMIN) is not Role.ADMIN:
                raise BadUserInput("an admin may not take the role from themself", path=("role",))
        if not sees_all(principal):
            await self._must_see(uid, principal)
            denied = next((name for name in row if name not in _OWN_FIELDS), None)
            if denied is not None:
                raise Forbidden(f"only an admin may change {denied}", path=(denied,))
        if "mail" in row:
            _check_mail(row["mail"])
        async with self._database.write() as write:
            if "mail" in row:
                await _free(write, row["mail"], uid)
            if row:
                await write.connection.execute(update(users).where(users.c.uid == uid, visible(principal)).values(**row))
            user = await _read(write, users.c.uid == uid, visible(principal))
            await write.audit(principal, "user.modify", f"user:{uid}", fields=sorted(row))
            return user

    async def set_password_hash(self, uid: int, password_hash: str, principal: Principal | None) -> None:
        """Set the password and end every session of the user. Raises: NotFound, Forbidden."""
        may_set_password(principal)
        async with self._database.write() as write:
            await _end_sessions(write, uid, visible(principal), password_hash=password_hash)
            await write.audit(principal, "user.password", f"user:{uid}")

    async def rehash_password(self, uid: int, password_hash: str, *, token_version: int) -> None:
        """Keep the same password under newer parameters, unless a new one was set since; sessions go on."""
        async with self._database.write() as write:
            same = update(users).where(users.c.uid == uid, users.c.token_version == token_version)
            await write.connection.execute(same.values(password_hash=password_hash))

    async def spend_totp_step(self, uid: int, step: int) -> bool:
        """Whether no code of this time step, nor of a later one, was used before; from now on one was."""
        async with self._database.write() as write:
            statement = update(users).where(users.c.uid == uid, users.c.totp_step < step).values(totp_step=step)
            return (await write.connection.execute(statement)).rowcount == 1

    async def set_totp_secret(self, uid: int, secret: str, principal: Principal | None) -> None:
        """Set the second factor, empty for none. Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            values = {"f2a": inputs.text("f2a", secret, 64), "totp_step": 0}
            statement = update(users).where(users.c.uid == uid, visible(principal)).values(**values)
            if (await write.connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no user {uid}")
            await write.audit(principal, "user.totp", f"user:{uid}", on=bool(secret))

    async def toggle_active(self, uid: int, principal: Principal | None, *, active: bool | None = None) -> User:
        """Switch a user off or on, or set it. Raises: Forbidden, NotFound; BadUserInput when an admin would lock themself out."""
        must_be_admin(principal)
        if principal is not None and principal.uid == uid:
            raise BadUserInput("an admin may not switch themself off", path=("uid",))
        async with self._database.write() as write:
            user = await _read(write, users.c.uid == uid)
            wanted = not user.active if active is None else active
            await write.connection.execute(update(users).where(users.c.uid == uid).values(active=wanted))
            await write.audit(principal, "user.active", f"user:{uid}", active=wanted)
            return await _read(write, users.c.uid == uid)

    async def remove(self, uid: int, principal: Principal | None) -> User:
        """Remove a user who never traded, with their bots and accounts.

        Raises: Forbidden, NotFound; Conflict when there are orders or trades: those stay, switch the user off instead.
        """
        must_be_admin(principal)
        if principal is not None and principal.uid == uid:
            raise BadUserInput("an admin may not remove themself", path=("uid",))
        async with self._database.write() as write:
            user = await _read(write, users.c.uid == uid)
            await write.connection.execute(delete(users).where(users.c.uid == uid))
            await write.audit(principal, "user.remove", f"user:{uid}", mail=user.mail)
            return user

    async def _must_see(self, uid: int, principal: Principal | None) -> None:
        if (await self.get_many([uid], principal))[0] is None:
            raise NotFound(f"no user {uid}")

    # ---- refresh tokens ------------------------------------------------------------------------------------------------

    async def add_refresh_token(
        self, uid: int, token_hash: str, *, family: str, expires_at: datetime, token_version: int
    ) -> None:
        """Keep a token's hash; all tokens that come of one login are a family.

        Raises: Unauthenticated where the user was switched off or got a new password since `token_version` was read.
        """
        same = select(users.c.uid).where(users.c.uid == uid, users.c.active, users.c.token_version == token_version)
        row = {"uid": uid, "token_hash": token_hash, "family": family, "expires_at": expires_at}
        async with self._database.write() as write:
            if await write.connection.scalar(same.with_for_update()) is None:
                raise Unauthenticated("Invalid credentials")
            await write.connection.execute(insert(refresh_tokens).values(**row))

    async def rotate_refresh_token(self, token_hash: str, new_hash: str, *, expires_at: datetime) -> PrincipalFacts:
        """Spend a token for a new one of its family; answers whose it is.

        A token that was spent before is in two hands, so its whole family ends.
        Raises: Unauthenticated, TokenExpired.
        """
        async with self._database.write() as write:
            row, known = await _token(write, token_hash)
            stolen = row is not None and row.used_at is not None
            if row is not None and not stolen and known is not None and row.revoked_at is None and row.expires_at > utc_now():
                spent = update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(used_at=utc_now())
                await write.connection.execute(spent)
                new = {"uid": row.uid, "token_hash": new_hash, "family": row.family, "expires_at": expires_at}
                await write.connection.execute(insert(refresh_tokens).values(**new))
                return known
            if row is not None and stolen:
                await _revoke(write, refresh_tokens.c.family == row.family)
        if row is not None and not stolen and row.revoked_at is None and known is not None:
            raise TokenExpired("the refresh token is over: log in again")
        raise Unauthenticated("the refresh token is not valid")

    async def revoke_refresh_family(self, token_hash: str) -> None:
        """End the login that a token came of; an unknown token ends nothing."""
        families = select(refresh_tokens.c.family).where(refresh_tokens.c.token_hash == token_hash)
        async with self._database.write() as write:
            await _revoke(write, refresh_tokens.c.family.in_(families))

    async def prune_refresh_tokens(self) -> int:
        """Forget the tokens whose time is over; answers how many."""
        async with self._database.write() as write:
            statement = delete(refresh_tokens).where(refresh_tokens.c.expires_at < utc_now())
            return (await write.connection.execute(statement)).rowcount


def _conditions(filters: UserFilter) -> list[ColumnElement[bool]]:
    where = equal(users, filters, ("active", "role"))
    if filters.search:
        part = inputs.text("search", filters.search, 80)
        where.append(or_(*(users.c[name].icontains(part, autoescape=True) for name in ("name", "lastname", "mail"))))
    return where


def _check_mail(mail: str) -> None:
    if not mail or mail != mail.strip() or mail.count("@") != 1 or mail.startswith("@") or mail.endswith("@"):
        raise BadUserInput(f"mail was {mail!r}, must be as name@host", path=("mail",))


async def _free(write: Write, mail: str, uid: int | None) -> None:
    """A mail that differs only in case would be another login for what a person takes for the same."""
    await write.lock(f"mail {mail.lower()}")
    taken = await write.connection.scalar(select(users.c.uid).where(func.lower(users.c.mail) == mail.lower()))
    if taken is not None and taken != uid:
        raise Conflict(f"the mail {mail!r} is taken", path=("mail",))


async def _read(write: Write, *where: ColumnElement[bool]) -> User:
    user = await _LISTING.one(write.connection, *where)
    if user is None:
        raise NotFound("no such user")
    return user


async def _end_sessions(write: Write, uid: int, where: ColumnElement[bool], **values: Any) -> None:
    statement = update(users).where(users.c.uid == uid, where).values(token_version=users.c.token_version + 1, **values)
    if (await write.connection.execute(statement)).rowcount == 0:
        raise NotFound(f"no user {uid}")
    await _revoke(write, refresh_tokens.c.uid == uid)


async def _revoke(write: Write, where: ColumnElement[bool]) -> None:
    statement = update(refresh_tokens).where(where, refresh_tokens.c.revoked_at.is_(None)).values(revoked_at=utc_now())
    await write.connection.execute(statement)


async def _token(write: Write, token_hash: str) -> tuple[Any, PrincipalFacts | None]:
    """The token's row, locked, and its user's facts while the user is active."""
    statement = select(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).with_for_update()
    row = (await write.connection.execute(statement)).first()
    if row is None:
        return None, None
    columns = [users.c[name] for name in PrincipalFacts.__struct_fields__]
    user = (await write.connection.execute(select(*columns).where(users.c.uid == row.uid, users.c.active))).first()
    return row, None if user is None else PrincipalFacts(**user._mapping)
