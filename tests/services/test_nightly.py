"""What is missing of the day before is found at night, although the store took that day for complete."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import PaperOptions, open_paper
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.exchanges.paper.generator import seconds_text
from fullon_master_api.exchanges.paper.tape import TapeTrade
from fullon_master_api.model import Record, ServiceName, Timeframe
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.spans import DAY_NS
from tests.exchanges.binance_wire import open_binance
from tests.services.stage import list_symbols, open_platform, running, until

MINUTE_NS = 60_000_000_000
WAIT_S = 90.0


class Yesterday(Record, frozen=True, kw_only=True):
    """A market in which three trades happened at noon of the day before, one a minute, and none since."""

    noon_ns: int
    speed: float | None = 1.0
    waits_for: str | None = None

    def open(self) -> Opened:
        past = []
        for number in range(1, 4):
            at_ns = self.noon_ns + number * MINUTE_NS
            values = {"price": "100.0", "quantity": "0.50000000", "side": "buy", "order_type": "market"}
            trade = TapeTrade(trade_id=number, event_ns=at_ns, time_text=seconds_text(at_ns), **values)
            past.append(MarketEvent(at_ns=at_ns, symbol="BTC/USD", trades=[trade]))
        return Opened(markets=[], past=past, future=iter(()))


def noon_of_yesterday() -> int:
    return time.time_ns() // DAY_NS * DAY_NS - DAY_NS // 2


@pytest.fixture
def nights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night falls every half second."""
    for module in ("history", "candle_collector"):
        monkeypatch.setattr(f"fullon_master_api.services.{module}.to_next_night_s", lambda _now_ns: 0.5)


@pytest.mark.usefixtures("nights")
async def test_trades_that_the_store_lacks_are_found_the_night_after(tmp_path: Path) -> None:
    noon_ns = noon_of_yesterday()
    key = ("kraken", "BTC/USD")
    async with (
        open_paper(PaperOptions(source=Yesterday(noon_ns=noon_ns))) as paper,
        # A stream would begin with the newest trades, which these are.
        open_platform(tmp_path, exchange_urls={"kraken": paper.url}, ohlcv_enable_streaming=False) as resources,
    ):
        await list_symbols(resources, ["BTC/USD"], backtest=3)
        await resources.ohlcv.cover(*key, time.time_ns() - 4 * DAY_NS, time.time_ns() + DAY_NS)
        async with running(resources, ServiceName.OHLCV, partial(OhlcvService, resources)) as board:

            async def found() -> bool:
                trades = (await resources.ohlcv.trades([key], start_ns=noon_ns, end_ns=noon_ns + DAY_NS // 2, limit=10))[0]
                return [trade.trade_id for trade in trades] == ["1", "2", "3"]

            await until(found, within_s=WAIT_S)

            async def counted() -> bool:
                return any(feed.gaps == 1 for feed in board.health())

            await until(counted, within_s=WAIT_S)


@pytest.mark.usefixtures("nights")
async def test_candles_that_the_store_lacks_are_found_the_night_after(tmp_path: Path) -> None:
    noon_ns = noon_of_yesterday()
    key = ("binance", "BTC/USDT")
    async with (
        open_binance("key", "secret") as wire,
        open_platform(tmp_path, exchange_urls={"binance": wire.url}) as resources,
    ):
        for number in range(1, 4):
            wire.trade("BTCUSDT", number=number, at_ms=(noon_ns + number * MINUTE_NS) // 1_000_000)
        await list_symbols(resources, ["BTC/USDT"], exchange="binance", backtest=3)
        whole = (time.time_ns() - 4 * DAY_NS, time.time_ns() + DAY_NS)
        await resources.ohlcv.cover(*key, *whole, timeframe=Timeframe.MINUTE_1)
        async with running(resources, ServiceName.OHLCV, partial(OhlcvService, resources)) as board:

            async def found() -> bool:
                candles = (await resources.ohlcv.candles([key], Timeframe.MINUTE_1, limit=10))[0]
                return [(candle.opened_ns - noon_ns) // MINUTE_NS for candle in candles] == [1, 2, 3]

            await until(found, within_s=WAIT_S)

            async def counted() -> bool:
                return any(feed.gaps == 1 for feed in board.health())

            await until(counted, within_s=WAIT_S)
