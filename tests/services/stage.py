"""A small platform for the tests of the services: real stores in a folder, a real bus, a paper exchange where it is wanted."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.apis.orm.database import Hint
from fullon_master_api.bus import Bus, open_bus
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.model import Fence, ServiceName, Symbol
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.resources import Resources, exchange_opener
from fullon_master_api.services.runner import ServiceFactory
from fullon_master_api.settings import Settings

T = TypeVar("T")

LEASE_S = 60.0
"""No machine stands still for so long: a test in which a lease ends says when."""
WITHIN_S = 90.0
"""Whatever is waited for comes within this, or the test fails: a limit, not a wait."""


def settings_of(folder: Path, **values: object) -> Settings:
    """Settings of a test: nothing of the environment's `.env`, short waits."""
    known: dict[str, object] = {"data_dir": folder, "lease_ttl_s": LEASE_S, "service_wait_s": 60.0, "ticker_reconnect_delay": 0.1}
    return Settings(_env_file=None, **(known | values))  # type: ignore[arg-type]


@asynccontextmanager
async def open_platform(folder: Path, **values: object) -> AsyncGenerator[Resources, None]:
    """Everything the services work with: SQLite files of this folder and one process, unless the values name servers."""
    settings = settings_of(folder, **values)
    async with open_bus(settings.bus_url) as bus:

        async def hint(topic: str, sequence: int) -> None:
            bus.hint(topic, sequence)

        async with _stores(settings, bus, hint) as resources:
            yield resources


@asynccontextmanager
async def _stores(settings: Settings, bus: Bus, hint: Hint) -> AsyncGenerator[Resources, None]:
    async with (
        open_orm(settings.orm_url, hint=hint, credentials_key=_key_of(settings)) as orm,
        open_ohlcv(settings.ohlcv_url) as ohlcv,
        open_cache(bus, settings.bus_url) as cache,
    ):
        yield Resources(orm=orm, ohlcv=ohlcv, cache=cache, bus=bus, settings=settings, open_exchange=exchange_opener(settings))


async def list_symbols(resources: Resources, names: Sequence[str], exchange: str = "kraken", **values: object) -> list[Symbol]:
    """Put an exchange with these symbols into the catalogue."""
    known = await resources.orm.exchanges.by_names([exchange])
    row = known[0] or await resources.orm.exchanges.install(None, exchange)
    fields = {"cat_ex_id": row.cat_ex_id, "backtest": 1} | values
    return [await resources.orm.symbols.add(None, fields | {"symbol": name}) for name in names]


async def until(look: Callable[[], Awaitable[T]], *, within_s: float = WITHIN_S) -> T:
    """The first answer of `look` that is true; fails when there is none in time."""
    end = time.monotonic() + within_s
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < end, f"still {found!r} after {within_s} s"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(resources: Resources, name: ServiceName, factory: ServiceFactory) -> AsyncGenerator[FeedBoard, None]:
    """The service alone, under a lease of its own; an error of it is raised, and it must end when it is cancelled."""
    epochs = await resources.orm.services.claim([name.value], "test", 600.0)
    board = FeedBoard()
    service = factory(Fence(service=name.value, epoch=epochs[name.value]), board)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(service.run())
        yield board
        task.cancel()
    await resources.orm.services.release("test", epochs)


def _key_of(settings: Settings) -> str | None:
    return settings.credentials_key.get_secret_value() if settings.credentials_key is not None else None


def without_streams(resources: Resources, *, but: Sequence[str] = ()) -> Resources:
    """The same, over exchanges that cannot stream anything `but` these: all else is read over REST."""

    def open_named(name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter:
        adapter = resources.open_exchange(name, credentials)
        names = {field for field in adapter.capabilities.__struct_fields__ if field.startswith("stream_")}
        streams = dict.fromkeys(names - set(but), False)
        adapter.capabilities = msgspec.structs.replace(adapter.capabilities, **streams)
        return adapter

    return dataclasses.replace(resources, open_exchange=open_named)


@asynccontextmanager
async def locked(file: Path) -> AsyncGenerator[None, None]:
    """Hold SQLite's write lock of a file, so that nobody else can write; it is waited for beside the event loop."""

    def lock() -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None, timeout=20.0, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    connection = await asyncio.to_thread(lock)
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()
