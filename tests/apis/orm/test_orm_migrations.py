"""Migrations: up from nothing, up from every revision with data, down, and equal to the tables."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from fullon_master_api.apis.orm import migrate, open_orm
from fullon_master_api.apis.orm.schema import metadata
from fullon_master_api.errors import BadUserInput, StoreUnavailable
from tests.apis.orm.conftest import STORES
from tests.servers import drop_database, new_database

SEED = {
    "0001": "INSERT INTO cat_exchanges (name, ohlcv_view) VALUES ('kraken', '')",
    "0002": "INSERT INTO cat_strategies (name, pre_load_bars, feeds, pairs) VALUES ('kept', 200, 2, false)",
}


@pytest.fixture(params=STORES)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[str, None]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'deep' / 'orm.db'}"
        return
    server: str = request.getfixturevalue("postgres_server")
    url = await new_database(server)
    yield url
    await drop_database(server, url)


async def run(url: str, *statements: str) -> list[object]:
    engine = create_async_engine(url)
    found: list[object] = []
    async with engine.begin() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
            found += [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return found


async def test_migrations_make_exactly_the_tables_that_the_code_uses(empty_url: str) -> None:
    await migrate.upgrade(empty_url)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return list(compare_metadata(context, metadata))

    engine = create_async_engine(empty_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert found == []


async def test_data_of_every_earlier_revision_survives_the_way_up_and_one_step_down(empty_url: str) -> None:
    for revision in migrate.revisions():
        assert await migrate.upgrade(empty_url, revision) == revision
        if revision in SEED:
            await run(empty_url, SEED[revision])
    rows = await run(empty_url, "SELECT name FROM cat_exchanges", "SELECT name FROM cat_strategies")
    assert rows == [("kraken",), ("kept",)]
    *_, before, newest = migrate.revisions()
    assert await migrate.downgrade(empty_url) == before
    assert await run(empty_url, "SELECT name FROM cat_exchanges") == [("kraken",)]
    assert await migrate.upgrade(empty_url) == newest
    assert await migrate.downgrade(empty_url, "base") is None
    assert await migrate.current(empty_url) is None


async def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    import asyncio

    newest = migrate.revisions()[-1]
    assert await asyncio.gather(*(migrate.upgrade(empty_url) for _ in range(4))) == [newest] * 4


async def test_an_old_schema_is_refused_with_what_to_do(empty_url: str) -> None:
    await migrate.upgrade(empty_url, "0001")
    with pytest.raises(StoreUnavailable, match="fullon migrate up"):
        async with open_orm(empty_url, migrate_up=False):
            pass
    with pytest.raises(BadUserInput):
        await migrate.upgrade(empty_url, "nonsense")
    async with open_orm(empty_url) as orm:
        await orm.ping()


async def test_a_store_that_is_away_is_unavailable_and_not_a_fault() -> None:
    with pytest.raises(StoreUnavailable):
        async with open_orm("postgresql+asyncpg://postgres@127.0.0.1:1/none"):
            pass


async def test_a_schema_of_a_newer_version_is_refused(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    await run(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="newer"):
        await migrate.upgrade(empty_url)
    with pytest.raises(StoreUnavailable, match="9999"):
        await migrate.check_current(empty_url)
