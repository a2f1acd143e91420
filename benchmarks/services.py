"""How much the services take in: wire updates through ccxt, adapter, cache and bus; trades into the store; dry-run orders.

    python -m benchmarks.services [--seconds 8] [--symbols 4] [--profile]

A paper exchange in a process of its own sends as fast as its socket is read. Figures are for this process: updates for each
second of its CPU time say what one core takes in, whatever else the machine does. `--profile` says where the time goes; the
profiler itself makes everything slower, so its figures are shares only.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.bus import open_bus
from fullon_master_api.exchanges.ccxt_wire import Feed
from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, open_paper
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


async def serve_paper(symbols: tuple[str, ...]) -> None:
    """The exchange's own process: prints its URL and sends until it is killed."""
    configure_logs(level="WARNING", json=False, colors=False)
    source = GeneratedSource(symbols=symbols, history_hours=0.05, updates_per_s=50.0, speed=None)
    async with open_paper(PaperOptions(source=source)) as paper:
        print(paper.url, flush=True)
        await asyncio.Event().wait()


@contextmanager
def paper_process(symbols: tuple[str, ...]) -> Any:
    command = [sys.executable, "-m", "benchmarks.services", "--serve", ",".join(symbols)]
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


async def measured(run: Awaitable[None], look: Callable[[], tuple[int, int]], seconds: float) -> tuple[int, int, float, float]:
    """(wire messages, stored, seconds, CPU seconds) of a service while it runs, after it has warmed up."""
    task = asyncio.ensure_future(run)
    while look()[1] == 0:
        await asyncio.sleep(0.1)
        if task.done():
            await task
    await asyncio.sleep(WARM_S)
    wire, stored = look()
    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    wire, stored = look()[0] - wire, look()[1] - stored
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    task.cancel()
    await asyncio.wait({task})
    return wire, stored, wall, cpu


async def tickers(symbols: tuple[str, ...], seconds: float, counter: WireCounter) -> None:
    with paper_process(symbols) as url, tempfile.TemporaryDirectory() as folder:
        async with open_platform(Path(folder), url, symbols) as resources:
            published = 0

            def saw(_topic: str, _message: object) -> None:
                nonlocal published
                published += 1

            topics = [f"ticker:kraken:{symbol}" for symbol in symbols]
            with resources.bus.listen(topics, saw):
                service = TickerService(resources, await fence_of(resources, ServiceName.TICKER), FeedBoard())
                result = await measured(service.run(), lambda: (counter.count, published), seconds)
    report("ticker service", *result, stored_as="tickers stored and published")


async def trades(symbols: tuple[str, ...], seconds: float, counter: WireCounter) -> None:
    with paper_process(symbols) as url, tempfile.TemporaryDirectory() as folder:
        async with open_platform(Path(folder), url, symbols) as resources:
            stored = 0

            def saw(_topic: str, message: Any) -> None:
                nonlocal stored
                stored += len(message.trades)

            topics = [f"public_trades:kraken:{symbol}" for symbol in symbols]
            with resources.bus.listen(topics, saw):
                service = OhlcvService(resources, await fence_of(resources, ServiceName.OHLCV), FeedBoard())
                result = await measured(service.run(), lambda: (counter.count, stored), seconds)
    report("ohlcv service", *result, stored_as="trades stored, with their candles")


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


def report(what: str, wire: int, stored: int, wall: float, cpu: float, *, stored_as: str) -> None:
    print(
        f"{what}: {wire / cpu:,.0f} wire updates for each CPU second ({wire / wall:,.0f}/s, {100 * cpu / wall:.0f} % of a core), "
        f"{stored / wall:,.0f}/s {stored_as}; {wall:.1f} s"
    )


PLACES = (
    ("ccxt", "/ccxt/"),
    ("aiohttp", "/aiohttp/"),
    ("adapter", "/exchanges/"),
    ("services", "/fullon_master_api/services/"),
    ("cache", "/apis/cache/"),
    ("bus", "/fullon_master_api/bus/"),
    ("broadcaster", "/broadcaster/"),
    ("ohlcv store", "/apis/ohlcv/"),
    ("asyncio", "/asyncio/"),
)


def print_shares(profile: cProfile.Profile) -> None:
    """Own time by the part of the code it was spent in."""
    spent: Counter[str] = Counter()
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _line, name), (_calls, _primitive, own_s, _total_s, _callers) in stats.items():
        if "epoll" in name:
            continue
        place = next((label for label, part in PLACES if part in file), "builtins and the rest")
        spent[place] += own_s
    whole = sum(spent.values())
    print("  " + ", ".join(f"{place} {100 * own_s / whole:.0f} %" for place, own_s in spent.most_common()))


def run(what: Coroutine[Any, Any, None], *, profile: bool) -> None:
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    asyncio.run(what)
    if profile:
        profiler.disable()
        print_shares(profiler)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_paper(tuple(options.serve.split(","))))
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit or 'unknown'}")
    configure_logs(level="WARNING", json=False, colors=False)
    counter, symbols = WireCounter(), SYMBOLS[: options.symbols]
    run(tickers(symbols, options.seconds, counter), profile=options.profile)
    run(trades(symbols, options.seconds, counter), profile=options.profile)
    run(dry_orders(), profile=False)


if __name__ == "__main__":
    main()
