"""How much the services take in: wire updates through ccxt, adapter, cache and bus; trades into the store; dry-run orders.

    python -m benchmarks.services [--seconds 8] [--symbols 4]

A paper exchange in a process of its own sends as fast as its socket is read. Figures are for this process: updates for each
second of its CPU time say what one core takes in, whatever else the machine does. Where the time goes is told by a profile
of the seconds after those that were counted; the store's threads are timed by their own clocks.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks.shares import StoreThreads, describe, loop_shares
from msgspec.structs import replace

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.bus import open_bus
from fullon_master_api.exchanges.ccxt_wire import Feed
from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, open_paper
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.logs import configure_logs
from fullon_master_api.model import Fence, OrderStatus, ServiceName, Ticker
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.resources import Resources, exchange_opener
from fullon_master_api.services.ticker import TickerService
from fullon_master_api.settings import Settings

SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/USD", "DOT/USD", "LTC/USD", "BTC/USDT")
WARM_S = 2.0
ORDERS = 200
FLOOD_EVENTS = 5_000


@dataclass(frozen=True)
class Flood:
    """The trades of a generated market, made once and then told again and again, later and under new numbers.

    Making a market up costs more than a service takes to collect it; this way the sender is the quicker of the two.
    """

    symbols: tuple[str, ...]
    speed: float | None = None
    waits_for: str | None = None

    def open(self) -> Opened:
        made = GeneratedSource(symbols=self.symbols, history_hours=0.05, updates_per_s=50.0, speed=None).open()
        events = list(islice((event for event in made.future if event.trades), FLOOD_EVENTS))
        return Opened(markets=made.markets, past=made.past, future=again_and_again(events))


def again_and_again(events: list[MarketEvent]) -> Iterator[MarketEvent]:
    span_ns = events[-1].at_ns - events[0].at_ns + 1_000_000
    told = Counter(event.symbol for event in events for _ in event.trades)
    for turn in count():
        for event in events:
            trades = []
            for trade in event.trades:
                at_ns = trade.event_ns + turn * span_ns
                number = trade.trade_id + turn * told[event.symbol]
                trades.append(replace(trade, trade_id=number, event_ns=at_ns, time_text=f"{at_ns // 10**9}.{at_ns % 10**9:09d}"))
            yield MarketEvent(at_ns=event.at_ns + turn * span_ns, symbol=event.symbol, trades=trades)


async def serve_paper(symbols: tuple[str, ...], *, flood: bool) -> None:
    """The exchange's own process: prints its URL and sends until it is killed."""
    configure_logs(level="WARNING", json=False, colors=False)
    generated = GeneratedSource(symbols=symbols, history_hours=0.05, updates_per_s=50.0, speed=None)
    async with open_paper(PaperOptions(source=Flood(symbols) if flood else generated)) as paper:
        print(paper.url, flush=True)
        await asyncio.Event().wait()


@contextmanager
def paper_process(symbols: tuple[str, ...], *, flood: bool = False) -> Any:
    command = [sys.executable, "-m", "benchmarks.services", "--serve", ",".join(symbols), *(["--flood"] if flood else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith("http"):
            line = process.stdout.readline().strip()
        yield line
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def open_platform(folder: Path, url: str, symbols: tuple[str, ...]) -> AsyncGenerator[Resources, None]:
    settings = Settings(_env_file=None, data_dir=folder, exchange_urls={"kraken": url}, ohlcv_enable_historical=False)
    async with open_bus("memory://") as bus:

        async def hint(topic: str, sequence: int) -> None:
            bus.hint(topic, sequence)

        async with (
            open_orm(settings.orm_url, hint=hint) as orm,
            open_ohlcv(settings.ohlcv_url) as ohlcv,
            open_cache(bus, "memory://") as cache,
        ):
            exchange = await orm.exchanges.install(None, "kraken")
            for symbol in symbols:
                await orm.symbols.add(None, {"cat_ex_id": exchange.cat_ex_id, "symbol": symbol, "backtest": 1})
            opener = exchange_opener(settings)
            yield Resources(orm=orm, ohlcv=ohlcv, cache=cache, bus=bus, settings=settings, open_exchange=opener)


async def fence_of(resources: Resources, name: ServiceName) -> Fence:
    epochs = await resources.orm.services.claim([name.value], "benchmark", 3600.0)
    return Fence(service=name.value, epoch=epochs[name.value])


class WireCounter:
    """Counts the messages that reach a reader of the socket, before anything is conflated."""

    def __init__(self) -> None:
        self.count = 0
        put = Feed.put

        def counted(feed: Feed, message: dict[str, Any]) -> None:
            self.count += 1
            put(feed, message)

        Feed.put = counted  # type: ignore[method-assign,assignment]


@dataclass(frozen=True)
class Taken:
    """What a service took in while it was watched; `shares` is the time by part, told by a profile made afterwards."""

    wire: int
    stored: int
    wall_s: float
    cpu_s: float
    shares: str


async def measured(run: Awaitable[None], look: Callable[[], tuple[int, int]], seconds: float, threads: StoreThreads) -> Taken:
    """Watch a service after it has warmed up, then profile it for half as long."""
    task = asyncio.ensure_future(run)
    while look()[1] == 0:
        await asyncio.sleep(0.1)
        if task.done():
            await task
    await asyncio.sleep(WARM_S)
    wire, stored = look()
    wall_s, cpu_s, store_s = time.monotonic(), time.process_time(), threads.spent_s
    await asyncio.sleep(seconds)
    wire, stored = look()[0] - wire, look()[1] - stored
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    store_s = threads.spent_s - store_s
    profile = cProfile.Profile()
    profile.enable()
    await asyncio.sleep(seconds / 2)
    profile.disable()
    task.cancel()
    await asyncio.wait({task})
    return Taken(wire, stored, wall_s, cpu_s, describe(loop_shares(profile), loop_s=cpu_s - store_s, store_s=store_s))


async def tickers(symbols: tuple[str, ...], seconds: float, counter: WireCounter, threads: StoreThreads) -> None:
    with paper_process(symbols) as url, tempfile.TemporaryDirectory() as folder:
        async with open_platform(Path(folder), url, symbols) as resources:
            published = 0

            def saw(_topic: str, _message: object) -> None:
                nonlocal published
                published += 1

            topics = [f"ticker:kraken:{symbol}" for symbol in symbols]
            with resources.bus.listen(topics, saw):
                service = TickerService(resources, await fence_of(resources, ServiceName.TICKER), FeedBoard())
                result = await measured(service.run(), lambda: (counter.count, published), seconds, threads)
    report("ticker service", result, stored_as="tickers stored and published")


async def trades(symbols: tuple[str, ...], seconds: float, counter: WireCounter, threads: StoreThreads) -> None:
    with paper_process(symbols, flood=True) as url, tempfile.TemporaryDirectory() as folder:
        async with open_platform(Path(folder), url, symbols) as resources:
            stored = 0

            def saw(_topic: str, message: Any) -> None:
                nonlocal stored
                stored += len(message.trades)

            topics = [f"public_trades:kraken:{symbol}" for symbol in symbols]
            with resources.bus.listen(topics, saw):
                service = OhlcvService(resources, await fence_of(resources, ServiceName.OHLCV), FeedBoard())
                result = await measured(service.run(), lambda: (counter.count, stored), seconds, threads)
    report("ohlcv service", result, stored_as="trades stored, with their candles")


async def dry_orders() -> None:
    """From the call that places an order to its fill, with the account service in the same process."""
    symbol = SYMBOLS[0]
    with tempfile.TemporaryDirectory() as folder:
        async with open_platform(Path(folder), "http://127.0.0.1:9", (symbol,)) as resources:
            orm = resources.orm
            exchange = (await orm.exchanges.by_names(["kraken"]))[0]
            assert exchange is not None
            user = await orm.users.add(None, {"mail": "trader@fullon", "name": "T"}, password_hash="x")
            account = await orm.accounts.add(None, {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"})
            quote = Ticker(exchange="kraken", symbol=symbol, bid="100", ask="101", last="100", received_ns=time.time_ns())
            await resources.cache.tickers.set(quote)
            service = AccountService(resources, await fence_of(resources, ServiceName.ACCOUNT), FeedBoard())
            task = asyncio.create_task(service.run())
            took: list[float] = []
            values = {"uid": user.uid, "ex_id": account.ex_id, "symbol": symbol, "side": "buy", "order_type": "market"}
            for _ in range(ORDERS):
                began = time.perf_counter()
                order = await orm.orders.place(None, values | {"volume": Decimal("0.1"), "dry_run": True})
                while order.status is not OrderStatus.FILLED:
                    await asyncio.sleep(0.001)
                    found = (await orm.orders.get_many([order.order_id], None))[0]
                    assert found is not None
                    order = found
                took.append((time.perf_counter() - began) * 1000)
            task.cancel()
            await asyncio.wait({task})
    median, p99 = statistics.median(took), sorted(took)[int(len(took) * 0.99) - 1]
    print(f"dry-run order, placed to filled: n {ORDERS}, median {median:.1f} ms, p99 {p99:.1f} ms")


def report(what: str, taken: Taken, *, stored_as: str) -> None:
    wall_s, cpu_s = taken.wall_s, taken.cpu_s
    print(
        f"{what}: {taken.wire / cpu_s:,.0f} wire updates for each CPU second ({taken.wire / wall_s:,.0f}/s, "
        f"{100 * cpu_s / wall_s:.0f} % of a core), {taken.stored / wall_s:,.0f}/s {stored_as}; {wall_s:.1f} s\n"
        f"  of the time: {taken.shares}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_paper(tuple(options.serve.split(",")), flood=options.flood))
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit or 'unknown'}")
    configure_logs(level="WARNING", json=False, colors=False)
    counter, symbols = WireCounter(), SYMBOLS[: options.symbols]
    threads = StoreThreads()
    asyncio.run(tickers(symbols, options.seconds, counter, threads))
    asyncio.run(trades(symbols, options.seconds, counter, threads))
    asyncio.run(dry_orders())


if __name__ == "__main__":
    main()
