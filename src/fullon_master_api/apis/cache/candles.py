"""The last candles, by exchange, symbol and timeframe."""

from __future__ import annotations

from typing import Final

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.bus import candle_topic
from fullon_master_api.model import Candle, CandleEvent, Fence

KEPT_COUNT: Final = 500
DAY_S: Final = 86_400
UNIT_S: Final = {"m": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S, "M": 31 * DAY_S}


class Candles:
    """Candles as they change and close. About `KEPT_COUNT` of each timeframe are kept; the OHLCV store has them all."""

    def __init__(self, shelf: Shelf[Candle]) -> None:
        self._shelf = shelf

    async def set(self, exchange: str, symbol: str, timeframe: str, candle: Candle, fence: Fence | None = None) -> bool:
        """Keep a candle and tell its topic; False if it says nothing new, or is open again after it was final.

        Raises: StaleEpoch, CacheUnavailable
        """
        topic = candle_topic(exchange, symbol, timeframe)
        kept = await self._shelf.put(
            (f"{exchange}:{symbol}:{timeframe}", f"{candle.opened_ns:020d}"),
            candle,
            version=int(candle.final),
            ttl_s=KEPT_COUNT * compute_length_s(timeframe),
            topic=topic,
            message=CandleEvent(exchange=exchange, symbol=symbol, timeframe=timeframe, candle=candle),
            fence=fence,
        )
        return kept is not None

    async def get_last(self, exchange: str, symbol: str, timeframe: str, count: int = 10) -> list[Candle]:
        """The newest `count` candles, oldest first. Raises: CacheUnavailable"""
        kept = (await self._shelf.get_groups([f"{exchange}:{symbol}:{timeframe}"]))[0]
        return kept[-count:] if count > 0 else []


def compute_length_s(timeframe: str) -> int:
    """Seconds of a timeframe in the exchange's spelling, a month as 31 days: `"15m"` is 900."""
    return int(timeframe[:-1]) * UNIT_S[timeframe[-1]]
