"""Market trades and candles of every symbol: append, upsert, and batched reads of any timeframe."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from fullon_master_api.apis.ohlcv import reading, writing
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.door import check_candles, check_names, check_trades, id_of
from fullon_master_api.apis.ohlcv.frames import NS, STORED, WIDTH_S
from fullon_master_api.apis.ohlcv.kept import KeptCandles
from fullon_master_api.apis.ohlcv.postgres import open_postgres
from fullon_master_api.apis.ohlcv.reading import Row
from fullon_master_api.apis.ohlcv.records import Appended, Fill, Interval, Origin, Upserted
from fullon_master_api.apis.ohlcv.scaling import Decimals
from fullon_master_api.apis.ohlcv.spans import LIMIT_MAX, TIME_MAX_S, Key, Span, aligned, check_range, distinct_keys
from fullon_master_api.apis.ohlcv.sqlite import SqliteDriver
from fullon_master_api.apis.ohlcv.steps import Driver
from fullon_master_api.apis.ohlcv.writing import TRADES_KIND
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Candle, CandleColumns, CandleSource, Fence, MarketTrade, Timeframe
from fullon_master_api.tracing import with_spans

KEPT_LIMIT_MIN: Final = 32
"""Reads of fewer candles are not kept: to read them costs no more than to ask whether they have changed."""
SPANS: Final = {"read": "ohlcv read", "write": "ohlcv write"}
T = TypeVar("T")
R = TypeVar("R")


class OhlcvStore:
    """The three kinds of data of the market's past: trades, candles, and which spans of them are complete.

    Reads take a list of (exchange, symbol) and answer a list of the same length and order in one statement, whatever the
    number of keys; a series that is unknown answers an empty list, and a read never creates anything. Ranges are half-open,
    [start_ns, end_ns), by the open time of a candle. With `start_ns` the answer is the oldest `limit` of the range, without
    it (or with `newest`) the newest; always oldest first.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._kept = KeptCandles()

    # ---- writes ----

    async def append_trades(
        self,
        exchange: str,
        symbol: str,
        trades: Sequence[MarketTrade],
        *,
        price_decimals: int | None = None,
        quantity_decimals: int | None = None,
        covered: tuple[int, int] | None = None,
        fence: Fence | None = None,
    ) -> Appended:
        """Store trades, each once however often it comes, and rebuild the candles of their minutes, hours and days.

        Units:  `covered` is the span [start_ns, end_ns) of which the caller knows that these and stored trades are all.
        Raises: BadUserInput for numbers too large to be kept exactly; StaleEpoch; StoreUnavailable.
        """
        check_names(exchange, symbol)
        decimals = Decimals(price_decimals, quantity_decimals)
        rows, refused = await self._checked(trades, check_trades)
        if not rows and covered is None:
            return Appended(stored=0, repeated=0, refused=refused, trades=[], candles=[])
        begin = partial(writing.append_trades, exchange, symbol, rows, decimals=decimals, covered=covered, fence=fence)
        series, new, bars = await self.driver.write(begin)
        fresh = [id_of(row.number, row.text) for row in new]
        first = {trade.trade_id: trade for trade in reversed(trades)}
        return Appended(
            stored=len(new),
            repeated=len(rows) - len(new),
            refused=refused,
            trades=[first[trade_id] for trade_id in fresh],
            candles=reading.bar_candles(sorted(bars), series),
        )

    async def upsert_candles(
        self,
        exchange: str,
        symbol: str,
        timeframe: Timeframe,
        candles: Sequence[Candle],
        *,
        source: CandleSource = CandleSource.EXCHANGE,
        price_decimals: int | None = None,
        quantity_decimals: int | None = None,
        fence: Fence | None = None,
    ) -> Upserted:
        """Store candles of 1m, 1h or 1d; hours and days above them are rebuilt.

        The last word counts, except that a final candle is not undone by one that is not, nor a greater source by a smaller.
        Raises: BadUserInput for another timeframe and for numbers too large to be kept exactly; StaleEpoch; StoreUnavailable.
        """
        check_names(exchange, symbol)
        if timeframe not in STORED:
            raise BadUserInput(
                f"candles of {timeframe.value} are not stored, they are built from 1m, 1h and 1d: store one of these"
            )
        decimals = Decimals(price_decimals, quantity_decimals)
        rows, refused = await self._checked(candles, partial(check_candles, timeframe=timeframe))
        if not rows:
            return Upserted(stored=0, repeated=0, refused=refused, candles=[])
        width_s = WIDTH_S[timeframe]
        begin = partial(writing.upsert_candles, exchange, symbol, width_s, rows, source=source, decimals=decimals, fence=fence)
        series, bars = await self.driver.write(begin)
        return Upserted(
            stored=len(bars), repeated=len(rows) - len(bars), refused=refused, candles=reading.bar_candles(bars, series)
        )

    async def close_candles(self, exchange: str, symbol: str, until_ns: int, *, fence: Fence | None = None) -> list[Candle]:
        """Make final every candle built from trades whose time ended by `until_ns`; answers the 1m candles it closed.

        A candle closes by itself when a trade of a later minute arrives; this is for a market that went quiet.
        """
        begin = partial(writing.close_candles, exchange, symbol, until_ns // NS, fence=fence)
        found = await self.driver.write(begin)
        return [] if found is None else reading.bar_candles(found[1], found[0])

    async def cover(
        self,
        exchange: str,
        symbol: str,
        start_ns: int,
        end_ns: int,
        *,
        timeframe: Timeframe | None = None,
        fence: Fence | None = None,
    ) -> None:
        """Note that everything within [start_ns, end_ns) is stored: the candles of a timeframe, or the trades (None)."""
        check_names(exchange, symbol)
        if start_ns < end_ns:
            kind = TRADES_KIND if timeframe is None else WIDTH_S[timeframe]
            await self.driver.write(partial(writing.cover_span, exchange, symbol, kind, (start_ns, end_ns), fence=fence))

    # ---- reads ----

    async def candles(
        self,
        keys: Sequence[Key],
        timeframe: Timeframe,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        fill: Fill = Fill.NONE,
        zone: str = "UTC",
        newest: bool | None = None,
        limit_max: int = LIMIT_MAX,
    ) -> list[list[Candle]]:
        """Candles of each key, exact, oldest first.

        Raises: BadUserInput for a limit outside 1 to `limit_max`, an end before the start, an unknown zone.
        """
        check_range(start_ns, end_ns, limit, limit_max)
        span = Span(timeframe, start_ns=start_ns, end_ns=end_ns, limit=limit, zone=zone, newest=newest)
        if limit < KEPT_LIMIT_MIN:
            return await self._read(keys, span, fill, lambda _key, rows: reading.candles(rows))
        asked = (timeframe, start_ns, end_ns, limit, fill, zone, span.newest)
        distinct = distinct_keys(keys, limit)
        counted = await self.driver.read(sql.READ_CHANGES, distinct) if distinct else []
        changes: dict[Key, int] = {distinct[position]: count for position, count in counted}
        known = {key: self._kept.find((key, asked), count) for key, count in changes.items()}

        def build(key: Key | None, rows: Sequence[Row]) -> list[Candle]:
            return reading.candles(rows) if key is None else self._kept.candles((key, asked), rows, changes[key])

        missing = [key for key, found in known.items() if found is None]
        found = dict(zip(missing, await self._read(missing, span, fill, build), strict=True))
        return [known.get(key) or found.get(key, []) for key in keys]

    async def columns(
        self,
        keys: Sequence[Key],
        timeframe: Timeframe,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 1000,
        fill: Fill = Fill.NONE,
        zone: str = "UTC",
        newest: bool | None = None,
    ) -> list[CandleColumns]:
        """The same candles as columns of floats, for charts."""
        check_range(start_ns, end_ns, limit, LIMIT_MAX)
        span = Span(timeframe, start_ns=start_ns, end_ns=end_ns, limit=limit, zone=zone, newest=newest)
        return await self._read(keys, span, fill, lambda _key, rows: reading.columns(rows))

    async def last_candles(self, keys: Sequence[Key], timeframe: Timeframe) -> list[Candle | None]:
        """The newest candle of each key, open or final."""
        return [found[-1] if found else None for found in await self.candles(keys, timeframe, limit=1)]

    async def trades(
        self,
        keys: Sequence[Key],
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        newest: bool | None = None,
        limit_max: int = LIMIT_MAX,
    ) -> list[list[MarketTrade]]:
        """Public trades of each key, oldest first; trades of one instant in the order of their ids."""
        check_range(start_ns, end_ns, limit, limit_max)
        if newest is None:
            newest = start_ns is None
        distinct = distinct_keys(keys, limit)
        low_ns, high_ns = start_ns or 0, TIME_MAX_S * NS if end_ns is None else end_ns
        statement = sql.READ_TRADES_NEWEST if newest else sql.READ_TRADES_OLDEST
        rows = await self.driver.read(statement, distinct, low_ns, high_ns, limit) if distinct else []
        found = {
            position: reading.trades(group[-limit:] if newest else group[:limit])
            for position, group in reading.by_position(rows, 2, 3, 4)
        }
        return aligned(keys, distinct, found, [])

    async def last_trades(self, keys: Sequence[Key]) -> list[MarketTrade | None]:
        """The newest trade of each key."""
        return [found[-1] if found else None for found in await self.trades(keys, limit=1)]

    async def coverage(self, keys: Sequence[Key], timeframe: Timeframe | None = None) -> list[list[Interval]]:
        """Spans of which everything is stored, oldest first: of the candles of 1m, 1h or 1d, or of the trades (None)."""
        distinct = distinct_keys(keys, 1)
        kind = TRADES_KIND if timeframe is None else WIDTH_S[timeframe]
        rows = await self.driver.read(sql.READ_COVERAGE, distinct, kind) if distinct else []
        found = {
            position: [Interval(start_ns=row[1], end_ns=row[2]) for row in group] for position, group in reading.by_position(rows)
        }
        return aligned(keys, distinct, found, [])

    async def origins(self, key: Key, timeframe: Timeframe, *, start_ns: int, end_ns: int) -> list[Origin]:
        """Where stored candles came from and how often they were revised; at most 5,000."""
        rows = await self.driver.read(sql.READ_ORIGINS, *key, WIDTH_S[timeframe], -(-start_ns // NS), -(-end_ns // NS))
        return [Origin(opened_ns=row[0] * NS, source=CandleSource(row[1]), final=bool(row[2]), revision=row[3]) for row in rows]

    async def series(self) -> list[Key]:
        """Every (exchange, symbol) that has rows."""
        return [(exchange, symbol) for exchange, symbol in await self.driver.read(sql.READ_SERIES_NAMES)]

    async def _read(
        self, keys: Sequence[Key], span: Span, fill: Fill, build: Callable[[Key | None, Sequence[Row]], T]
    ) -> list[T]:
        """`build` makes the answer of a key's rows; where there are many it runs beside the loop, and is told no key."""
        distinct = distinct_keys(keys, span.limit)
        if not distinct:
            return []
        rows = await self.driver.read(span.statement, distinct, *span.args)
        before = await self.driver.read(sql.READ_NEIGHBOURS, distinct, *span.edges) if fill is Fill.PREVIOUS_CLOSE else []
        neighbours = {row[0]: row[1:] for row in before}
        split = reading.split_hours(rows, span.frame) if span.frame.splits_hours else []
        minutes = await self.driver.read(sql.READ_MINUTES, distinct, split) if split else []

        large = len(rows) > LIMIT_MAX

        def shape() -> dict[int, T]:
            found = dict(reading.by_position(rows, 2))
            if split:
                pieces = dict(reading.by_position(minutes, 2))
                found = {
                    position: reading.with_minutes(hours, pieces.get(position, []), set(split))
                    for position, hours in found.items()
                }
            return {
                position: build(
                    None if large else distinct[position], span.shaped(found.get(position, []), fill, neighbours.get(position))
                )
                for position in found.keys() | neighbours.keys()
            }

        built = await self.driver.compute(shape) if large else shape()
        return aligned(keys, distinct, built, build(None, []))

    async def _checked(self, given: Sequence[T], check: Callable[[Sequence[T]], R]) -> R:
        """Check many rows beside the event loop, few on it."""
        return await self.driver.compute(partial(check, given)) if len(given) > LIMIT_MAX else check(given)


@asynccontextmanager
async def open_ohlcv(
    url: str, *, pool_size: int = 10, timeout_s: float = 10.0, migrate: bool = True
) -> AsyncGenerator[OhlcvStore, None]:
    """The store behind an SQLAlchemy URL: `sqlite+aiosqlite:///file` or `postgresql+asyncpg://…`.

    With `migrate` the tables are made or brought to this version first. Raises: StoreUnavailable when the store cannot be
    reached, or its tables are of another version.
    """
    driver = with_spans(await _open_driver(url, pool_size=pool_size, timeout_s=timeout_s, migrate=migrate), SPANS)
    try:
        yield OhlcvStore(driver)
    finally:
        await driver.aclose()


async def _open_driver(url: str, *, pool_size: int, timeout_s: float, migrate: bool) -> Driver:
    file = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", url)
    if file and file[1] != ":memory:":
        return await asyncio.to_thread(partial(SqliteDriver, Path(file[1]), timeout_s=timeout_s, migrate=migrate))
    if re.match(r"postgres(ql)?(\+asyncpg)?://", url):
        return await open_postgres(url, pool_size=pool_size, timeout_s=timeout_s, migrate=migrate)
    raise BadUserInput("OHLCV_DATABASE_URL must be sqlite+aiosqlite:///file or postgresql+asyncpg://…")
