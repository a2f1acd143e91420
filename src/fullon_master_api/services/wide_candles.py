"""Live candles of every timeframe above 1m: read from the store for all symbols that changed, and told to who watches."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from fullon_master_api.errors import Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Fence, Timeframe
from fullon_master_api.services.resources import Resources

log = get_logger(__name__)

Key = tuple[str, str]

SHORT_S: Final = 1.0
LONG_S: Final = 5.0
PERIODS_S: Final = {
    timeframe: SHORT_S if timeframe.value in ("3m", "5m", "15m", "30m") else LONG_S
    for timeframe in Timeframe
    if timeframe is not Timeframe.MINUTE_1
}
"""How often the changed candles of a timeframe are told."""


class WideCandles:
    """One read for each timeframe and period, whatever the number of symbols; a market that is quiet costs nothing.

    What is told is what is stored, so a watcher sees the same candle as a reader.
    """

    def __init__(self, resources: Resources, fence: Fence) -> None:
        self._ohlcv, self._cache, self._fence = resources.ohlcv, resources.cache, fence
        self._changed: dict[Timeframe, set[Key]] = {timeframe: set() for timeframe in PERIODS_S}

    def touch(self, exchange: str, symbol: str) -> None:
        """A 1m candle of this symbol has changed."""
        for changed in self._changed.values():
            changed.add((exchange, symbol))

    async def run(self) -> None:
        """Tell what changed, for ever. Raises: StaleEpoch."""
        due = dict.fromkeys(PERIODS_S, 0.0)
        while True:
            await asyncio.sleep(SHORT_S)
            now = time.monotonic()
            for timeframe, period_s in PERIODS_S.items():
                if now >= due[timeframe] and self._changed[timeframe]:
                    due[timeframe] = now + period_s
                    await self._tell(timeframe)

    async def _tell(self, timeframe: Timeframe) -> None:
        """The open candle of each changed symbol and the one before, which may just have closed."""
        keys, self._changed[timeframe] = sorted(self._changed[timeframe]), set()
        try:
            for (exchange, symbol), candles in zip(keys, await self._ohlcv.candles(keys, timeframe, limit=2), strict=True):
                for candle in candles:
                    await self._cache.candles.set(exchange, symbol, timeframe.value, candle, fence=self._fence)
        except Unavailable as away:
            log.warning("candles.untold", timeframe=timeframe.value, error=away.message)
            self._changed[timeframe].update(keys)
