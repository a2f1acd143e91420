"""`fullon explain`: how an operation is executed, and what a run of it did."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fullon_master_api.errors import GatewayError, NotFound
from fullon_master_api.model import Principal, Role, Scope

if TYPE_CHECKING:  # What takes long to import is imported by the command that needs it: help and TAB do not wait for it.
    from fullon_master_api.app import MasterGateway
    from fullon_master_api.executor.engine import Engine, Prepared


def explain_command(
    query: Annotated[str, typer.Argument(help="A GraphQL operation, or - for standard input.")],
    run_it: Annotated[bool, typer.Option("--run", help="Run it on the stores of the settings; queries only.")] = False,
    mail: Annotated[str, typer.Option("--as", help="Whose rights it is run with; an admin's where it is not given.")] = "",
) -> None:
    """Print how an operation will be executed: its levels and the resolvers that are called once each.

    With --run also what the run did: rows, times, and the statements without their values.
    """
    from fullon_master_api.executor.engine import DocumentError, Engine
    from fullon_master_api.schema import build_schema

    engine = Engine(build_schema())
    try:
        prepared = engine.prepare(sys.stdin.read() if query == "-" else query)
        typer.echo(engine.explain(prepared), nl=not run_it)
    except DocumentError as error:
        raise SystemExit("\n".join(f"error: {found.message}" for found in error.errors)) from None
    if not run_it:
        return
    if prepared.kind.value != "query":
        raise SystemExit(f"error: only a query is run, this is a {prepared.kind.value}")
    try:
        asyncio.run(_run(engine, prepared, mail))
    except GatewayError as error:
        raise SystemExit(f"error: {error}") from None


async def _run(engine: Engine, prepared: Prepared, mail: str) -> None:
    import msgspec

    from fullon_master_api.app import open_gateway
    from fullon_master_api.executor.explain import explanation_text
    from fullon_master_api.resolvers.context import Context
    from fullon_master_api.settings import Settings

    async with open_gateway(Settings()) as gateway:
        context = Context(gateway.stores, await _principal_of(gateway, mail), "explain")
        answer = msgspec.json.decode((await engine.execute(prepared, None, context, explained=True)).body)
    typer.echo(explanation_text(answer["extensions"]["explain"]), nl=False)
    for fault in answer.get("errors", ()):
        typer.echo(f"error: {fault['message']}")


async def _principal_of(gateway: MasterGateway, mail: str) -> Principal:
    """The user of that mail with all rights of their role; an admin who is no user where none is given. Raises NotFound."""
    if not mail:
        return Principal(uid=0, mail="", role=Role.ADMIN, scopes=frozenset(Scope))
    (user,) = await gateway.stores.orm.users.by_mails([mail], None)
    if user is None:
        raise NotFound(f"no user has the mail {mail!r}")
    scopes = frozenset(Scope) if user.role is Role.ADMIN else frozenset({Scope.READ, Scope.WRITE})
    return Principal(uid=user.uid, mail=user.mail, role=user.role, scopes=scopes)
