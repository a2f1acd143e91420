"""The ticker service: latest bid, ask and last of every active symbol of the catalogue, from public feeds."""

from __future__ import annotations

from typing import Final

from fullon_master_api.errors import CacheUnavailable, Unavailable
from fullon_master_api.exchanges.adapter import Market
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Fence, Symbol, Ticker
from fullon_master_api.services.board import FeedBoard, FeedGauge
from fullon_master_api.services.catalogue import Link, SymbolCollectors
from fullon_master_api.services.quotes import admit
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming

log = get_logger(__name__)

STALL_FACTOR: Final = 1.5
"""The adapter ends a stream that stalls; this is the net behind it, so it is wider."""


class TickerService:
    """One stream for each symbol, one connection for each exchange; no account is needed."""

    def __init__(self, resources: Resources, fence: Fence, board: FeedBoard) -> None:
        settings = resources.settings
        self._cache, self._symbols, self._fence = resources.cache, resources.orm.symbols, fence
        self._only = frozenset(settings.ticker_daemon_exchanges)
        self._policy = StreamPolicy(
            first_s=settings.ticker_reconnect_delay / 5,
            max_s=settings.ticker_reconnect_delay * 12,
            stalled_s=settings.feed_stalled_s * STALL_FACTOR,
            failures_max=settings.ticker_max_retries,
        )
        self._collectors = SymbolCollectors(
            resources,
            board,
            kind="ticker",
            component="ticker_daemon",
            process_type="tick",
            wants=self._wants,
            collect=self._collect,
            reconnect_s=settings.ticker_reconnect_delay,
            connected=self._learn_decimals,
        )

    async def run(self) -> None:
        await self._collectors.run()

    def _wants(self, symbol: Symbol) -> bool:
        return not self._only or symbol.exchange in self._only

    async def _learn_decimals(self, exchange: str, markets: dict[str, Market]) -> None:
        """Keep the steps that the exchange says in the catalogue, where its numbers are shown by them."""
        try:
            for symbol in await self._symbols.active([exchange]):
                market = markets.get(symbol.symbol)
                if market is None:
                    continue
                steps = (market.price_decimals, market.quantity_decimals)
                if steps != (symbol.decimals, symbol.quantity_decimals):
                    await self._symbols.set_decimals(
                        symbol.symbol_id, decimals=steps[0], quantity_decimals=steps[1], fence=self._fence
                    )
        except Unavailable as away:
            log.warning("ticker.decimals_unlearned", exchange=exchange, error=away.message)

    async def _collect(self, symbol: Symbol, link: Link, gauge: FeedGauge) -> None:
        async def take(tickers: list[Ticker]) -> None:
            await self._store(tickers, gauge)

        await keep_streaming(
            lambda: link.adapter.stream_tickers([symbol.symbol]),
            take,
            gauge=gauge,
            policy=self._policy,
            on_broken=link.worn.set,
        )

    async def _store(self, tickers: list[Ticker], gauge: FeedGauge) -> None:
        """Store what is news. A cache that is away costs these tickers only: the next ones replace them anyway."""
        for ticker in tickers:
            good, why = admit(ticker)
            if why is not None:
                gauge.refused += 1
                log.debug("ticker.refused", feed=gauge.name, reason=why)
            if good is None:
                continue
            if good.event_ns is not None:
                gauge.lag_ms = max(0.0, (good.received_ns - good.event_ns) / 1e6)
            try:
                await self._cache.tickers.set(good, fence=self._fence)
                gauge.works()
            except CacheUnavailable as away:
                gauge.failed(away.message)
