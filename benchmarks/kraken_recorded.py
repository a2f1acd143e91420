"""Replays recorded Kraken trades over the wire into the store, and compares its 1m candles with Kraken's own, digit for digit.

    python -m benchmarks.kraken_recorded --trades trades.parquet --candles candles.parquet [--symbol BTC/USDT] [--seconds 5]

The trades file has columns ts_raw, trade_id, price, amount, taker_side, ord_type; the candles file ts_ms, open, high, low,
close, volume, trades. The exit code is 1 when a minute that has trades differs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from pyarrow import parquet

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.bus import open_bus
from fullon_master_api.exchanges.paper import PaperOptions, RecordedSource, open_paper
from fullon_master_api.model import Candle, Fence, ServiceName, Timeframe
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.resources import Resources, exchange_opener
from fullon_master_api.services.spans import DAY_NS
from fullon_master_api.settings import Settings

Bar = tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]
"""Open, high, low, close, volume, count."""


def bar_of(candle: Candle) -> Bar:
    prices = (Decimal(candle.open), Decimal(candle.high), Decimal(candle.low), Decimal(candle.close))
    return (*prices, Decimal(candle.volume), candle.trades or 0)


def recorded_bars(path: Path, opened_ms: set[int]) -> dict[int, Bar]:
    """The exchange's own candles of these minutes, by open time in milliseconds."""
    bars: dict[int, Bar] = {}
    for row in parquet.read_table(path).to_pylist():
        if row["ts_ms"] in opened_ms:
            numbers = [Decimal(str(row[name])) for name in ("open", "high", "low", "close", "volume")]
            bars[row["ts_ms"]] = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], int(row["trades"]))
    return bars


@asynccontextmanager
async def open_platform(folder: Path, paper_url: str) -> AsyncGenerator[Resources, None]:
    settings = Settings(_env_file=None, data_dir=folder, exchange_urls={"kraken": paper_url})
    async with (
        open_bus("memory://") as bus,
        open_orm(settings.orm_url) as orm,
        open_ohlcv(settings.ohlcv_url) as ohlcv,
        open_cache(bus, "memory://") as cache,
    ):
        yield Resources(orm=orm, ohlcv=ohlcv, cache=cache, bus=bus, settings=settings, open_exchange=exchange_opener(settings))


async def collect(trades: Path, symbol: str, *, seconds: float, rows: int, folder: Path) -> dict[int, Bar]:
    """What the OHLCV service stored of the replay, by open time in milliseconds."""
    first_ns, last_ns = span_of(trades)
    speed = (last_ns - first_ns) / 1e9 / seconds
    async with (
        open_paper(PaperOptions(source=RecordedSource(path=trades, symbol=symbol, speed=speed))) as paper,
        open_platform(folder, paper.url) as resources,
    ):
        exchange = await resources.orm.exchanges.install(None, "kraken")
        days = (time.time_ns() - first_ns) // DAY_NS + 2  # What was replayed before the service was there is its history.
        await resources.orm.symbols.add(None, {"cat_ex_id": exchange.cat_ex_id, "symbol": symbol, "backtest": days})
        epochs = await resources.orm.services.claim([ServiceName.OHLCV.value], "benchmark", 3600.0)
        fence = Fence(service=ServiceName.OHLCV.value, epoch=epochs[ServiceName.OHLCV.value])
        task = asyncio.create_task(OhlcvService(resources, fence, FeedBoard()).run())
        key = ("kraken", symbol)
        stored = 0
        end = time.monotonic() + seconds + 60
        while stored < rows and time.monotonic() < end and not task.done():
            await asyncio.sleep(0.1)
            candles = (await resources.ohlcv.candles([key], Timeframe.MINUTE_1, limit=5000))[0]
            stored = sum(candle.trades or 0 for candle in candles)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            raise SystemExit(f"the service failed: {task.exception()!r}")
        candles = (await resources.ohlcv.candles([key], Timeframe.MINUTE_1, limit=5000))[0]
    return {candle.opened_ns // 1_000_000: bar_of(candle) for candle in candles}


def span_of(path: Path) -> tuple[int, int]:
    column = parquet.read_table(path, columns=["ts_ms"])["ts_ms"].to_pylist()
    return min(column) * 1_000_000, max(column) * 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trades", type=Path, required=True)
    parser.add_argument("--candles", type=Path, required=True)
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the replay takes")
    options = parser.parse_args()
    rows = parquet.read_metadata(options.trades).num_rows
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        stored = asyncio.run(collect(options.trades, options.symbol, seconds=options.seconds, rows=rows, folder=Path(folder)))
    expected = recorded_bars(options.candles, set(stored))
    whole = sorted(stored)[1:-1]  # The recording begins and ends inside a minute.
    different = [opened_ms for opened_ms in whole if stored[opened_ms] != expected.get(opened_ms)]
    count = sum(bar[5] for bar in stored.values())
    print(f"{count} of {rows} trades stored in {len(stored)} minutes, {time.monotonic() - began:.1f} s")
    for opened_ms in different[:10]:
        print(f"  {opened_ms}: stored {stored[opened_ms]}, recorded {expected.get(opened_ms)}")
    print(f"{len(whole) - len(different)} of {len(whole)} whole minutes equal the exchange's own candles")
    return 1 if different or count != rows else 0


if __name__ == "__main__":
    sys.exit(main())
