"""The services over PostgreSQL and Redis: two processes' worth of stores, one owner, and a Redis that dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import Order, OrderStatus, Principal, Role, Scope, ServiceName, ServiceState
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.supervisor import Supervisor
from fullon_master_api.services.wiring import build_manager, build_supervisor
from tests.bus.redis_server import RedisServer
from tests.servers import new_database, postgres_server
from tests.services.stage import list_symbols, open_platform, until

__all__ = ["postgres_server"]

SYMBOL = "BTC/USD"
ADMIN = Principal(uid=1, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
RUN = (ServiceName.TICKER, ServiceName.OHLCV, ServiceName.ACCOUNT)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    source = GeneratedSource(symbols=(SYMBOL,), history_hours=0.05, updates_per_s=20.0)
    async with open_paper(PaperOptions(source=source)) as exchange:
        yield exchange


@pytest.fixture
async def values(postgres_server: str, redis: RedisServer, paper: PaperExchange) -> dict[str, object]:
    return {
        "database_url": await new_database(postgres_server),
        "ohlcv_database_url": await new_database(postgres_server),
        "redis_url": redis.url,
        "exchange_urls": {"kraken": paper.url},
        "db_pool_size": 5,
    }


@asynccontextmanager
async def host(folder: Path, values: dict[str, object]) -> AsyncGenerator[tuple[Resources, Supervisor], None]:
    """One process's worth: stores and bus of its own, and a supervisor over them."""
    async with open_platform(folder, **values) as resources:
        supervisor = build_supervisor(resources)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            yield resources, supervisor
            supervisor.stop()


async def ticks(resources: Resources, since_ns: int) -> bool:
    ticker = (await resources.cache.tickers.get_many([("kraken", SYMBOL)]))[0]
    return ticker is not None and ticker.received_ns > since_ns


async def test_one_of_two_hosts_collects_for_both_and_the_other_takes_over(tmp_path: Path, values: dict[str, object]) -> None:
    async with open_platform(tmp_path, **values) as resources:
        await list_symbols(resources, [SYMBOL])
        user = await resources.orm.users.add(None, {"mail": "trader@fullon", "name": "T"}, password_hash="x")
        exchange = (await resources.orm.exchanges.by_names(["kraken"]))[0]
        assert exchange is not None
        account = await resources.orm.accounts.add(None, {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"})

        async def filled_dry() -> None:
            """An order placed here is filled by whoever owns the account service."""
            order = await resources.orm.orders.place(
                None,
                {
                    "uid": user.uid,
                    "ex_id": account.ex_id,
                    "symbol": SYMBOL,
                    "side": "buy",
                    "order_type": "market",
                    "volume": Decimal("0.1"),
                },
            )

            async def filled() -> Order | None:
                found = (await resources.orm.orders.get_many([order.order_id], None))[0]
                return found if found is not None and found.status is OrderStatus.FILLED else None

            await until(filled)

        async with host(tmp_path, values) as (first, owner), host(tmp_path, values) as (_second, other):
            manager = build_manager(resources)
            for name in RUN:
                assert (await manager.start(name, ADMIN)).state is ServiceState.RUNNING
            await until(lambda: ticks(resources, 0))
            await filled_dry()
            held = [dict(supervisor.held) for supervisor in (owner, other)]
            assert sorted(len(leases) for leases in held) in ([0, 4], [1, 3], [2, 2])
            assert not held[0].keys() & held[1].keys()
            epochs = {row.name: row.epoch for row in await manager.get_all()}
            taken = list(owner.held)
            owner.stop()

            async def taken_over() -> bool:
                rows = {row.name: row for row in await manager.get_all()}
                return all(rows[name].owner == other.owner and rows[name].epoch == epochs[name] + 1 for name in taken) and all(
                    rows[name].state is ServiceState.RUNNING for name in RUN
                )

            await until(taken_over)
            now_ns = time.time_ns()
            await until(lambda: ticks(first, now_ns))
            await filled_dry()


async def test_services_outlive_a_redis_that_dies(tmp_path: Path, values: dict[str, object], redis: RedisServer) -> None:
    async with host(tmp_path, values) as (resources, _supervisor):
        await list_symbols(resources, [SYMBOL])
        manager, key = build_manager(resources), ("kraken", SYMBOL)
        for name in (ServiceName.TICKER, ServiceName.OHLCV):
            await manager.start(name, ADMIN)
        await until(lambda: ticks(resources, 0))
        redis.stop()

        async def degraded() -> bool:
            return (await manager.get(ServiceName.TICKER)).state is ServiceState.DEGRADED

        await until(degraded)
        before = (await resources.ohlcv.last_trades([key]))[0]

        async def more_trades() -> bool:
            newest = (await resources.ohlcv.last_trades([key]))[0]
            return newest is not None and before is not None and int(newest.trade_id) > int(before.trade_id) + 5

        await until(more_trades)
        redis.start()
        since_ns = time.time_ns()

        async def ticks_again() -> bool:
            return (await manager.get(ServiceName.TICKER)).state is ServiceState.RUNNING and await ticks(resources, since_ns)

        await until(ticks_again)
        rows = {row.name: row for row in await manager.get_all()}
        assert [(rows[name].state, rows[name].restarts) for name in (ServiceName.TICKER, ServiceName.OHLCV)] == [
            (ServiceState.RUNNING, 0),
            (ServiceState.RUNNING, 0),
        ]
