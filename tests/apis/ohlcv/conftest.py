"""The candle store in both shapes: an SQLite file, a PostgreSQL database, each empty for every test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from fullon_master_api.apis.ohlcv import OhlcvStore, open_ohlcv
from tests.apis.ohlcv.servers import postgres_server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
async def ohlcv_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'ohlcv.db'}"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"ohlcv_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(f"{server}/postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    yield f"{server.replace('postgresql://', 'postgresql+asyncpg://')}/{name}"
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def store(ohlcv_url: str) -> AsyncIterator[OhlcvStore]:
    async with open_ohlcv(ohlcv_url, pool_size=4) as opened:
        yield opened
