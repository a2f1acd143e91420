"""The OHLCV service: market trades and 1m candles of every active symbol, complete from `backtest` days ago until now."""

from __future__ import annotations

import asyncio

from fullon_master_api.model import Fence, MarketTrade, Symbol
from fullon_master_api.services.board import FeedBoard, FeedGauge
from fullon_master_api.services.candle_collector import CandleCollector
from fullon_master_api.services.catalogue import Link, SymbolCollectors
from fullon_master_api.services.history import History
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming
from fullon_master_api.services.tape_writer import TapeWriter
from fullon_master_api.services.ticker import STALL_FACTOR
from fullon_master_api.services.trade_collector import TradeCollector
from fullon_master_api.services.wide_candles import WideCandles

PAGE_MAX = 1000


class OhlcvService:
    """Where an exchange's own candle history is too short (Kraken) candles are built from its trades; elsewhere its candles
    are kept, and its trades are told to whoever watches them but not stored.

    Symbols marked `only_ticker` are left out.
    """

    def __init__(self, resources: Resources, fence: Fence, board: FeedBoard) -> None:
        self._with, self._fence, self._board = resources, fence, board
        settings = resources.settings
        self._policy = StreamPolicy(stalled_s=settings.feed_stalled_s * STALL_FACTOR)
        self._wide = WideCandles(resources, fence)
        self._limit = min(settings.ohlcv_historical_limit, PAGE_MAX)
        self._collectors = SymbolCollectors(
            resources,
            board,
            kind="ohlcv",
            component="ohlcv_daemon",
            process_type="ohlcv",
            wants=lambda symbol: not symbol.only_ticker,
            collect=self._collect,
            reconnect_s=self._policy.first_s,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wide.run(), name="ohlcv:wide_candles")
            tasks.create_task(self._collectors.run(), name="ohlcv:collectors")

    async def _collect(self, symbol: Symbol, link: Link, gauge: FeedGauge) -> None:
        market = link.markets.get(symbol.symbol)
        writer = TapeWriter(self._with, self._fence, symbol, market, gauge, changed=self._wide.touch)
        if link.adapter.capabilities.candles_from_trades:
            await self._collect_trades(writer, link)
        else:
            await self._collect_candles(writer, link)

    async def _collect_trades(self, writer: TapeWriter, link: Link) -> None:
        settings = self._with.settings
        history = History(writer, link, limit=self._limit)
        live = TradeCollector(
            writer,
            link,
            history,
            policy=self._policy,
            poll_s=settings.ohlcv_collection_interval,
            stream=settings.ohlcv_enable_streaming,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live.run(), name=f"live:{writer.gauge.name}")
            if settings.ohlcv_enable_historical:
                tasks.create_task(history.run(), name=f"history:{writer.gauge.name}")

    async def _collect_candles(self, writer: TapeWriter, link: Link) -> None:
        settings = self._with.settings
        collector = CandleCollector(
            writer,
            link,
            policy=self._policy,
            poll_s=settings.ohlcv_collection_interval,
            stream=settings.ohlcv_enable_streaming,
            history=settings.ohlcv_enable_historical,
            limit=self._limit,
        )
        symbol = writer.symbol
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collector.run(), name=f"candles:{writer.gauge.name}")
            if settings.ohlcv_enable_streaming and link.adapter.capabilities.stream_trades:
                gauge = self._board.feed(f"{symbol.exchange}:{symbol.symbol}:trades")

                async def tell(trades: list[MarketTrade]) -> None:
                    await writer.publish(trades)

                await keep_streaming(lambda: link.adapter.stream_trades(symbol.symbol), tell, gauge=gauge, policy=self._policy)
