"""The command `fullon`.

What takes long to import is imported by the command that needs it: help and TAB do not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fullon_master_api.documents import documents
from fullon_master_api.errors import GatewayError
from fullon_master_api.explaining import explain_command
from fullon_master_api.files import export_command, import_command
from fullon_master_api.people import people
from fullon_master_api.terminal.services import services_command
from fullon_master_api.terminal.watch import watch_command

if TYPE_CHECKING:
    from fullon_master_api.app import MasterGateway
    from fullon_master_api.settings import Settings

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
migrations = typer.Typer(no_args_is_help=True, help="Bring the SQL stores to another version of their tables.")
cli.add_typer(migrations, name="migrate")
cli.add_typer(people, name="user")
cli.add_typer(documents, name="documents")
cli.command("import")(import_command)
cli.command("export")(export_command)
cli.command("explain")(explain_command)
cli.command("watch")(watch_command)
cli.command("services")(services_command)

Speed = Annotated[float, typer.Option(help="How many times faster than recorded.", min=0.001)]
Updates = Annotated[
    float, typer.Option(help="Changes of a generated symbol's ticker each second, in the mean.", min=0.01, max=1_000)
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fullon-master-api {version('fullon-master-api')}")
        raise typer.Exit


@cli.callback()
def start(
    shown: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the installed version and exit.")
    ] = False,
) -> None:
    """Fullon Master API: GraphQL, subscriptions and REST over the Fullon trading platform."""


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. By default HOST, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. By default PORT, 8000.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve together. By default WORKERS, 1.", min=1)] = None,
) -> None:
    """Serve the gateway, with the settings of the environment and `.env`.

    Without REDIS_URL this process also runs the collecting services; with it they run in `fullon worker`.
    """
    from fullon_master_api.__main__ import serve as serve_process
    from fullon_master_api.transport.workers import Workers

    settings = read_settings()
    given = {name: value for name, value in (("host", host), ("port", port), ("workers", workers)) if value is not None}
    settings = settings.model_copy(update=given)
    weak = settings.weak_secret()
    if weak is not None:
        raise SystemExit(
            f"{weak}: set it to at least 32 random bytes, as\n"
            "  export JWT_SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(48))')"
        )
    if settings.workers > 1 and (reason := settings.not_scalable()):
        raise SystemExit(f"WORKERS is {settings.workers}: {reason}")
    start_logs(settings)
    listener = listen(settings.host, settings.port)
    url = f"http://{settings.host}:{listener.getsockname()[1]}"
    if settings.workers > 1:
        raise SystemExit(Workers(serve_in_process, listener, settings.workers).run())

    async def ready(_gateway: MasterGateway) -> None:
        typer.echo(f"Ready: {url}")

    run(serve_process(settings, listener, ready), settings)


def serve_in_process(listener: socket.socket, number: int) -> None:
    """What each of several serving processes does. The socket answers from when the first of them is ready."""
    from fullon_master_api.__main__ import serve as serve_process

    settings = read_settings()
    start_logs(settings)
    host, port = listener.getsockname()[:2]

    async def ready(_gateway: MasterGateway) -> None:
        if number == 0:
            typer.echo(f"Ready: http://{host}:{port}")
            sys.stdout.flush()

    run(serve_process(settings, listener, ready), settings)
    logging.shutdown()
    os._exit(0)  # All is closed. Taking a large interpreter apart would cost seconds of the stop's time.


@cli.command()
def worker() -> None:
    """Run the collecting services, for servers that share a PostgreSQL and a Redis; any number may stand by."""
    from fullon_master_api.__main__ import work as work_process

    settings = read_settings()
    if reason := settings.not_scalable():
        raise SystemExit(f"a worker of its own makes no sense here: {reason}; `fullon serve` collects by itself")
    start_logs(settings)

    async def ready(gateway: MasterGateway) -> None:
        typer.echo(f"Ready: {gateway.supervisor.owner}")

    run(work_process(settings, ready), settings)


@cli.command()
def paper(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    replay: Annotated[
        Path | None, typer.Option(help="Replay recorded trades (CSV or Parquet) instead of generated ones.", exists=True)
    ] = None,
    replay_symbol: Annotated[str, typer.Option(help="The symbol of the recording.")] = "BTC/USDT",
    speed: Speed = 1.0,
    markets: Annotated[int, typer.Option(help="How many of its markets move.", min=1, max=100)] = 8,
    updates_per_s: Updates = 4.0,
    key: Annotated[str | None, typer.Option(help="Key of an account.", envvar="PAPER_KEY")] = None,
    secret: Annotated[str | None, typer.Option(help="Its secret, base64.", envvar="PAPER_SECRET")] = None,
) -> None:
    """Run a paper exchange by itself: a local server that speaks Kraken's wire protocol."""
    from fullon_master_api.demo import BALANCES, paper_source
    from fullon_master_api.exchanges.paper import PaperOptions, open_paper

    settings = read_settings()
    start_logs(settings)
    source = paper_source(replay, symbol=replay_symbol, speed=speed, markets=markets, updates_per_s=updates_per_s)

    async def serve_paper() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with open_paper(PaperOptions(host="127.0.0.1", port=port, source=source)) as exchange:
            if key and secret:
                exchange.add_account(key, secret, BALANCES)
            typer.echo(f"Ready: {exchange.url}")
            await stop.wait()

    run(serve_paper(), settings)


@cli.command()
def demo(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", envvar="PORT")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Folder for the demo's data.", envvar="DATA_DIR")] = Path(".fullon"),
    replay: Annotated[
        Path | None, typer.Option(help="Replay recorded trades (CSV or Parquet) instead of generated ones.", exists=True)
    ] = None,
    replay_symbol: Annotated[str, typer.Option(help="The symbol of the recording.")] = "BTC/USDT",
    speed: Speed = 1.0,
    markets: Annotated[
        int | None, typer.Option(help="How many symbols of the paper exchange. By default the four of the demo.", min=4, max=100)
    ] = None,
    updates_per_s: Updates = 4.0,
) -> None:
    """Start everything on this machine: a paper exchange, demo users and bots, the gateway and the services."""
    from fullon_master_api.__main__ import serve as serve_process
    from fullon_master_api.demo import ADMIN_MAIL, PASSWORD, TRADER_MAIL, open_demo, paper_source, symbols_without_ticker

    listener = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    source = paper_source(replay, symbol=replay_symbol, speed=speed, markets=markets, updates_per_s=updates_per_s)

    async def ready(gateway: MasterGateway) -> None:
        if late := await symbols_without_ticker(gateway, source):
            typer.echo(f"No ticker yet of {', '.join(late)}: their prices come once the ticker service has them.")
        typer.echo(BANNER.format(url=url, admin=ADMIN_MAIL, trader=TRADER_MAIL, password=PASSWORD))
        sys.stdout.flush()

    async def start() -> None:
        async with open_demo(source, port=port, data_dir=data_dir, markets=markets) as settings:
            await serve_process(settings, listener, ready)

    settings = read_settings()
    start_logs(settings)
    run(start(), settings)


BANNER = """
  GraphiQL   {url}/graphql
  REST docs  {url}/docs
  REST       {url}/api/v1
  health     {url}/health

  admin      {admin} / {password}
  trader     {trader} / {password}

Ready: {url}"""


@cli.command()
def token(
    user_id: Annotated[int, typer.Argument(help="The user's number.")],
    minutes: Annotated[int | None, typer.Option(help="Life of the token. By default JWT_EXPIRATION_MINUTES.")] = None,
) -> None:
    """Print an access token of a user, signed with this environment's JWT_SECRET_KEY."""
    from fullon_master_api.auth.jwt import create_access_token

    settings = read_settings()
    weak = settings.weak_secret()
    if weak is not None:
        raise SystemExit(f"{weak}: set JWT_SECRET_KEY to the server's own secret")
    typer.echo(create_access_token(user_id, expires_in_s=minutes * 60 if minutes else None, settings=settings))


@cli.command()
def schema(
    against: Annotated[
        Path | None, typer.Option(help="Print instead what changed since this SDL; exit with 1 where clients break.", exists=True)
    ] = None,
) -> None:
    """Print the GraphQL schema."""
    from fullon_master_api.schema import build_schema
    from fullon_master_api.schema.differences import Impact, schema_changes

    printed = build_schema().as_str()
    if against is None:
        typer.echo(printed)
        return
    changes = schema_changes(against.read_text(encoding="utf-8"), printed)
    typer.echo("\n".join(map(str, changes)) or "nothing that a client would notice")
    if any(change.impact is Impact.BREAKING for change in changes):
        raise SystemExit(1)


@migrations.command()
def up() -> None:
    """Bring both stores to the newest version."""
    from fullon_master_api.apis.ohlcv import open_ohlcv
    from fullon_master_api.apis.orm import migrate as orm_migrate

    async def work() -> None:
        typer.echo(f"users, orders, bots: {await orm_migrate.upgrade(settings.orm_url)}")
        async with open_ohlcv(settings.ohlcv_url, migrate=True):
            typer.echo("candles, trades: up to date")

    settings = read_settings()
    run(work(), settings)


@migrations.command()
def down() -> None:
    """Take the store of users, orders and bots one version back."""
    from fullon_master_api.apis.orm import migrate as orm_migrate

    settings = read_settings()

    async def work() -> None:
        typer.echo(f"users, orders, bots: {await orm_migrate.downgrade(settings.orm_url)}")

    run(work(), settings)


@migrations.command()
def status() -> None:
    """Say which version the store of users, orders and bots has."""
    from fullon_master_api.apis.orm import migrate as orm_migrate

    settings = read_settings()

    async def work() -> None:
        found = await orm_migrate.current(settings.orm_url)
        newest = orm_migrate.revisions()[-1]
        typer.echo(f"users, orders, bots: {found or 'no tables'}, newest is {newest}")

    run(work(), settings)


@migrations.command()
def credentials() -> None:
    """Seal every exchange key anew with the first CREDENTIALS_KEY; the older ones may go then."""
    from fullon_master_api.apis.orm import open_orm

    settings = read_settings()
    key = settings.credentials_key.get_secret_value() if settings.credentials_key else None

    async def work() -> None:
        async with open_orm(settings.orm_url, credentials_key=key) as orm:
            typer.echo(f"sealed anew: {await orm.accounts.rotate_credentials()}")

    run(work(), settings)


def read_settings() -> Settings:
    """The settings of this environment; a bad one ends the command with what was found and what is allowed."""
    from fullon_master_api.settings import Settings

    try:
        return Settings()
    except ValueError as error:
        raise SystemExit(f"the settings are not valid: {error}") from error


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; an address that is taken ends the command with what to do."""
    from fullon_master_api.transport.server import bind_socket

    try:
        return bind_socket(host, port)
    except GatewayError as error:
        raise SystemExit(f"error: {error}") from None


def start_logs(settings: Settings) -> None:
    """As the settings `LOG_*` say."""
    from fullon_master_api.logs import configure_logs

    configure_logs(
        level=settings.log_level,
        json=settings.log_format == "json",
        colors=settings.log_colors,
        console=settings.log_console,
        file=settings.log_file_path,
        rotation=settings.log_rotation,
        retention=settings.log_retention,
    )


def run(work: Coroutine[Any, Any, None], settings: Settings) -> None:
    """Run to the end. What we named ends the command with its message, the unknown with its traceback; both with 1."""
    factory = None
    if settings.uvloop_enabled and sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work)
    except GatewayError as error:
        raise SystemExit(f"error: {error}") from None
    except BaseExceptionGroup as group:
        named, others = group.split(GatewayError)
        if others is not None or named is None:
            raise
        raise SystemExit("\n".join(f"error: {error}" for error in flat(named))) from None


def flat(errors: BaseExceptionGroup[GatewayError]) -> list[GatewayError]:
    """The single errors of a group of groups."""
    found: list[GatewayError] = []
    for error in errors.exceptions:
        found += flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main() -> None:
    cli()
