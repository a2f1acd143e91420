"""Binance through ccxt: aggregate trades everywhere, and pages that pass over hours without any."""

from __future__ import annotations

import time
from typing import Any, Final

import ccxt.pro

from fullon_master_api.exchanges.ccxt_exchange import CcxtExchange
from fullon_master_api.exchanges.ccxt_rest import whole_instants
from fullon_master_api.exchanges.ccxt_wire import ExactExchange
from fullon_master_api.exchanges.wire_values import positive
from fullon_master_api.model import MarketTrade

HOUR_NS: Final = 3_600_000_000_000
PAGE_MAX: Final = 1000
OPTIONS: Final[dict[str, Any]] = {
    "fetchMarkets": {"types": ["spot"]},
    "fetchCurrencies": False,
    "fetchMargins": False,  # else three more signed calls before the first market is known
    "watchTickers": {"name": "ticker"},  # the default has neither bid nor change
    "warnOnFetchOpenOrdersWithoutSymbol": False,
    "tradesLimit": 20_000,  # the busiest second of a recorded market had 1,647
    "watchBalance": {"fetchBalanceSnapshot": False, "awaitBalanceSnapshot": False},
}


class BinanceWire(ExactExchange, ccxt.pro.binance):  # type: ignore[misc]
    """ccxt's Binance, whose streamed candles keep their digits: ccxt reads them as floats, whatever `number` says."""

    def handle_ohlcv(self, client: Any, message: dict[str, Any]) -> None:
        super().handle_ohlcv(client, message)
        bar = message["k"]
        symbol = self.safe_symbol(bar["s"], None, None, "spot")
        stored = self.ohlcvs.get(symbol, {}).get(self.find_timeframe(bar["i"]) or bar["i"])
        row = None if stored is None else stored.hashmap.get(bar["t"])
        if row is not None:
            row[1:6] = [bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]]


class BinanceExchange(CcxtExchange):
    """Binance spot. REST answers aggregate trades, so the stream asks for the same: their numbers must fit together."""

    trades_are_numbered = True
    trades_params = {"name": "aggTrade"}

    async def fetch_trades(self, symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]:
        """Trades from `since_ns` on, oldest first, at most 1,000; those of one millisecond are never split between pages.

        Binance looks at one hour at a time, so hours without a trade are passed over here; a page within one single
        millisecond goes on by number.
        """
        await self.ready([symbol])
        count, start_ns = min(limit, PAGE_MAX), since_ns
        rows = await self.call(self.wire.fetch_trades, symbol, start_ns // 1_000_000, count)
        while not rows and start_ns + HOUR_NS < time.time_ns():
            traded_ns = await self._next_traded(symbol, start_ns + HOUR_NS)
            if traded_ns is None:
                return []
            start_ns = traded_ns
            rows = await self.call(self.wire.fetch_trades, symbol, start_ns // 1_000_000, count)
        full = len(rows) >= count
        while full and rows[0]["timestamp"] == rows[-1]["timestamp"]:
            after = max(int(row["id"]) for row in rows) + 1
            more = await self.call(self.wire.fetch_trades, symbol, None, PAGE_MAX, {"fromId": after})
            full = len(more) >= PAGE_MAX
            rows += more
        trades = [trade for trade in map(self.market_trade, rows) if trade is not None and trade.event_ns >= since_ns]
        # ccxt sorts the trades of one millisecond by their numbers as texts: 1, 10, 100, 2.
        trades.sort(key=lambda trade: int(trade.trade_id))
        return whole_instants(trades, full=full)

    async def _next_traded(self, symbol: str, start_ns: int) -> int | None:
        """The first instant from `start_ns` on in whose hour there was a trade; None when there is none up to now.

        By the days' candles and then that day's hours: asking for trades hour by hour would take 8,766 questions a year.
        """
        for timeframe, count in (("1d", 1000), ("1h", 25)):
            span_ns = int(self.wire.parse_timeframe(timeframe)) * 1_000_000_000
            opened_ms = start_ns // span_ns * span_ns // 1_000_000
            rows = await self.call(self.wire.fetch_ohlcv, symbol, timeframe, opened_ms, count)
            traded = (int(row[0]) * 1_000_000 for row in rows if positive(row[5]) is not None)
            opened_ns = next((at_ns for at_ns in traded if at_ns + span_ns > start_ns), None)
            if opened_ns is None:
                return None
            start_ns = max(start_ns, opened_ns)
        return start_ns


def binance_urls(base_url: str) -> dict[str, Any]:
    """ccxt's URLs of Binance spot at another place."""
    base = base_url.rstrip("/")
    sockets = "ws" + base.removeprefix("http")
    return {
        "public": f"{base}/api/v3",
        "private": f"{base}/api/v3",
        "sapi": f"{base}/sapi/v1",
        "ws": {"spot": f"{sockets}/stream/ws", "margin": f"{sockets}/stream/ws", "ws-api": {"spot": f"{sockets}/ws-api/v3"}},
    }
