"""The last trades of the public tape, by exchange and symbol; reading them never takes them away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fullon_master_api.apis.cache.collected import Collected
from fullon_master_api.apis.cache.shelf import Lists
from fullon_master_api.bus import public_trades_topic
from fullon_master_api.model import Fence, MarketTrade, MarketTrades

KEPT_MAX: Final = 1000


class Trades:
    """A window of the newest `KEPT_MAX` trades of each symbol; the OHLCV store has them all.

    `collected` tells by exchange when its tape was last read.
    """

    def __init__(self, lists: Lists[MarketTrade], collected: Collected) -> None:
        self._lists, self.collected = lists, collected

    async def append(self, exchange: str, symbol: str, trades: Sequence[MarketTrade], fence: Fence | None = None) -> None:
        """Keep new trades, oldest first, and tell their topic. Raises: StaleEpoch, CacheUnavailable"""
        if trades:
            message = MarketTrades(exchange=exchange, symbol=symbol, trades=list(trades))
            topic = public_trades_topic(exchange, symbol)
            await self._lists.append(f"{exchange}:{symbol}", trades, message=message, topic=topic, fence=fence)

    async def get_last(self, exchange: str, symbol: str, count: int = 100) -> list[MarketTrade]:
        """The newest `count` trades, oldest first. Raises: CacheUnavailable"""
        return await self._lists.get_last(f"{exchange}:{symbol}", count)
