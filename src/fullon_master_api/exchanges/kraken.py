"""Kraken through ccxt: its streams read from the wire itself, its trades paged without loss."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import ccxt

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges.adapter import Capabilities, Fill, OrderState
from fullon_master_api.exchanges.candle_sequence import CandleSequence
from fullon_master_api.exchanges.ccxt_rest import CcxtRest
from fullon_master_api.exchanges.ccxt_wire import Feed, silent_s
from fullon_master_api.exchanges.kraken_rows import (
    OrderLedger,
    rest_fill,
    rest_trade,
    wire_candle,
    wire_fill,
    wire_trade,
)
from fullon_master_api.exchanges.kraken_wire import KrakenWire
from fullon_master_api.exchanges.trade_sieve import TradeSieve
from fullon_master_api.exchanges.wire_values import SECOND_NS, instant_ns, plain, positive
from fullon_master_api.model import Balance, Candle, MarketTrade, Ticker

PAGE_MAX: Final = 1000  # trades in one answer of Kraken's `Trades`
PAGE_SPARE: Final = 50  # asked for beyond a small limit, so that the last instant is seen whole
QUERY_MAX: Final = 20  # orders in one question of Kraken's `QueryOrders`
FILLS_REMEMBERED: Final = 5_000
OVERLAP_NS: Final = 1_000  # REST prints times to 100 ns, its cursor to 1 ns
CHECK_S: Final = 1.0


class KrakenExchange(CcxtRest):
    """Kraken. `stall_s` is how long a stream may be quiet before it counts as dead although its socket lives."""

    capabilities = Capabilities(
        stream_tickers=True,
        stream_trades=True,
        stream_candles=True,
        stream_balances=True,
        stream_orders=True,
        stream_my_trades=True,
        positions=False,
        candles_from_trades=True,
    )

    def __init__(self, wire: KrakenWire, *, timeout_s: float, stall_s: float) -> None:
        super().__init__("kraken", wire, timeout_s=timeout_s)
        self.stall_s = stall_s

    async def aclose(self) -> None:
        """Close every socket; streams that are still open end with ExchangeUnavailable."""
        await self.wire.close()
        self.wire.fail_all(ExchangeUnavailable("kraken: the connection was closed"))

    async def messages(
        self, channel: str, symbols: Sequence[str], params: dict[str, Any], *, stall_s: float, feed: Feed | None = None
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        """Batches of a channel's messages; an empty one each second without any, so that a reader may look at its clock.

        Raises: ExchangeUnavailable when nothing at all came for `timeout_s`, or nothing of this channel for `stall_s`.
        """
        subscription = self.wire.subscribed(channel, symbols, params, timeout_s=self.timeout_s, feed=feed)
        async with subscription as (feed, client):
            heard_s = time.monotonic()
            if feed.shared:
                yield []
            while True:
                batch = await feed.wait(min(CHECK_S, self.timeout_s))
                if batch:
                    heard_s = time.monotonic()
                elif silent_s(client) > self.timeout_s:
                    # Dropped, so that whoever comes next gets a new one; all its readers are told.
                    client.on_error(ccxt.NetworkError(f"nothing came over the socket for {self.timeout_s:g} s"))
                elif time.monotonic() - heard_s > stall_s:
                    raise ExchangeUnavailable(f"kraken: {channel} sent nothing for {stall_s:g} s although the socket lives")
                yield batch

    async def stream_tickers(self, symbols: Sequence[str]) -> AsyncGenerator[list[Ticker], None]:
        """Tickers that changed, the newest of each symbol; pushed whenever the best bid or ask moves."""
        await self.ready(symbols)
        params = {"event_trigger": "bbo", "snapshot": True}
        async with aclosing(self.messages("ticker", symbols, params, stall_s=self.stall_s)) as batches:
            async for batch in batches:
                now_ns = time.time_ns()
                newest = {row["symbol"]: row for message in batch for row in message["data"]}
                if newest:
                    yield [self.wire_ticker(row, now_ns) for row in newest.values()]

    def wire_ticker(self, row: dict[str, Any], received_ns: int) -> Ticker:
        percentage = plain(row.get("change_pct"))
        return Ticker(
            exchange=self.name,
            symbol=row["symbol"],
            bid=positive(row.get("bid")),
            ask=positive(row.get("ask")),
            last=positive(row.get("last")),
            bid_quantity=plain(row.get("bid_qty")),
            ask_quantity=plain(row.get("ask_qty")),
            high=positive(row.get("high")),
            low=positive(row.get("low")),
            volume=plain(row.get("volume")),
            change=plain(row.get("change")),
            percentage=None if percentage is None else float(percentage),
            event_ns=instant_ns(row.get("timestamp")),
            received_ns=received_ns,
        )

    async def stream_trades(self, symbol: str) -> AsyncGenerator[list[MarketTrade], None]:
        """New trades, oldest first, each once; the first batch holds the newest ones from before the subscription.

        Kraken numbers a market's trades without holes, so a number that stays missing ends the stream with
        ExchangeUnavailable: the owner then fills the hole over REST.
        """
        await self.ready([symbol])
        sieve = TradeSieve(self.name, symbol)
        async with aclosing(self.messages("trade", [symbol], {"snapshot": True}, stall_s=self.stall_s)) as batches:
            async for batch in batches:
                rows = [row for message in batch for row in message["data"]]
                trades = [trade for trade in map(wire_trade, rows) if trade is not None and sieve.is_new(int(trade.trade_id))]
                sieve.check(time.monotonic())
                if trades:
                    yield sorted(trades, key=lambda trade: int(trade.trade_id))

    async def stream_candles(self, symbol: str) -> AsyncGenerator[list[Candle], None]:
        """Candles of one minute as they change; one is final once a later one opened.

        Only 1m: ccxt files every Kraken timeframe of a symbol under one name, so that a second one returns the first's data.
        """
        await self.ready([symbol])
        sequence = CandleSequence()
        async with aclosing(self.messages("ohlc", [symbol], {"interval": 1, "snapshot": True}, stall_s=self.stall_s)) as batches:
            async for batch in batches:
                changed = sequence.read(wire_candle(row) for message in batch for row in message["data"])
                if changed:
                    yield changed

    async def fetch_trades(self, symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]:
        """Trades from `since_ns` on, oldest first, about `limit` of them; the trades of one instant are never split.

        Kraken answers trades later than its cursor, at most 1,000, with the cursor of the next page. Several trades share an
        instant, so each page begins a little before the end of the last one and repeats are dropped by their number.
        """
        await self.ready([symbol])
        pair = self.wire.market(symbol)["id"]
        found: dict[str, MarketTrade] = {}
        cursor, full, count = max(0, since_ns - OVERLAP_NS), True, min(PAGE_MAX, limit + PAGE_SPARE)
        while full and len(found) < limit:
            answer = await self.call(self.wire.publicGetTrades, {"pair": pair, "since": str(cursor), "count": count})
            result = answer["result"]
            rows = result.get(pair) or []
            before = len(found)
            for row in rows:
                trade = rest_trade(row)
                if trade is not None and trade.event_ns >= since_ns:
                    found.setdefault(trade.trade_id, trade)
            full = len(rows) >= count
            end = int(result["last"])
            # A page that brought nothing new is one instant's: only the exchange's own cursor leads past it.
            cursor = max(cursor, end - OVERLAP_NS) if len(found) > before else end
        return self._cut(sorted(found.values(), key=lambda trade: (trade.event_ns, int(trade.trade_id))), limit, full=full)

    @staticmethod
    def _cut(trades: list[MarketTrade], limit: int, *, full: bool) -> list[MarketTrade]:
        """The first `limit` trades, and then back to where an instant ends; on to its end if it is the first one."""
        if not full and len(trades) <= limit:
            return trades
        index = min(limit, len(trades) - 1)
        edge_ns = trades[index].event_ns
        kept = [trade for trade in trades if trade.event_ns < edge_ns]
        return kept or [trade for trade in trades if trade.event_ns == edge_ns]

    async def fetch_orders(
        self, ex_order_ids: Sequence[str], *, symbols: Sequence[str | None] | None = None
    ) -> list[OrderState | None]:
        """The state of each order, in the order asked, `QUERY_MAX` in a request; None where Kraken does not know it."""
        await self.ready()
        found: dict[str, OrderState] = {}
        for start in range(0, len(ex_order_ids), QUERY_MAX):
            ids = list(ex_order_ids[start : start + QUERY_MAX])
            try:
                states = [self.order_state(row) for row in await self.call_private(self.wire.fetch_orders_by_ids, ids)]
            except ExchangeRefused:
                continue  # Kraken refuses the question when it knows none of the orders.
            found |= {state.ex_order_id: state for state in states}
        return [found.get(ex_order_id) for ex_order_id in ex_order_ids]

    async def fetch_fills(self, *, since_ns: int, symbols: Sequence[str] | None = None) -> list[Fill]:
        """Own executions from `since_ns` on, oldest first. Kraken gives them newest first, fifty to a page."""
        await self.ready()
        start = max(0, since_ns // SECOND_NS - 1)  # Whole seconds, and later than: so one second is asked too many.
        found: dict[str, Fill] = {}
        offset, count = 0, 1
        while offset < count:
            answer = await self.call_private(self.wire.privatePostTradesHistory, {"start": start, "ofs": offset})
            page, count = answer["result"]["trades"], int(answer["result"]["count"])
            found |= {fill_id: rest_fill(fill_id, row, self.wire.safe_market(row["pair"])) for fill_id, row in page.items()}
            offset += max(len(page), 1)
        fills = [fill for fill in found.values() if fill.event_ns >= since_ns]
        fills.reverse()
        fills.sort(key=lambda fill: fill.event_ns)  # Those of one instant stay in Kraken's order.
        return fills

    async def stream_balances(self, ex_id: int) -> AsyncGenerator[list[Balance], None]:
        """All balances, at first and whenever a fill or an order may have changed them.

        Kraken streams totals only; what open orders hold back is asked over REST, once for all that has arrived.
        """
        asked = False
        async with (
            self.wire.subscribed("executions", [""], {}, timeout_s=self.timeout_s) as (feed, _),
            aclosing(self.messages("balances", [""], {}, stall_s=math.inf, feed=feed)) as batches,
        ):
            async for batch in batches:
                if batch or not asked:
                    asked = True
                    yield await self.fetch_balances(ex_id)

    async def stream_orders(self) -> AsyncGenerator[list[OrderState], None]:
        """Orders as they change; the open ones first, over REST.

        Kraken names symbol and side only once for each order, sends a partial fill as a trade and not as a state, and may
        mix orders with trades: `OrderLedger` keeps what was said before and counts the fills.
        """
        await self.ready()
        params = {"snap_orders": True, "snap_trades": True}
        ledger = OrderLedger()
        async with aclosing(self.messages("executions", [""], params, stall_s=math.inf)) as batches:
            async for batch in batches:
                if not ledger.started:
                    # Fills of a snapshot are in the quantities that REST answers now, or belong to orders long closed.
                    old = [row for message in batch if message["type"] == "snapshot" for row in message["data"]]
                    batch = [message for message in batch if message["type"] != "snapshot"]
                    orders = await self.call_private(self.wire.fetch_open_orders, None, None, None, {"trades": True})
                    counted = [fill_id for order in orders for fill_id in order["info"].get("trades") or []]
                    counted += [row["exec_id"] for row in old if row.get("exec_type") == "trade"]
                    yield ledger.start((self.order_state(order) for order in orders), counted)
                changed = ledger.read(row for message in batch for row in message["data"])
                if changed:
                    yield changed

    async def stream_fills(self) -> AsyncGenerator[list[Fill], None]:
        """Own executions, each once, oldest first; the first batch holds up to fifty of before the subscription, or none."""
        await self.ready()
        params = {"snap_orders": True, "snap_trades": True}
        seen: set[str] = set()
        recent: deque[str] = deque()
        subscribed = False
        async with aclosing(self.messages("executions", [""], params, stall_s=math.inf)) as batches:
            async for batch in batches:
                rows = [row for message in batch for row in message["data"] if row.get("exec_type") == "trade"]
                fills = [wire_fill(row) for row in rows if row["exec_id"] not in seen]
                fresh = {fill.ex_trade_id: fill for fill in fills}
                recent.extend(fresh)
                seen.update(fresh)
                while len(recent) > FILLS_REMEMBERED:
                    seen.discard(recent.popleft())
                if fresh or not subscribed:
                    subscribed = True
                    yield sorted(fresh.values(), key=lambda fill: fill.event_ns)
