"""Kraken through ccxt: its streams read from the wire itself, its trades paged without loss."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from fullon_master_api.errors import ExchangeUnavailable
from fullon_master_api.exchanges.adapter import Capabilities, Fill, OrderState
from fullon_master_api.exchanges.ccxt_rest import CcxtRest
from fullon_master_api.exchanges.ccxt_wire import silent_s
from fullon_master_api.exchanges.kraken_wire import KrakenWire
from fullon_master_api.exchanges.wire_values import SECOND_NS, instant_ns, plain, positive, seconds_ns
from fullon_master_api.model import Balance, Candle, MarketTrade, OrderType, Side, Ticker

PAGE_MAX: Final = 1000  # trades in one answer of Kraken's `Trades`
OVERLAP_NS: Final = 1_000  # REST prints times to 100 ns, its cursor to 1 ns
MISSING_S: Final = 2.0  # how long a hole in the numbers of trades may wait for a message that was overtaken
CHECK_S: Final = 1.0
TYPES: Final = {"m": OrderType.MARKET, "market": OrderType.MARKET, "l": OrderType.LIMIT, "limit": OrderType.LIMIT}


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
        await self.wire.close()

    async def messages(
        self, channel: str, symbols: Sequence[str], params: dict[str, Any], *, stall_s: float
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        """Batches of a channel's messages; an empty one each second without any, so that a reader may look at its clock.

        Raises: ExchangeUnavailable when nothing at all came for `timeout_s`, or nothing of this channel for `stall_s`.
        """
        async with self.wire.subscribed(channel, symbols, params, timeout_s=self.timeout_s) as (feed, client):
            heard_s = time.monotonic()
            while True:
                batch = await feed.wait(min(CHECK_S, self.timeout_s))
                if batch:
                    heard_s = time.monotonic()
                elif silent_s(client) > self.timeout_s:
                    raise ExchangeUnavailable(f"kraken: nothing came over the socket for {self.timeout_s:g} s")
                elif time.monotonic() - heard_s > stall_s:
                    raise ExchangeUnavailable(f"kraken: {channel} sent nothing for {stall_s:g} s although the socket lives")
                yield batch

    async def stream_tickers(self, symbols: Sequence[str]) -> AsyncGenerator[list[Ticker], None]:
        """Tickers that changed, the newest of each symbol; pushed whenever the best bid or ask moves."""
        await self.load_markets()
        self.check_symbols(symbols)
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
        await self.load_markets()
        self.check_symbols([symbol])
        sieve = TradeSieve(symbol)
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
        await self.load_markets()
        self.check_symbols([symbol])
        newest: Candle | None = None
        async with aclosing(self.messages("ohlc", [symbol], {"interval": 1, "snapshot": True}, stall_s=self.stall_s)) as batches:
            async for batch in batches:
                changed: dict[int, Candle] = {}
                for candle in (wire_candle(row) for message in batch for row in message["data"]):
                    if candle is None or (newest is not None and candle.opened_ns < newest.opened_ns):
                        continue
                    if newest is not None and candle.opened_ns > newest.opened_ns:
                        changed[newest.opened_ns] = Candle(**_fields(newest) | {"final": True})
                    changed[candle.opened_ns] = newest = candle
                if changed:
                    yield [changed[opened_ns] for opened_ns in sorted(changed)]

    async def fetch_trades(self, symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]:
        """Trades from `since_ns` on, oldest first, about `limit` of them; the trades of one instant are never split.

        Kraken answers trades later than its cursor, at most 1,000, with the cursor of the next page. Several trades share an
        instant, so each page begins a little before the end of the last one and repeats are dropped by their number.
        """
        await self.load_markets()
        self.check_symbols([symbol])
        pair = self.wire.market(symbol)["id"]
        found: dict[str, MarketTrade] = {}
        cursor, full = max(0, since_ns - OVERLAP_NS), True
        while full and len(found) < limit:
            answer = await self.call(self.wire.publicGetTrades({"pair": pair, "since": str(cursor), "count": PAGE_MAX}))
            result = answer["result"]
            rows = result.get(pair) or []
            before = len(found)
            for row in rows:
                trade = rest_trade(row)
                if trade is not None and trade.event_ns >= since_ns:
                    found.setdefault(trade.trade_id, trade)
            full = len(rows) >= PAGE_MAX
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

    async def stream_balances(self, ex_id: int) -> AsyncGenerator[list[Balance], None]:
        raise ExchangeUnavailable("kraken: balances are read over REST only")
        yield []

    async def stream_orders(self) -> AsyncGenerator[list[OrderState], None]:
        raise ExchangeUnavailable("kraken: orders are read over REST only")
        yield []

    async def stream_fills(self) -> AsyncGenerator[list[Fill], None]:
        raise ExchangeUnavailable("kraken: fills are read over REST only")
        yield []


class TradeSieve:
    """Which trades of a market are new, and whether any is missing. Numbers rise by one."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._newest: int | None = None
        self._missing: set[int] = set()
        self._since_s: float | None = None
        self._recent: deque[int] = deque(maxlen=5_000)
        self._seen: set[int] = set()

    def is_new(self, number: int) -> bool:
        if number in self._seen:
            return False
        if self._newest is None or number > self._newest:
            if self._newest is not None:
                self._missing.update(range(self._newest + 1, number))
            self._newest = number
        else:
            self._missing.discard(number)
        if len(self._recent) == self._recent.maxlen:
            self._seen.discard(self._recent[0])
        self._recent.append(number)
        self._seen.add(number)
        return True

    def check(self, now_s: float) -> None:
        """Raises: ExchangeUnavailable when a number has been missing for longer than `MISSING_S`."""
        if not self._missing:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > MISSING_S:
            first, count = min(self._missing), len(self._missing)
            raise ExchangeUnavailable(f"kraken: {count} trades of {self.symbol} are missing, the first is {first}")


def wire_trade(row: dict[str, Any]) -> MarketTrade | None:
    """A row of the `trade` channel; None for one without a price, a quantity or a time."""
    price, quantity, event_ns = positive(row.get("price")), positive(row.get("qty")), instant_ns(row.get("timestamp"))
    if price is None or quantity is None or event_ns is None:
        return None
    return MarketTrade(
        trade_id=str(row["trade_id"]),
        event_ns=event_ns,
        price=price,
        quantity=quantity,
        side=Side(row["side"]),
        order_type=TYPES.get(row.get("ord_type", ""), OrderType.UNKNOWN),
    )


def rest_trade(row: list[Any]) -> MarketTrade | None:
    """A row of REST `Trades`: price, quantity, seconds, b or s, m or l, "", number."""
    price, quantity, event_ns = positive(row[0]), positive(row[1]), seconds_ns(row[2])
    if price is None or quantity is None or event_ns is None:
        return None
    return MarketTrade(
        trade_id=str(row[6]),
        event_ns=event_ns,
        price=price,
        quantity=quantity,
        side=Side.BUY if row[3] == "b" else Side.SELL,
        order_type=TYPES.get(row[4], OrderType.UNKNOWN),
    )


def wire_candle(row: dict[str, Any]) -> Candle | None:
    """A row of the `ohlc` channel; not final, as long as nothing later was seen."""
    prices = [positive(row.get(name)) for name in ("open", "high", "low", "close")]
    opened_ns = instant_ns(row.get("interval_begin"))
    if opened_ns is None or None in prices:
        return None
    return Candle(
        opened_ns=opened_ns // SECOND_NS * SECOND_NS,
        open=str(prices[0]),
        high=str(prices[1]),
        low=str(prices[2]),
        close=str(prices[3]),
        volume=plain(row.get("volume")) or "0",
        trades=int(row["trades"]),
        final=False,
    )


def _fields(candle: Candle) -> dict[str, Any]:
    return {name: getattr(candle, name) for name in candle.__struct_fields__}
