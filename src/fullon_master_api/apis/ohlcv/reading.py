"""From stored integers to candles and trades: scale, aggregation by calendar, gaps filled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from fullon_master_api.apis.ohlcv.door import ORDER_TYPES, SIDES, id_of
from fullon_master_api.apis.ohlcv.frames import HOUR, NS, Frame
from fullon_master_api.apis.ohlcv.numbers import PART, texts
from fullon_master_api.apis.ohlcv.records import Series
from fullon_master_api.apis.ohlcv.statements import REVISED, SOURCED
from fullon_master_api.apis.ohlcv.steps import Rows
from fullon_master_api.apis.ohlcv.writing import Bar
from fullon_master_api.model import Candle, CandleColumns, CandleSource, MarketTrade

Row = tuple[Any, ...]
"""A read candle: position, scale, opened_s, open, high, low, close, volume, volume_high, trades, mark (see `statements.MARK`)."""
FILLED: Final = -1
"""In the place of the mark: the row was made up for a span without trades."""


class Marked(NamedTuple):
    """A mark, read."""

    final: bool
    filled: bool
    source: CandleSource | None
    revision: int


@lru_cache(maxsize=4096)
def marked(mark: int) -> Marked:
    if mark == FILLED:
        return Marked(final=True, filled=True, source=None, revision=0)
    return Marked(bool(mark % SOURCED), False, CandleSource(mark % REVISED // SOURCED), mark // REVISED)


def scale_of(series: Series) -> int:
    """The four digits counts of a series in one number, as the reads select it."""
    digits = (series.price_exponent, series.quantity_exponent, series.price_decimals, series.quantity_decimals)
    return sum(count * 100**place for place, count in enumerate(digits))


def split_scale(scale: int) -> tuple[int, int, int, int]:
    """(price exponent, quantity exponent, price decimals, quantity decimals)."""
    return scale % 100, scale // 100 % 100, scale // 10_000 % 100, scale // 1_000_000


def by_position(rows: Rows, *order: int) -> Iterator[tuple[int, list[Row]]]:
    """Rows of each key, sorted by these columns."""
    if order:
        rows.sort(key=itemgetter(0, *order))
    for position, group in groupby(rows, key=itemgetter(0)):
        yield position, list(group)


def aggregate(rows: Sequence[Row], frame: Frame) -> list[Row]:
    """Stored rows, oldest first, added up to the candles of a frame whose lengths differ (months, a zone's days).

    Each row has the series' clock behind its other columns: a candle is final once that has passed its end.
    """
    if not rows:
        return []
    wide: list[Row] = []
    position, scale, clock_s = rows[0][0], rows[0][1], rows[0][11]
    start_s = frame.start(rows[0][2])
    end_s = frame.end(start_s)
    opened, high, low, close, volume, part, count, revision = rows[0][3], 0, rows[0][5], 0, 0, 0, 0, 0
    counted = True
    for _, _, instant_s, first, top, bottom, last, small, large, trades, mark, _ in rows:
        if instant_s >= end_s:
            number, after = count if counted else None, int(end_s <= clock_s) + REVISED * revision
            wide.append((position, scale, start_s, opened, high, low, close, volume, part, number, after))
            start_s = frame.start(instant_s)
            end_s = frame.end(start_s)
            opened, high, low, volume, part, count, revision, counted = first, top, bottom, 0, 0, 0, 0, True
        if top > high:
            high = top
        if bottom < low:
            low = bottom
        close = last
        volume += small
        part += large
        revision += mark // REVISED
        if trades is None:
            counted = False
        else:
            count += trades
    number, after = count if counted else None, int(end_s <= clock_s) + REVISED * revision
    wide.append((position, scale, start_s, opened, high, low, close, volume, part, number, after))
    return wide


def split_hours(rows: Sequence[Row], frame: Frame) -> list[int]:
    """Beginnings of the hours in which a candle of the frame begins."""
    found: dict[int, None] = {}
    for row in rows:
        if frame.end(frame.start(row[2])) < row[2] + HOUR:
            found[row[2]] = None
    return list(found)


def with_minutes(hours: Sequence[Row], minutes: Sequence[Row], split: Collection[int]) -> list[Row]:
    """Hours of one series, those that are split replaced by their minutes; one that has none stays whole."""
    clock_s = hours[0][11] if hours else 0
    of_hour: dict[int, list[Row]] = {}
    for row in minutes:
        of_hour.setdefault(row[2] - row[2] % HOUR, []).append((*row, clock_s))
    rows: list[Row] = []
    for row in hours:
        rows.extend(of_hour.get(row[2], [row]) if row[2] in split else [row])
    return rows


@dataclass(frozen=True, slots=True)
class Gaps:
    """How the spans without trades of one series are made up: as the previous close, with volume 0.

    `before` is (scale, close) of what came before `start_s`; `end_s` is where a later candle is known to follow. Where
    nothing came before, nothing is made up, and nothing after the last known candle.
    """

    frame: Frame
    limit: int
    start_s: int | None = None
    before: tuple[int, int] | None = None
    end_s: int | None = None

    def filled_newest(self, rows: Sequence[Row]) -> list[Row]:
        """The newest `limit` candles, made up ones among them."""
        kept: list[Row] = []
        upper_s = self.end_s
        for row in reversed(rows):
            if upper_s is not None:
                kept.extend(self._newest(self.frame.end(row[2]), upper_s, row[1], row[6], self.limit - len(kept)))
            kept.append(row)
            upper_s = row[2]
        if upper_s is not None and self.before is not None and self.start_s is not None:
            kept.extend(self._newest(self.start_s, upper_s, *self.before, self.limit - len(kept)))
        return kept[: self.limit][::-1]

    def filled_oldest(self, rows: Sequence[Row]) -> list[Row]:
        """The oldest `limit` candles, made up ones among them."""
        kept: list[Row] = []
        lower_s, (scale, close) = self.start_s, self.before or (0, 0)
        if self.before is None:
            lower_s = None
        for row in rows:
            if lower_s is not None:
                kept.extend(self._oldest(lower_s, row[2], scale, close, self.limit - len(kept)))
            kept.append(row)
            lower_s, scale, close = self.frame.end(row[2]), row[1], row[6]
        if lower_s is not None and self.end_s is not None:
            kept.extend(self._oldest(lower_s, self.end_s, scale, close, self.limit - len(kept)))
        return kept[: self.limit]

    def _newest(self, from_s: int, to_s: int, scale: int, close: int, most: int) -> list[Row]:
        if most <= 0 or from_s >= to_s:
            return []
        near_s = max(from_s, to_s - (most + 1) * self.frame.width_s)
        starts = list(self._starts(self.frame.ceil(near_s), to_s))[-most:]
        return [_made_up(start_s, scale, close) for start_s in reversed(starts)]

    def _oldest(self, from_s: int, to_s: int, scale: int, close: int, most: int) -> list[Row]:
        return [_made_up(start_s, scale, close) for start_s in islice(self._starts(from_s, to_s), max(most, 0))]

    def _starts(self, from_s: int, to_s: int) -> Iterator[int]:
        while from_s < to_s:
            yield from_s
            from_s = self.frame.end(from_s)


def _made_up(start_s: int, scale: int, close: int) -> Row:
    return 0, scale, start_s, close, close, close, close, 0, 0, 0, FILLED


def candles(rows: Sequence[Row]) -> list[Candle]:
    """Rows of one series as records, prices with the digits that the series shows."""
    if not rows:
        return []
    price_exponent, quantity_exponent, price_decimals, quantity_decimals = split_scale(rows[0][1])
    price, quantity = texts(price_exponent, price_decimals), texts(quantity_exponent, quantity_decimals)
    return [
        Candle(
            opened_ns=opened_s * NS,
            open=price[opened],
            high=price[high],
            low=price[low],
            close=price[close],
            volume=quantity[volume + part * PART] if part else quantity[volume],
            trades=trades,
            final=known.final,
            filled=known.filled,
            source=known.source,
            revision=known.revision,
        )
        for _, _, opened_s, opened, high, low, close, volume, part, trades, mark in rows
        for known in (marked(mark),)
    ]


def columns(rows: Sequence[Row]) -> CandleColumns:
    """Rows of one series as columns; each float is the nearest to the exact number."""
    if not rows:
        return CandleColumns(opened_ms=[], open=[], high=[], low=[], close=[], volume=[])
    price_exponent, quantity_exponent, _, _ = split_scale(rows[0][1])
    price, quantity = 10**price_exponent, 10**quantity_exponent
    _, _, opened_s, opened, high, low, close, volume, part, _, _ = zip(*rows, strict=True)
    return CandleColumns(
        opened_ms=[instant * 1000 for instant in opened_s],
        open=[value / price for value in opened],
        high=[value / price for value in high],
        low=[value / price for value in low],
        close=[value / price for value in close],
        volume=[(value + more * PART) / quantity for value, more in zip(volume, part, strict=True)],
    )


def bar_candles(bars: Sequence[Bar], series: Series) -> list[Candle]:
    """Bars of a transaction as records."""
    scale = scale_of(series)
    return candles(
        [
            (0, scale, *bar[:5], bar.volume, 0, bar.trades, bar.final + SOURCED * bar.source + REVISED * bar.revision)
            for bar in bars
        ]
    )


def trades(rows: Sequence[Row]) -> list[MarketTrade]:
    """Trade rows of one series (position, scale, event_ns, the two columns of the id, price, quantity, quantity_high, side,
    type) as records."""
    if not rows:
        return []
    price_exponent, quantity_exponent, price_decimals, quantity_decimals = split_scale(rows[0][1])
    price, quantity = texts(price_exponent, price_decimals), texts(quantity_exponent, quantity_decimals)
    return [
        MarketTrade(
            trade_id=id_of(number, text),
            event_ns=event_ns,
            price=price[paid],
            quantity=quantity[size + part * PART],
            side=SIDES[side],
            order_type=ORDER_TYPES[order_type],
        )
        for _, _, event_ns, number, text, paid, size, part, side, order_type in rows
    ]
