"""Trades and candles from the store into a file, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from fullon_master_api.apis.ohlcv import reading
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.door import id_columns
from fullon_master_api.apis.ohlcv.frames import NS, frame
from fullon_master_api.apis.ohlcv.parts import Part, Whole, open_part
from fullon_master_api.apis.ohlcv.records import Fill
from fullon_master_api.apis.ohlcv.spans import BASE_ROWS_MAX, LIMIT_MAX, TIME_MAX_S, Key
from fullon_master_api.apis.ohlcv.store import OhlcvStore
from fullon_master_api.apis.ohlcv.tables import candles_schema, candles_table, trades_schema, trades_table
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Candle, CandleColumns, MarketTrade, Record, Timeframe

Progress = Callable[[int, float], None]
"""Called after each page with (rows done, part of the span that is done, 0 to 1)."""


class ExportPlan(Record, frozen=True, kw_only=True):
    """What to export: trades (`timeframe` None) or candles that open in [start_ns, end_ns), to the newest where it is None."""

    key: Key
    timeframe: Timeframe | None = None
    start_ns: int = 0
    end_ns: int | None = None
    fill: Fill = Fill.NONE
    zone: str = "UTC"


class ExportReport(Record, frozen=True, kw_only=True):
    """What an export did; `resumed_at` of its rows were written by an earlier run that was interrupted."""

    rows: int
    resumed_at: int


async def scan_trades(
    store: OhlcvStore, key: Key, *, start_ns: int = 0, end_ns: int | None = None, after_id: str | None = None
) -> AsyncGenerator[list[MarketTrade]]:
    """All trades of a span, oldest first, a page at a time; with `after_id` those behind this trade of the first instant."""
    high_ns = TIME_MAX_S * NS if end_ns is None else end_ns
    after: tuple[int, int, str] = (start_ns - 1, 2**63 - 1, "\U0010ffff")  # behind every trade of the instant before
    if after_id is not None:
        after = (start_ns, *id_columns(after_id))
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
            [key], timeframe, start_ns=start_ns, end_ns=end_ns, limit=_page(timeframe, zone), fill=fill, zone=zone
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
        (page,) = await store.columns([key], timeframe, start_ns=start_ns, end_ns=end_ns, limit=_page(timeframe, "UTC"))
        if not page.opened_ms:
            return
        start_ns = page.opened_ms[-1] * 1_000_000 + 1
        yield page


def _page(timeframe: Timeframe, zone: str) -> int:
    return min(LIMIT_MAX, BASE_ROWS_MAX // frame(timeframe, zone).ratio)


async def export_file(
    store: OhlcvStore, path: Path, plan: ExportPlan, *, restart: bool = False, progress: Progress | None = None
) -> ExportReport:
    """Write trades or candles to a CSV, Parquet or Arrow file, exactly; `import_file` reads it back.

    The file gets its name when it is complete. An interrupted export leaves what it has written under a name that ends in
    `.part`, and the same call goes on behind it, unless `restart`. What the store gets meanwhile is in the file where it
    lies behind the rows that are written. Raises: NotFound for a series without data; BadUserInput for another kind of file;
    StoreUnavailable.
    """
    found = await store.driver.read(sql.READ_SERIES, *plan.key)
    if not found:
        raise NotFound(f"nothing is stored of {plan.key[1]!r} at {plan.key[0]!r}")
    first_ns, last_ns = await _edges(store, plan)
    digits = found[0][3], found[0][4]
    schema = trades_schema(*digits) if plan.timeframe is None else candles_schema(*digits)
    with open_part(path, schema, f"{plan} {first_ns} {schema.to_string()}", restart=restart) as part:
        resumed_at = rows = part.whole.rows
        async with aclosing(_pages(store, plan, part.whole)) as pages:
            async for page in pages:
                reached_ns = await store.driver.compute(partial(_put, part, page, schema))
                rows += len(page)
                if progress is not None:
                    progress(rows, (reached_ns - first_ns) / (last_ns - first_ns) if last_ns > first_ns else 1.0)
        await store.driver.compute(part.finish)
    return ExportReport(rows=rows, resumed_at=resumed_at)


async def _edges(store: OhlcvStore, plan: ExportPlan) -> tuple[int, int]:
    """Instants of the first and the last row of the span; 0 where there is none."""
    span: dict[str, Any] = {"start_ns": plan.start_ns, "end_ns": plan.end_ns, "limit": 1}
    found: list[int] = []
    for newest in (False, True):
        if plan.timeframe is None:
            found.extend(trade.event_ns for trade in (await store.trades([plan.key], newest=newest, **span))[0])
        else:
            (candles,) = await store.candles([plan.key], plan.timeframe, fill=plan.fill, zone=plan.zone, newest=newest, **span)
            found.extend(candle.opened_ns for candle in candles)
    return (found[0], found[-1]) if found else (0, 0)


def _pages(store: OhlcvStore, plan: ExportPlan, whole: Whole) -> AsyncGenerator[Any]:
    """The plan's rows behind those that are written."""
    if plan.timeframe is None:
        if whole.rows:
            return scan_trades(store, plan.key, start_ns=whole.last_ns, end_ns=plan.end_ns, after_id=whole.last_id)
        return scan_trades(store, plan.key, start_ns=plan.start_ns, end_ns=plan.end_ns)
    start_ns = whole.last_ns + 1 if whole.rows else plan.start_ns
    return scan_candles(store, plan.key, plan.timeframe, start_ns=start_ns, end_ns=plan.end_ns, fill=plan.fill, zone=plan.zone)


def _put(part: Part, page: list[MarketTrade] | list[Candle], schema: pa.Schema) -> int:
    """Write a page; the answer is the instant it reaches."""
    last: Any = page[-1]
    rows: Any = page
    if isinstance(last, Candle):
        part.put(candles_table(rows, schema), last.opened_ns, "", settled=last.final)
        return last.opened_ns
    part.put(trades_table(rows, schema), last.event_ns, last.trade_id, settled=True)
    return int(last.event_ns)
