"""Latest tickers, by exchange and symbol."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from fullon_master_api.apis.cache.sharing import SharedReads
from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.apis.cache.waiting import wait_for
from fullon_master_api.bus import Bus, ticker_topic
from fullon_master_api.model import Fence, Ticker

TickerKey = tuple[str, str]
"""Exchange and symbol: `("kraken", "BTC/USD")`."""


class Tickers:
    """The newest ticker of each symbol. One that is not newer is a repeat, not news: reconnects open with a snapshot."""

    def __init__(self, shelf: Shelf[Ticker], bus: Bus) -> None:
        self._shelf, self._bus = shelf, bus
        self._shared: SharedReads[TickerKey, Ticker | None] = SharedReads(shelf.get_many)

    async def set(self, ticker: Ticker, fence: Fence | None = None) -> Ticker | None:
        """Keep a ticker and tell its topic, in one step. Returns it with its `sequence`, None if it was no news.

        Newer is told by the exchange's time, or by our own where it sends none.
        Raises: StaleEpoch, CacheUnavailable
        """
        return await self._shelf.put(
            (ticker.exchange, ticker.symbol),
            ticker,
            version=ticker.received_ns if ticker.event_ns is None else ticker.event_ns,
            topic=ticker_topic(ticker.exchange, ticker.symbol),
            fence=fence,
        )

    async def get_many(self, keys: Sequence[TickerKey]) -> list[Ticker | None]:
        """The ticker of each (exchange, symbol), in the order asked; None where none was ever seen. Raises: CacheUnavailable"""
        return await self._shelf.get_many(keys)

    async def get_together(self, keys: Sequence[TickerKey]) -> list[Ticker | None]:
        """As `get_many`, in one read with all who ask at the same moment, as every stream does after a gap."""
        return await self._shared.get_many(keys)

    async def all(self, exchange: str) -> list[Ticker]:
        """Every ticker of an exchange, ordered by symbol. Raises: CacheUnavailable"""
        return (await self._shelf.get_groups([exchange]))[0]

    async def get_any(self, symbol: str, exchanges: Sequence[str]) -> Ticker | None:
        """The ticker of the first of these exchanges that has one of the symbol: name its own one first."""
        found = await self._shelf.get_many([(exchange, symbol) for exchange in exchanges])
        return next((ticker for ticker in found if ticker is not None), None)

    async def wait_newer(self, exchange: str, symbol: str, *, sequence: int = 0, timeout_s: float) -> Ticker | None:
        """The ticker once its `sequence` is higher than the one given: at once if it is, None after `timeout_s`.

        Raises: CacheUnavailable
        """

        async def read() -> Ticker | None:
            ticker = (await self._shelf.get_many([(exchange, symbol)]))[0]
            return ticker if ticker is not None and ticker.sequence > sequence else None

        return await wait_for(self._bus, ticker_topic(exchange, symbol), read, timeout_s)

    async def delete(self, exchange: str, symbol: str) -> bool:
        """Forget a symbol's ticker; False if there was none."""
        return await self._shelf.delete([(exchange, symbol)]) == 1

    async def delete_all(self, exchange: str) -> int:
        """Forget every ticker of an exchange; how many there were."""
        return await self._shelf.delete([(exchange, ticker.symbol) for ticker in await self.all(exchange)])


def compute_age_s(ticker: Ticker, now_ns: int | None = None) -> float:
    """Seconds since the ticker arrived: dead symbols do not look alive."""
    return ((time_ns() if now_ns is None else now_ns) - ticker.received_ns) / 1e9
