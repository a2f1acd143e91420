"""The OHLCV service where the exchange's own candles are kept: Binance's wire, and REST alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from fullon_master_api.bus import Delivery, public_trades_topic
from fullon_master_api.model import Candle, MarketTrades, ServiceName, ServiceState, Timeframe
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.ticker import TickerService
from tests.exchanges.binance_wire import BinanceWire, open_binance
from tests.services.stage import list_symbols, open_platform, running, until

KEY = ("binance", "BTC/USDT")
MINUTE_MS = 60_000


@pytest.fixture
async def wire() -> AsyncIterator[BinanceWire]:
    async with open_binance("key", "secret") as opened:
        yield opened


def collecting(resources: Resources) -> AbstractAsyncContextManager[FeedBoard]:
    return running(resources, ServiceName.OHLCV, partial(OhlcvService, resources))


async def candles(resources: Resources) -> list[Candle]:
    return (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5000))[0]


async def test_history_and_live_candles_are_the_exchanges_own_and_its_trades_are_told(tmp_path: Path, wire: BinanceWire) -> None:
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    for number, minutes_ago in enumerate((50, 50, 49, 30), start=1):
        wire.trade("BTCUSDT", number=number, price=f"{100 + number}.00000000", at_ms=now_ms - minutes_ago * MINUTE_MS + number)
    async with open_platform(tmp_path, exchange_urls={"binance": wire.url}) as resources:
        await list_symbols(resources, ["BTC/USDT"], exchange="binance")
        topic = public_trades_topic(*KEY)
        async with resources.bus.subscribe(topic, delivery=Delivery.QUEUE) as mailbox, collecting(resources) as board:

            async def filled() -> bool:
                covered = await resources.ohlcv.coverage([KEY], Timeframe.MINUTE_1)
                return bool(covered[0]) and len(wire.subscribed) == 2

            await until(filled)
            past = await candles(resources)
            assert [(candle.opened_ns // 1_000_000 - now_ms) // MINUTE_MS for candle in past] == [-50, -49, -30]
            first = past[0]
            assert (first.open, first.high, first.low, first.close) == ("101.00", "102.00", "101.00", "102.00")
            await wire.push_kline("BTCUSDT", now_ms, "101.00")
            await wire.push_kline("BTCUSDT", now_ms, "102.50")
            await wire.push_kline("BTCUSDT", now_ms + MINUTE_MS, "103.00")

            async def live() -> bool:
                found = await candles(resources)
                newest = [(candle.opened_ns // 1_000_000 - now_ms, candle.close, candle.final) for candle in found[-2:]]
                return newest == [(0, "102.50", True), (MINUTE_MS, "103.00", False)]

            await until(live)
            await wire.push_trade("BTCUSDT", number=77, at_ms=now_ms)
            async for _topic, message in mailbox:
                assert isinstance(message, MarketTrades)
                assert [trade.trade_id for trade in message.trades] == ["77"]
                break
            assert (await resources.ohlcv.trades([KEY], limit=10))[0] == []
            assert board.state() is ServiceState.RUNNING


async def test_candles_are_polled_where_streaming_is_switched_off(tmp_path: Path, wire: BinanceWire) -> None:
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    values = {"ohlcv_enable_streaming": False, "ohlcv_enable_historical": False, "ohlcv_collection_interval": 0.1}
    async with open_platform(tmp_path, exchange_urls={"binance": wire.url}, **values) as resources:
        await list_symbols(resources, ["BTC/USDT"], exchange="binance")
        async with collecting(resources):
            wire.trade("BTCUSDT", number=1, at_ms=now_ms + 1)

            async def there() -> bool:
                return len(await candles(resources)) == 1

            await until(there)
            wire.trade("BTCUSDT", number=2, price="120.00000000", at_ms=now_ms + 2)

            async def changed() -> bool:
                return (await candles(resources))[0].close == "120.00"

            await until(changed)
            assert wire.subscribed == []


async def test_binance_tickers_have_best_quotes_and_last(tmp_path: Path, wire: BinanceWire) -> None:
    async with open_platform(tmp_path, exchange_urls={"binance": wire.url}) as resources:
        await list_symbols(resources, ["BTC/USDT"], exchange="binance")
        async with running(resources, ServiceName.TICKER, partial(TickerService, resources)):

            async def subscribed() -> bool:
                return len(wire.subscribed) == 2

            await until(subscribed)

            async def whole() -> bool:
                await wire.push_ticker("BTCUSDT", "100.40000000")
                await wire.push_quote("BTCUSDT", "100.00000000", "101.00000000")
                ticker = (await resources.cache.tickers.get_many([KEY]))[0]
                return ticker is not None and (ticker.bid, ticker.last) == ("100.00000000", "100.40000000")

            await until(whole)

        async def left() -> bool:
            return wire.subscribed == [] and not wire.sockets

        await until(left)
