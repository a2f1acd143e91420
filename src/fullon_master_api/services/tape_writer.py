"""Where a symbol's market data goes: into the OHLCV store first, then to those who watch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from fullon_master_api.apis.ohlcv import Interval, Refused
from fullon_master_api.errors import BadUserInput, CacheUnavailable, Unavailable
from fullon_master_api.exchanges.adapter import Market
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Candle, Fence, MarketTrade, Symbol, Timeframe
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedGauge
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.spans import MINUTE_NS, MarketClock, Span

log = get_logger(__name__)
T = TypeVar("T")

GRACE_NS: Final = 2_000_000_000
"""A quiet minute is closed so long after its end: trades of its last moment may still be on the way."""

IDLE_S: Final = 60.0


class TapeWriter:
    """Writes one symbol's trades and candles under the lease, and waits as long as the store is away.

    What the store said was new is then told to the cache, whose topics carry it on: a reader of a topic never sees what
    is not stored. The cache may be away: that costs its readers, not the data.
    """

    def __init__(
        self,
        resources: Resources,
        fence: Fence,
        symbol: Symbol,
        market: Market | None,
        gauge: FeedGauge,
        *,
        changed: Callable[[str, str], None] = lambda _exchange, _symbol: None,
    ) -> None:
        """`changed` is called with (exchange, symbol) after candles of 1m were told."""
        self.symbol, self.gauge, self.clock = symbol, gauge, MarketClock()
        self._ohlcv, self._cache, self._fence = resources.ohlcv, resources.cache, fence
        self._key = (symbol.exchange, symbol.symbol)
        self._price_decimals = market.price_decimals if market else symbol.decimals
        self._quantity_decimals = market.quantity_decimals if market else symbol.quantity_decimals
        self._changed = changed
        self._open_ns: int | None = None  # open time of the newest candle that is not final

    async def append(self, trades: Sequence[MarketTrade], covered: Span | None, *, tell: bool) -> int:
        """Store trades; the answer is how many were new. `covered`: with these, all trades of that span are stored."""
        if not trades and covered is None:
            return 0
        appended = await self._patiently(
            lambda: self._ohlcv.append_trades(
                *self._key,
                trades,
                price_decimals=self._price_decimals,
                quantity_decimals=self._quantity_decimals,
                covered=covered if covered is not None and covered[0] < covered[1] else None,
                fence=self._fence,
            )
        )
        if appended is None:
            return 0
        self._count(appended.refused)
        if tell:
            await self._tell(appended.trades, appended.candles)
        return appended.stored

    async def upsert(self, candles: Sequence[Candle], *, tell: bool) -> int:
        """Store the exchange's own 1m candles; the answer is how many were new or changed."""
        if not candles:
            return 0
        upserted = await self._patiently(
            lambda: self._ohlcv.upsert_candles(
                *self._key,
                Timeframe.MINUTE_1,
                candles,
                price_decimals=self._price_decimals,
                quantity_decimals=self._quantity_decimals,
                fence=self._fence,
            )
        )
        if upserted is None:
            return 0
        self._count(upserted.refused)
        if tell:
            await self._tell([], upserted.candles)
        return upserted.stored

    async def cover(self, span: Span, timeframe: Timeframe) -> None:
        """Note that all candles of this span are stored."""
        start_ns, end_ns = span
        await self._patiently(lambda: self._ohlcv.cover(*self._key, start_ns, end_ns, timeframe=timeframe, fence=self._fence))

    async def newest_ns(self) -> int | None:
        """Time of the newest trade stored."""
        found = await self._patiently(lambda: self._ohlcv.last_trades([self._key]))
        newest = found[0] if found else None
        return newest.event_ns if newest is not None else None

    async def covered(self, timeframe: Timeframe | None = None) -> list[Interval]:
        """Spans of which everything is stored: the trades, or the candles of a timeframe."""
        found = await self._patiently(lambda: self._ohlcv.coverage([self._key], timeframe))
        return found[0] if found else []

    async def publish(self, trades: Sequence[MarketTrade]) -> None:
        """Tell trades that are not stored, because this exchange's own candles are."""
        await self._tell(trades, [])

    async def find_open(self) -> None:
        """Learn from the store which candle an earlier connection left open: its minute may end without another trade."""
        found = await self._patiently(lambda: self._ohlcv.candles([self._key], Timeframe.MINUTE_1, limit=1))
        newest = found[0][-1] if found and found[0] else None
        if newest is not None and not newest.final:
            self._open_ns = newest.opened_ns

    async def close_quiet(self) -> None:
        """Close the open candle when the exchange's clock has left its minute and no trade of the next one came."""
        if self._open_ns is None or self.close_in_s() > 0:
            return
        until_ns = self._open_ns + MINUTE_NS
        self._open_ns = None
        closed = await self._patiently(lambda: self._ohlcv.close_candles(*self._key, until_ns, fence=self._fence))
        await self._tell([], closed or [])

    def close_in_s(self) -> float:
        """Seconds until `close_quiet` has something to do."""
        if self._open_ns is None:
            return IDLE_S
        return max(0.0, (self._open_ns + MINUTE_NS + GRACE_NS - self.clock.now_ns()) / 1e9)

    async def _patiently(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """The answer of the write, tried until the store is there; None for data that the store can never take."""
        backoff = Backoff(first_s=0.25, max_s=10.0)
        while True:
            try:
                answer = await write()
            except Unavailable as away:
                self.gauge.failed(away.message)
                await asyncio.sleep(backoff.next_s())
            except BadUserInput as bad:
                self.gauge.refused += 1
                log.error("market_data.refused", feed=self.gauge.name, error=bad.message)
                return None
            else:
                if backoff.failures:
                    self.gauge.works()
                return answer

    async def _tell(self, trades: Sequence[MarketTrade], candles: Sequence[Candle]) -> None:
        """News of the market, oldest first."""
        if candles:
            self._open_ns = None if candles[-1].final else candles[-1].opened_ns
        try:
            await self._cache.trades.append(*self._key, trades, fence=self._fence)
            for candle in candles:
                await self._cache.candles.set(*self._key, Timeframe.MINUTE_1.value, candle, fence=self._fence)
            if candles:
                self._changed(*self._key)
        except CacheUnavailable as away:
            log.warning("market_data.untold", feed=self.gauge.name, error=away.message)

    def _count(self, refused: Sequence[Refused]) -> None:
        if refused:
            self.gauge.refused += len(refused)
            log.warning("market_data.refused", feed=self.gauge.name, count=len(refused), reason=refused[0].reason)
