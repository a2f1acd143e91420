"""Bringing the SQL schema up, down, and saying where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event, func, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from fullon_master_api.apis.orm.database import begin_immediate, prepare_sqlite
from fullon_master_api.apis.orm.failures import translated
from fullon_master_api.errors import BadUserInput, StoreUnavailable

SCRIPTS: Final = Path(__file__).parent / "migrations"
LOCK: Final = "fullon migrations"

T = TypeVar("T")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Every revision, oldest first."""
    walk = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in walk][::-1]


async def upgrade(url: str, revision: str = "head") -> str | None:
    """Bring the schema up to `revision`; answers the revision it is at. Several processes may do so at once."""
    _known(revision, "head")

    def up(connection: Connection) -> str | None:
        command.upgrade(_config(connection), revision)
        return _revision(connection)

    return await _run(url, up, change=True)


async def downgrade(url: str, revision: str = "-1") -> str | None:
    """Take the schema down to `revision`, by default one step; answers the revision it is at, None when it is empty."""
    _known(revision, "-1", "base")

    def down(connection: Connection) -> str | None:
        command.downgrade(_config(connection), revision)
        return _revision(connection)

    return await _run(url, down, change=True)


async def current(url: str) -> str | None:
    """The revision the schema is at, None when it is empty."""
    return await _run(url, _revision, change=False)


async def check_current(url: str) -> None:
    """Raises: StoreUnavailable when the schema is not at the newest revision."""
    at, newest = await current(url), revisions()[-1]
    if at != newest:
        raise StoreUnavailable(f"the SQL schema is at {at or 'nothing'}, this version needs {newest}: run `fullon migrate up`")


def _known(revision: str, *words: str) -> None:
    if revision not in words and revision not in revisions():
        raise BadUserInput(f"revision was {revision!r}, must be {', '.join(words)} or one of {', '.join(revisions())}")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def _run(url: str, work: Callable[[Connection], T], *, change: bool) -> T:
    """Do the work in one transaction that no other migration shares; it is undone whole if it fails."""
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    if make_url(url).get_backend_name() == "sqlite":
        database = make_url(url).database
        assert database, "a SQLite store is a file"
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
        if change:
            event.listen(engine.sync_engine, "begin", begin_immediate)
    try:
        with translated():
            return await _locked(engine, work, change=change)
    except CommandError as error:  # The store is at a revision that this version has not got.
        raise StoreUnavailable("the SQL schema is newer than this version: run the version that made it") from error
    finally:
        await engine.dispose()


async def _locked(engine: AsyncEngine, work: Callable[[Connection], T], *, change: bool) -> T:
    async with engine.begin() as connection:
        if change and engine.dialect.name == "postgresql":
            await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(LOCK, 0))))
        return await connection.run_sync(work)
