"""The processes of `resilience.py`: an API process with sockets and followers, and the two that feed them all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from decimal import Decimal
from multiprocessing.connection import Connection
from time import process_time, time_ns
from typing import Any

import uvicorn
from fastapi import FastAPI

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.bus import Bus, account_topic, open_bus, orders_topic
from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.logs import configure_logs
from fullon_master_api.model import Balance, Candle, MarketTrade, Principal, Role, Scope, Side, Ticker
from fullon_master_api.rest.cache import Desk, create_app

EXCHANGE = "kraken"
TICK_S = 0.5
RETRY_S = 0.1
EVENT_S = 0.25
MINUTE_NS = 60_000_000_000
CALLER = Principal(uid=1, mail="bench@fullon", role=Role.USER, scopes=frozenset(Scope))


def topic_of(number: int) -> str:
    """Every other pair of numbers is a user's orders, the rest are accounts."""
    return orders_topic(number) if number % 4 < 2 else account_topic(number)


def symbols(count: int) -> list[str]:
    return [f"S{number}/USD" for number in range(count)]


def candle_now(now_ns: int) -> Candle:
    """The open candle; its volume says when it was published."""
    opened_ns = now_ns // MINUTE_NS * MINUTE_NS
    return Candle(opened_ns=opened_ns, open="100", high="101", low="99", close="100.5", volume=str(now_ns), final=False)


async def hear(commands: Connection, wanted: str) -> None:
    """Until the driver says `wanted`."""
    said = ""
    while said != wanted:
        said = await asyncio.to_thread(commands.recv)


class QuietServer(uvicorn.Server):
    """The signals stay the driver's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Follower:
    """Reads one order stream to the end of its quota, leaving and resuming after every few events."""

    def __init__(self, bus: Bus, topic: str, resumes: int) -> None:
        self._bus, self._topic, self._resumes = bus, topic, resumes
        self.sequences: list[int] = []

    async def run(self) -> None:
        dice = random.Random(self._topic)
        for _ in range(self._resumes):
            left = dice.randint(1, 5)
            async with aclosing(self._bus.follow(self._topic, self.sequences[-1] if self.sequences else 0)) as events:
                async for event in events:
                    self.sequences.append(event.sequence)
                    left -= 1
                    if not left:
                        break

    async def compare(self, orm: Orm) -> tuple[int, int]:
        """How many of the store's events up to the last one seen are missing, and how many came twice or out of order."""
        stored: list[int] = []
        while not stored or stored[-1] < self.sequences[-1]:
            page = await orm.events.read_after(self._topic, stored[-1] if stored else 0, 500)
            stored += [event.sequence for event in page]
        expected = [sequence for sequence in stored if sequence <= self.sequences[-1]]
        lost = len(set(expected) - set(self.sequences))
        return lost, len(self.sequences) - len(expected) + lost + (self.sequences != sorted(self.sequences))


def api_process(commands: Connection, redis_url: str, sql_url: str, topics: Sequence[int], resumes: int) -> None:
    configure_logs(level="ERROR", json=False, colors=False)
    asyncio.run(_serve(commands, redis_url, sql_url, topics, resumes))


async def _serve(commands: Connection, redis_url: str, sql_url: str, topics: Sequence[int], resumes: int) -> None:
    async def authenticate(_authorization: str | None, _key: str | None) -> Principal | None:
        return CALLER

    async def nothing(*_arguments: Any) -> list[Any]:
        return []

    async with (
        open_bus(redis_url) as bus,
        open_cache(bus, redis_url) as cache,
        open_orm(sql_url, migrate_up=False, pool_size=5) as orm,
        asyncio.TaskGroup() as tasks,
    ):
        bus.attach_history(orm.events)
        desk = Desk(cache=cache, bus=bus, authenticate=authenticate, get_accounts=nothing, get_bots=nothing, get_symbols=nothing)
        app = FastAPI()
        app.mount("/api/v1/cache", create_app(lambda: desk))
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
            config = uvicorn.Config(app, lifespan="off", ws="websockets-sansio", log_config=None, ws_ping_interval=None)
            server = QuietServer(config)
            serving = tasks.create_task(server.serve([listening]))
            commands.send(listening.getsockname()[1])
            await hear(commands, "follow")
            followers = [Follower(bus, topic_of(number), resumes) for number in topics]
            await asyncio.gather(*(follower.run() for follower in followers))
            compared = [await follower.compare(orm) for follower in followers]
            commands.send(
                {
                    "resumes": resumes * len(followers),
                    "events": sum(len(follower.sequences) for follower in followers),
                    "lost": sum(lost for lost, _doubled in compared),
                    "doubled": sum(doubled for _lost, doubled in compared),
                }
            )
            await hear(commands, "stop")
            health = bus.health()
            memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            told = {"gaps": health.gaps, "reconnects": health.reconnects, "memory_mb": round(memory_mb)}
            commands.send(told | {"cpu_s": round(process_time(), 1)})
            server.should_exit = True
            await serving


def collector_process(commands: Connection, redis_url: str, symbol_count: int) -> None:
    configure_logs(level="ERROR", json=False, colors=False)
    asyncio.run(_collect(commands, redis_url, symbol_count))


async def _collect(commands: Connection, redis_url: str, symbol_count: int) -> None:
    """Tickers of every symbol, trades of every other one, candles of the rest; what Redis refuses is tried again."""
    counted = {"published": 0, "refused": 0}

    async with open_bus(redis_url) as bus, open_cache(bus, redis_url) as cache:

        async def publish(symbol: str, *, has_trades: bool) -> None:
            await asyncio.sleep(random.random() * TICK_S)
            while True:
                now_ns = time_ns()
                try:
                    await cache.tickers.set(Ticker(exchange=EXCHANGE, symbol=symbol, last="100.5", received_ns=now_ns))
                    if has_trades:
                        traded = MarketTrade(trade_id=str(now_ns), event_ns=now_ns, price="100.5", quantity="1", side=Side.BUY)
                        await cache.trades.append(EXCHANGE, symbol, [traded])
                    else:
                        await cache.candles.set(EXCHANGE, symbol, "1m", candle_now(now_ns))
                except CacheUnavailable:
                    counted["refused"] += 1
                    await asyncio.sleep(RETRY_S)
                else:
                    counted["published"] += 2
                    await asyncio.sleep(TICK_S)

        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(publish(symbol, has_trades=number % 2 == 0))
                for number, symbol in enumerate(symbols(symbol_count))
            ]
            commands.send("publishing")
            await hear(commands, "stop")
            for task in running:
                task.cancel()
        commands.send(counted | {"cpu_s": round(process_time(), 1)})


def account_process(commands: Connection, redis_url: str, sql_url: str, topic_count: int) -> None:
    configure_logs(level="ERROR", json=False, colors=False)
    asyncio.run(_trade(commands, redis_url, sql_url, topic_count))


async def _trade(commands: Connection, redis_url: str, sql_url: str, topic_count: int) -> None:
    """Commits events to the outbox all the time, on every topic that is followed."""
    counted = {"events": 0}

    async with open_bus(redis_url) as bus:

        async def hint(topic: str, sequence: int) -> None:
            bus.hint(topic, sequence)

        async def trade(orm: Orm, number: int) -> None:
            held = Balance(ex_id=number, currency="USD", total=Decimal(1), free=Decimal(1), used=Decimal(0), updated_ns=1)
            while True:
                await orm.events.append(topic_of(number), "balance", held)
                counted["events"] += 1
                await asyncio.sleep(EVENT_S)

        async with open_orm(sql_url, migrate_up=False, hint=hint, pool_size=5) as orm, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(trade(orm, number)) for number in range(topic_count)]
            commands.send("trading")
            await hear(commands, "stop")
            for task in running:
                task.cancel()
        commands.send(counted | {"cpu_s": round(process_time(), 1)})
