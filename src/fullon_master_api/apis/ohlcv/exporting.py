"""Trades and candles from the store into a file, page by page."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet

from fullon_master_api.apis.ohlcv import reading
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.files import ARROW, CSV, PARQUET, kind_of
from fullon_master_api.apis.ohlcv.frames import NS
from fullon_master_api.apis.ohlcv.records import Fill
from fullon_master_api.apis.ohlcv.spans import LIMIT_MAX, TIME_MAX_S, Key
from fullon_master_api.apis.ohlcv.store import OhlcvStore
from fullon_master_api.apis.ohlcv.tables import candles_schema, candles_table, csv_lines, trades_schema, trades_table
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Candle, CandleColumns, MarketTrade, Timeframe

Put = Callable[[pa.Table], None]


async def scan_trades(
    store: OhlcvStore, key: Key, *, start_ns: int = 0, end_ns: int | None = None
) -> AsyncGenerator[list[MarketTrade]]:
    """All trades of a span, oldest first, a page at a time."""
    high_ns = TIME_MAX_S * NS if end_ns is None else end_ns
    after: tuple[int, int, str] = (start_ns - 1, 2**63 - 1, "\U0010ffff")  # behind every trade of the instant before
    while True:
        rows = await store.driver.read(sql.SCAN_TRADES, *key, *after, high_ns, LIMIT_MAX)
        if not rows:
            return
        after = (rows[-1][2], rows[-1][3], rows[-1][4])
        yield reading.trades(rows)


async def scan_candles(
    store: OhlcvStore,
    key: Key,
    timeframe: Timeframe,
    *,
    start_ns: int = 0,
    end_ns: int | None = None,
    fill: Fill = Fill.NONE,
    zone: str = "UTC",
) -> AsyncGenerator[list[Candle]]:
    """All candles of a span, oldest first, a page at a time."""
    while True:
        (page,) = await store.candles(
            [key], timeframe, start_ns=start_ns, end_ns=end_ns, limit=_page(timeframe), fill=fill, zone=zone
        )
        if not page:
            return
        start_ns = page[-1].opened_ns + 1
        yield page


async def scan_columns(
    store: OhlcvStore, key: Key, timeframe: Timeframe, *, start_ns: int = 0, end_ns: int | None = None
) -> AsyncGenerator[CandleColumns]:
    """The same as columns of floats: a year of 1m in the memory of one page."""
    while True:
        (page,) = await store.columns([key], timeframe, start_ns=start_ns, end_ns=end_ns, limit=_page(timeframe))
        if not page.opened_ms:
            return
        start_ns = page.opened_ms[-1] * 1_000_000 + 1
        yield page


def _page(timeframe: Timeframe) -> int:
    return 500 if timeframe is Timeframe.MONTH_1 else LIMIT_MAX


async def export_file(
    store: OhlcvStore,
    path: Path,
    key: Key,
    *,
    timeframe: Timeframe | None = None,
    start_ns: int = 0,
    end_ns: int | None = None,
    fill: Fill = Fill.NONE,
    zone: str = "UTC",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write trades (`timeframe` None) or candles to a CSV, Parquet or Arrow file; the answer is the number of rows.

    The file gets its name when it is complete; until then it ends in `.part`. Its numbers are exact, and `import_file`
    reads it back. Raises: NotFound for a series without data; BadUserInput for another kind of file; StoreUnavailable.
    """
    found = await store.driver.read(sql.READ_SERIES, *key)
    if not found:
        raise NotFound(f"nothing is stored of {key[1]!r} at {key[0]!r}")
    price_decimals, quantity_decimals = found[0][3], found[0][4]
    part = path.with_name(f"{path.name}.part")
    compute = store.driver.compute
    rows = 0
    pages: AsyncGenerator[Any]
    if timeframe is None:
        schema = trades_schema(price_decimals, quantity_decimals)
        build: Callable[..., pa.Table] = trades_table
        pages = scan_trades(store, key, start_ns=start_ns, end_ns=end_ns)
    else:
        schema = candles_schema(price_decimals, quantity_decimals)
        build = candles_table
        pages = scan_candles(store, key, timeframe, start_ns=start_ns, end_ns=end_ns, fill=fill, zone=zone)
    with _open_target(path, part, schema) as put:
        async with aclosing(pages):
            async for page in pages:
                await compute(partial(_put, put, build, page, schema))
                rows += len(page)
                if progress is not None:
                    progress(rows)
    part.replace(path)
    return rows


def _put(put: Put, build: Callable[..., pa.Table], page: list[Any], schema: pa.Schema) -> None:
    put(build(page, schema))


@contextmanager
def _open_target(path: Path, part: Path, schema: pa.Schema) -> Generator[Put]:
    suffix = kind_of(path)
    if suffix in CSV:
        with _open_text(part, compressed=suffix.endswith(".gz")) as file:
            file.write(csv_lines(schema.empty_table()))
            yield lambda table: _ignore(file.write(csv_lines(table, header=False)))
    elif suffix in PARQUET:
        with pa.parquet.ParquetWriter(part, schema, compression="zstd") as parquet:
            yield parquet.write_table
    elif suffix in ARROW:
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as arrow:
            yield arrow.write_table
    else:
        raise BadUserInput(f"{path.name} must end in {', '.join((*CSV, *PARQUET, *ARROW))}")


def _open_text(part: Path, *, compressed: bool) -> TextIO:
    if compressed:
        return gzip.open(part, "wt", encoding="utf-8", newline="")
    return part.open("w", encoding="utf-8", newline="")


def _ignore(_written: int) -> None:
    """A text file's `write` counts characters, which nobody asks for."""
