"""The candle store against plain SQL of the same rows in the same run, on SQLite and on PostgreSQL.

    python benchmarks/ohlcv.py [--repeats 50] [--trades 500000] [--store sqlite|postgres|both]

A year of generated 1m candles, then: the last 1,000 of them (as plain rows, as records, over REST and GraphQL), 500 of 1h,
1,000 of 5m and of 1d in a zone, the year as columns page by page, batches of 1,000 rows, and an import of trades from
Parquet. Wall times are what a caller waits; on a busy machine compare the best ones and the column of CPU time, which counts
all threads of this process (of PostgreSQL it sees only the client). The last table prices the three ways to keep and show exact
numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
from fastapi import FastAPI, Request

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.apis.ohlcv.servers import postgres_server

from fullon_master_api.apis.ohlcv import OhlcvStore, open_ohlcv
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.exporting import scan_columns
from fullon_master_api.apis.ohlcv.importing import ImportPlan, import_file
from fullon_master_api.apis.ohlcv.numbers import Texts
from fullon_master_api.apis.ohlcv.scaling import Digits, open_series
from fullon_master_api.apis.ohlcv.steps import InsertMany, Run, Transaction
from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.executor.engine import Engine
from fullon_master_api.model import Candle, MarketTrade, Principal, Role, Scope, Side, Timeframe
from fullon_master_api.resolvers.context import Context
from fullon_master_api.rest.ohlcv import FullonOhlcvGateway
from fullon_master_api.schema import build_schema

KEY = ("kraken", "BTC/USD")
YEAR_S = 1_704_067_200  # 2024-01-01T00:00:00Z
MINUTES = 366 * 1440
NS = 10**9
PLAIN = (
    "SELECT opened_s, open, high, low, close, volume FROM market_candles "
    "WHERE series_id = 1 AND timeframe_s = {} ORDER BY opened_s DESC LIMIT {}"
)


CALLER = Principal(uid=1, mail="bench@fullon", role=Role.USER, scopes=frozenset({Scope.READ}))
GRAPH = """{ symbol(exchange: "kraken", symbol: "BTC/USD") {
  candles(timeframe: MINUTE_1, limit: 1000) { openedAt open high low close volume } } }"""


def fill_year() -> Transaction[None]:
    """A random walk of 1m candles, and its hours and days by the store's own statement."""
    series = yield from open_series(*KEY, prices=Digits(2, "99999.99"), quantities=Digits(8, "99.0"))
    chance = random.Random(1)
    price, rows = 4_300_000_000_000, []
    for minute in range(MINUTES):
        close = max(10**9, price + chance.randrange(-2000, 2001) * 10**6)
        high, low = max(price, close) + 10**6, min(price, close) - 10**6
        opened_s = YEAR_S + minute * 60
        rows.append((series.series_id, 60, opened_s, price, high, low, close, chance.randrange(1, 10**10), 0, 9, 1, 1, 0))
        price = close
        if len(rows) == 50_000 or minute == MINUTES - 1:
            yield InsertMany("market_candles", sql.CANDLE_COLUMNS, rows)
            rows = []
    for base_s, wide_s in ((60, 3600), (3600, 86400)):
        starts = list(range(YEAR_S, YEAR_S + MINUTES * 60, wide_s))
        yield Run(sql.ROLL_UP, (series.series_id, base_s, wide_s, starts, YEAR_S + MINUTES * 60))


def analyze() -> Transaction[None]:
    """Statistics for the plain statement; the store's own do without."""
    yield Run("ANALYZE market_candles")


async def measure(name: str, repeats: int, work: Callable[[], Awaitable[Any]], *, rows: int = 1) -> None:
    await work()
    walls, cpu_s = [], time.process_time()
    for _ in range(repeats):
        began_s = time.perf_counter()
        await work()
        walls.append((time.perf_counter() - began_s) * 1000)
    cpu_ms = (time.process_time() - cpu_s) / repeats * 1000
    worst = quantiles(walls, n=100)[-1] if len(walls) > 1 else walls[0]
    each = f"{rows / median(walls) * 1000:12,.0f} rows/s" if rows > 1 else ""
    print(
        f"  {name:<40} n={repeats:<4} best {min(walls):7.2f} ms  p50 {median(walls):8.2f} ms  p99 {worst:8.2f} ms"
        f"  cpu {cpu_ms:8.2f} ms {each}"
    )


async def reads(store: OhlcvStore, http: httpx.AsyncClient, orm: Orm, repeats: int) -> None:
    engine = Engine(build_schema())
    prepared = engine.prepare(GRAPH)
    stores: Any = SimpleNamespace(orm=orm, ohlcv=store)

    async def graph() -> None:
        answer = await engine.execute(prepared, {}, Context(stores, CALLER, "bench"))
        assert answer.body.count(b"openedAt") == 1000, answer.body[:300]

    async def plain(timeframe_s: int, count: int) -> None:
        await store.driver.read(PLAIN.format(timeframe_s, count))

    async def candles(timeframe: Timeframe, count: int, **more: Any) -> None:
        (found,) = await store.candles([KEY], timeframe, limit=count, **more)
        assert len(found) == count, len(found)

    async def rest() -> None:
        answer = await http.get("/candles/kraken/BTC/USD/1m", params={"limit": 1000})
        assert answer.status_code == 200, answer.text

    async def year() -> None:
        pages = [len(page.open) async for page in scan_columns(store, KEY, Timeframe.MINUTE_1)]
        assert sum(pages) == MINUTES

    await measure("last 1,000 x 1m, plain SQL rows", repeats, lambda: plain(60, 1000))
    await measure("last 1,000 x 1m, records", repeats, lambda: candles(Timeframe.MINUTE_1, 1000))
    await measure("last 1,000 x 1m, REST", repeats, rest)
    await measure("last 1,000 x 1m, GraphQL of 6 fields", repeats, graph)
    await measure("500 x 1h of the year, plain SQL rows", repeats, lambda: plain(3600, 500))
    await measure("500 x 1h of the year, records", repeats, lambda: candles(Timeframe.HOUR_1, 500))
    await measure("1,000 x 5m, aggregated", repeats, lambda: candles(Timeframe.MINUTE_5, 1000))
    await measure("300 x 1d of New York, from hours", repeats, lambda: candles(Timeframe.DAY_1, 300, zone="America/New_York"))
    await measure("a year of 1m as columns, page by page", 1, year, rows=MINUTES)
    print(f"  largest memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


async def writes(store: OhlcvStore, repeats: int, trades: int, folder: Path) -> None:
    instants = iter(range(YEAR_S, YEAR_S + 10**9, 1000))
    ids = iter(range(1, 10**9))

    async def append() -> None:
        start_s = next(instants)
        batch = [
            MarketTrade(
                trade_id=str(next(ids)), event_ns=(start_s + number) * NS, price="43000.25", quantity="0.015", side=Side.BUY
            )
            for number in range(1000)
        ]
        assert (await store.append_trades("kraken", "ETH/USD", batch)).stored == 1000

    async def upsert() -> None:
        start_s = YEAR_S + next(instants) // 1000 * 60
        batch = [
            Candle(opened_ns=(start_s + n * 60) * NS, open="5.25", high="5.5", low="5.0", close="5.1", volume="1.5")
            for n in range(1000)
        ]
        await store.upsert_candles("kraken", "SOL/USD", Timeframe.MINUTE_1, batch)

    await measure("append 1,000 trades in one batch", repeats, append, rows=1000)
    await measure("upsert 1,000 candles in one batch", repeats, upsert, rows=1000)
    path = folder / "trades.parquet"
    write_tape(path, trades)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    report = await import_file(store, path, ImportPlan(exchange="kraken", symbol="XBT/USD"))
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    assert report.stored == trades
    print(
        f"  import of {trades:,} trades: {trades / wall_s:,.0f} rows/s; {cpu_s / trades * 1e6:.2f} us of CPU a row, "
        f"{trades / cpu_s:,.0f} rows a second of CPU"
    )


def write_tape(path: Path, count: int) -> None:
    chance = random.Random(2)
    stamp_ms, price = YEAR_S * 1000, 4_300_000
    stamps, prices = [], []
    for _ in range(count):
        stamp_ms += chance.randrange(400)
        price += chance.randrange(-30, 31)
        stamps.append(stamp_ms)
        prices.append(f"{price // 100}.{price % 100:02d}")
    sizes = [f"0.{chance.randrange(1, 10**8):08d}" for _ in range(count)]
    sides = ["buy" if number % 2 else "sell" for number in range(count)]
    pa.parquet.write_table(
        pa.table({"ts_ms": stamps, "trade_id": range(count), "price": prices, "quantity": sizes, "side": sides}), path
    )


def numbers() -> None:
    """What 5,000 numbers (1,000 candles) cost to show, kept one way or the other."""
    chance = random.Random(3)
    values = [chance.randrange(10**6, 10**9) for _ in range(5000)]
    texts = [f"{value // 100}.{value % 100:02d}" for value in values]
    memo = Texts(2, 2)
    for name, work in (
        ("scaled integers, formatted", lambda: list(map(Texts(2, 2).__getitem__, values))),
        ("scaled integers, seen before", lambda: [memo[value] for value in values]),
        ("canonical text, as it is", lambda: list(texts)),
        ("floats, repr", lambda: [repr(value / 100) for value in values]),
        ("Decimal, quantized", lambda: [format((Decimal(value) / 100).quantize(Decimal("0.01")), "f") for value in values]),
        ("sum of canonical text by Decimal", lambda: sum(map(Decimal, texts))),
        ("sum of scaled integers", lambda: sum(values)),
    ):
        work()
        times = []
        for _ in range(50):
            began_s = time.process_time()
            work()
            times.append((time.process_time() - began_s) * 1000)
        print(f"  {name:<44} n=50   p50 {median(times):8.3f} ms of CPU for 5,000")


@asynccontextmanager
async def rest_of(store: OhlcvStore, folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Orm]]:
    async with open_orm(f"sqlite+aiosqlite:///{folder / 'fullon.db'}") as orm:
        if not await orm.symbols.active():
            exchange = await orm.exchanges.install(None, "kraken")
            await orm.symbols.add(None, {"cat_ex_id": exchange.cat_ex_id, "symbol": "BTC/USD"})
        app = FastAPI()
        app.state.stores = SimpleNamespace(orm=orm, ohlcv=store)
        for router in FullonOhlcvGateway().get_routers():
            app.include_router(router)

        @app.middleware("http")
        async def name_caller(request: Request, answer: Any) -> Any:
            request.state.user = CALLER
            return await answer(request)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
            yield client, orm


async def run(name: str, url: str, folder: Path, asked: argparse.Namespace) -> None:
    async with open_ohlcv(url) as store:
        await store.driver.write(fill_year)
        if name == "PostgreSQL":
            await store.driver.write(analyze)
        print(f"{name}:")
        async with rest_of(store, folder) as (http, orm):
            await reads(store, http, orm, asked.repeats)
        await writes(store, max(5, asked.repeats // 2), asked.trades, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--trades", type=int, default=500_000)
    parser.add_argument("--store", choices=["sqlite", "postgres", "both"], default="both")
    asked = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{platform.platform()}, Python {platform.python_version()}, commit {commit}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.store in ("sqlite", "both"):
            asyncio.run(run("SQLite", f"sqlite+aiosqlite:///{folder / 'ohlcv.db'}", folder, asked))
        if asked.store in ("postgres", "both"):
            with postgres_server() as server:
                asyncio.run(run("PostgreSQL", f"{server}/postgres", folder, asked))
    print("numbers:")
    numbers()


if __name__ == "__main__":
    main()
