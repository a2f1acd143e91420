"""The store's transactions: trades appended, candles built from them, candles upserted, rollups kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.door import TEXT_NUMBER, CandleRow, TradeRow
from fullon_master_api.apis.ohlcv.frames import DAY, HOUR, MINUTE, NS
from fullon_master_api.apis.ohlcv.numbers import PART, scaled
from fullon_master_api.apis.ohlcv.records import Series
from fullon_master_api.apis.ohlcv.scaling import Decimals, digits_of, open_series
from fullon_master_api.apis.ohlcv.steps import InsertMany, KeepPartitions, Rows, Run, Transaction
from fullon_master_api.errors import StaleEpoch
from fullon_master_api.model import CandleSource, Fence

TRADES_KIND = 0
"""Coverage of trades; that of candles has their timeframe in seconds as its kind."""


class Bar(NamedTuple):
    """A candle in the series' own integers."""

    opened_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int | None
    source: int
    final: int
    revision: int = 0

    def revising(self, old: Bar | None) -> Bar:
        """This bar in the place of `old`: one more revision where that was final."""
        return self if old is None else self._replace(revision=old.revision + old.final)


def append_trades(
    exchange: str,
    symbol: str,
    rows: Sequence[TradeRow],
    *,
    decimals: Decimals,
    covered: tuple[int, int] | None,
    fence: Fence | None,
) -> Transaction[tuple[Series, list[TradeRow], list[Bar]]]:
    """Store the trades that are new, and what they change: their minutes, hours and days. Answers the new trades in order."""
    yield from take_fence(fence)
    series = yield from open_series(
        exchange,
        symbol,
        prices=digits_of([row.price for row in rows]),
        quantities=digits_of([row.quantity for row in rows]),
        decimals=decimals,
    )
    known = yield from known_ids(series, [row.number for row in rows if not row.text], [row.text for row in rows if row.text])
    # Of a doubled id the first one counts.
    new = sorted({(row.number, row.text): row for row in reversed(rows) if (row.number, row.text) not in known}.values())
    bars: list[Bar] = []
    if new:
        numbers = [(scaled(row.price, series.price_exponent), scaled(row.quantity, series.quantity_exponent)) for row in new]
        stored = [
            (series.series_id, *row[:3], price, quantity % PART, quantity // PART, row.side, row.order_type)
            for row, (price, quantity) in zip(new, numbers, strict=True)
        ]
        prices, quantities = zip(*numbers, strict=True)
        folded = fold([row.event_ns for row in new], prices, quantities)
        yield KeepPartitions(days_of(folded))
        yield InsertMany("market_trades", sql.TRADE_COLUMNS, stored)
        bars = yield from build_minutes(series, folded)
    if covered is not None:
        yield from cover(series, TRADES_KIND, [covered])
    return series, new, bars


def known_ids(series: Series, numbers: list[int], texts: list[str]) -> Transaction[set[tuple[int, str]]]:
    """Ids among these that are stored already."""
    known: set[tuple[int, str]] = set()
    # An exchange counts upwards, so most batches are all news, which one look at the largest number shows.
    newest = (yield Run(sql.NEWEST_NUMBER, (series.series_id, TEXT_NUMBER))) if numbers else []
    if newest and min(numbers) <= newest[0][0]:
        known.update((number, "") for (number,) in (yield Run(sql.KNOWN_NUMBERS, (series.series_id, numbers))))
    if texts:
        found = yield Run(sql.KNOWN_TEXTS, (series.series_id, texts, TEXT_NUMBER))
        known.update((TEXT_NUMBER, text) for (text,) in found)
    return known


def days_of(opened: Iterable[int]) -> frozenset[int]:
    """Days, counted from 1970, in which these minutes lie."""
    return frozenset(opened_s // DAY for opened_s in opened)


def build_minutes(series: Series, folded: dict[int, Bar]) -> Transaction[list[Bar]]:
    """Join new trades, folded, with the candles of their minutes; candles of a greater source stay as they are."""
    newest_s = (yield Run(sql.NEWEST_TRADE, (series.series_id,)))[0][0] // NS
    clock_s = newest_s - newest_s % MINUTE
    before = yield from _candles_at(series, MINUTE, list(folded))
    merged = [opened_s for opened_s in folded if opened_s in before and before[opened_s].source == CandleSource.TRADES]
    ends: dict[int, tuple[int, int]] = {}
    if merged:
        found = yield Run(sql.TRADES_OF_MINUTES, (series.series_id, merged))
        ends = {opened_s: (first, last) for opened_s, first, last in found}
    bars: list[Bar] = []
    for opened_s, bar in folded.items():
        old = before.get(opened_s)
        final = int(opened_s < clock_s)
        if old is None:
            bars.append(bar._replace(final=final))
        elif old.source == CandleSource.TRADES and opened_s >= series.trades_kept_s:
            first, last = ends[opened_s]
            bars.append(
                Bar(
                    opened_s,
                    first,
                    max(bar.high, old.high),
                    min(bar.low, old.low),
                    last,
                    bar.volume + old.volume,
                    (bar.trades or 0) + (old.trades or 0),
                    CandleSource.TRADES,
                    max(final, old.final),
                ).revising(old)
            )
    yield from _put_bars(series, MINUTE, bars)
    closed = yield from _close(series, MINUTE, CandleSource.TRADES, clock_s)
    yield from _roll_up(series, MINUTE, [bar.opened_s for bar in bars])
    return bars + (yield from _bars_at(series, closed.difference(bar.opened_s for bar in bars)))


def fold(event_ns: Sequence[int], prices: Sequence[int], quantities: Sequence[int]) -> dict[int, Bar]:
    """One bar for each minute of trades in their order, given as columns: the work on every row is not Python's."""
    folded: dict[int, Bar] = {}
    start = 0
    while start < len(event_ns):
        opened_s = event_ns[start] // NS // MINUTE * MINUTE
        stop = bisect_left(event_ns, (opened_s + MINUTE) * NS, start)
        paid = prices[start:stop]
        volume = sum(quantities[start:stop])
        folded[opened_s] = Bar(opened_s, paid[0], max(paid), min(paid), paid[-1], volume, len(paid), CandleSource.TRADES, 0)
        start = stop
    return folded


def upsert_candles(
    exchange: str,
    symbol: str,
    width_s: int,
    rows: Sequence[CandleRow],
    *,
    source: CandleSource,
    decimals: Decimals,
    fence: Fence | None,
) -> Transaction[tuple[Series, list[Bar]]]:
    """Store candles of one timeframe; answers those that are new or changed, oldest first.

    A candle of a greater source stays, a final one is not undone by one that is not; all else is overwritten by the last.
    """
    yield from take_fence(fence)
    series = yield from open_series(
        exchange,
        symbol,
        prices=digits_of(
            [row.high for row in rows],
            [row.open for row in rows],
            [row.low for row in rows],
            [row.close for row in rows],
        ),
        quantities=digits_of([row.volume for row in rows]),
        decimals=decimals,
    )
    before = yield from _candles_at(series, width_s, [row.opened_s for row in rows])
    given = (_bar(series, row, source) for row in rows)
    changed = [bar.revising(before.get(bar.opened_s)) for bar in given if _replaces(bar, before.get(bar.opened_s))]
    yield from _put_bars(series, width_s, changed)
    yield from _roll_up(series, width_s, [bar.opened_s for bar in changed])
    yield from cover(series, width_s, _runs(width_s, (row.opened_s for row in rows if row.final)))
    return series, changed


def _bar(series: Series, row: CandleRow, source: CandleSource) -> Bar:
    exponent = series.price_exponent
    return Bar(
        row.opened_s,
        scaled(row.open, exponent),
        scaled(row.high, exponent),
        scaled(row.low, exponent),
        scaled(row.close, exponent),
        scaled(row.volume, series.quantity_exponent),
        row.trades,
        source,
        int(row.final),
    )


def _replaces(bar: Bar, old: Bar | None) -> bool:
    if old is None:
        return True
    return bar.final >= old.final and bar.source >= old.source and bar != old._replace(revision=0)


def _runs(width_s: int, opened: Iterable[int]) -> list[tuple[int, int]]:
    """Spans in nanoseconds of candles that follow one another."""
    runs: list[tuple[int, int]] = []
    for opened_s in opened:
        start_ns, end_ns = opened_s * NS, (opened_s + width_s) * NS
        if runs and runs[-1][1] == start_ns:
            runs[-1] = (runs[-1][0], end_ns)
        else:
            runs.append((start_ns, end_ns))
    return runs


def close_candles(
    exchange: str, symbol: str, until_s: int, *, fence: Fence | None
) -> Transaction[tuple[Series, list[Bar]] | None]:
    """Make final what was built from trades and ended by this instant; None for an unknown series."""
    yield from take_fence(fence)
    found = yield Run(sql.CHANGE_SERIES, (exchange, symbol))
    if not found:
        return None
    series = Series(**dict(zip(Series.__struct_fields__, found[0], strict=True)))
    closed = yield from _close(series, MINUTE, CandleSource.TRADES, until_s)
    for width_s in (HOUR, DAY):
        yield from _close(series, width_s, CandleSource.ROLLUP, until_s)
    return series, (yield from _bars_at(series, closed))


def cover_span(exchange: str, symbol: str, kind: int, span: tuple[int, int], *, fence: Fence | None) -> Transaction[None]:
    """Note that all there is within the span is stored."""
    yield from take_fence(fence)
    series = yield from open_series(exchange, symbol)
    yield from cover(series, kind, [span])


def take_fence(fence: Fence | None) -> Transaction[None]:
    """Raises: StaleEpoch, and so nothing of the transaction happens, when an owner with a higher epoch has written."""
    if fence is not None and not (yield Run(sql.TAKE_FENCE, (fence.service, fence.epoch))):
        raise StaleEpoch(f"the lease of {fence.service} has passed on from epoch {fence.epoch}")


def cover(series: Series, kind: int, spans: Sequence[tuple[int, int]]) -> Transaction[None]:
    """Add spans to what is covered; spans that touch become one."""
    for start_ns, end_ns in spans:
        args = (series.series_id, kind, start_ns, end_ns)
        touching: Rows = yield Run(sql.OVERLAPPING_COVERAGE, args)
        if touching:
            yield Run(sql.DROP_COVERAGE, args)
        first_ns = min([start_ns, *(row[0] for row in touching)])
        last_ns = max([end_ns, *(row[1] for row in touching)])
        yield Run(sql.ADD_COVERAGE, (series.series_id, kind, first_ns, last_ns))


def _candles_at(series: Series, width_s: int, opened: list[int]) -> Transaction[dict[int, Bar]]:
    rows = yield Run(sql.CANDLES_AT, (series.series_id, width_s, opened))
    return {row[0]: Bar._make((*row[:5], row[5] + row[6] * PART, *row[7:])) for row in rows}


def _bars_at(series: Series, opened: set[int]) -> Transaction[list[Bar]]:
    found = (yield from _candles_at(series, MINUTE, sorted(opened))) if opened else {}
    return [found[opened_s] for opened_s in sorted(found)]


def _put_bars(series: Series, width_s: int, bars: Sequence[Bar]) -> Transaction[None]:
    rows = [
        (series.series_id, width_s, *bar[:5], bar.volume % PART, bar.volume // PART, bar.trades, int(bar.source), bar.final, 0)
        for bar in bars
    ]
    if rows:
        yield InsertMany("market_candles", sql.CANDLE_COLUMNS, rows, sql.ON_CANDLE_CONFLICT)


def _close(series: Series, width_s: int, source: CandleSource, until_s: int) -> Transaction[set[int]]:
    rows = yield Run(sql.CLOSE_CANDLES, (series.series_id, width_s, int(source), until_s))
    return {opened_s for (opened_s,) in rows}


def _roll_up(series: Series, width_s: int, opened: Sequence[int]) -> Transaction[None]:
    """Rebuild the hours, then the days, in which candles changed, and close those whose time is over."""
    for base_s, wide_s in ((MINUTE, HOUR), (HOUR, DAY)):
        touched = sorted(
            {opened_s - opened_s % wide_s for opened_s in opened if opened_s - opened_s % wide_s >= series.candles_kept_s}
        )
        if base_s < width_s or not touched:
            continue
        clock_s = (yield Run(sql.CLOCK, (series.series_id, base_s)))[0][0]
        yield Run(sql.ROLL_UP, (series.series_id, base_s, wide_s, touched, clock_s))
        yield from _close(series, wide_s, CandleSource.ROLLUP, clock_s)
