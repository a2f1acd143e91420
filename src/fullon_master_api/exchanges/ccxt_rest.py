"""The calls of an exchange through ccxt's unified methods, answered as our records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges.adapter import Fill, Market, OrderRequest, OrderState
from fullon_master_api.exchanges.ccxt_errors import exchange_errors
from fullon_master_api.exchanges.wire_values import decimal, milliseconds_ns, plain, positive
from fullon_master_api.model import Balance, Candle, MarketTrade, OrderStatus, OrderType, Side, Ticker, Timeframe

ZERO: Final = Decimal(0)
PUBLIC_MAX: Final = 4
STATUSES: Final = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
ORDER_TYPES: Final = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop": OrderType.STOP,
    "stop-loss": OrderType.STOP,
    "stop-loss-limit": OrderType.STOP_LIMIT,
    "stop_limit": OrderType.STOP_LIMIT,
    "take-profit": OrderType.TAKE_PROFIT,
    "take_profit": OrderType.TAKE_PROFIT,
}


class CcxtRest:
    """Everything an exchange answers once. Each call has a time limit, from when its turn has come.

    Private ones go one after another, because a nonce must rise in the order in which requests arrive (Kraken: `EAPI:Invalid
    nonce`). Of the public ones a few go at a time: ccxt holds them back to the exchange's rate, and many that wait there
    together would use up their time before they are sent.
    """

    def __init__(self, name: str, wire: Any, *, timeout_s: float) -> None:
        self.name = name
        self.wire = wire
        self.timeout_s = timeout_s
        self._public = asyncio.Semaphore(PUBLIC_MAX)
        self._private = asyncio.Lock()
        self._loading = asyncio.Lock()

    async def call(self, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        with exchange_errors(self.name):
            async with self._public, asyncio.timeout(self.timeout_s):
                return await method(*arguments)

    async def call_private(self, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        with exchange_errors(self.name):
            async with self._private, asyncio.timeout(self.timeout_s):
                return await method(*arguments)

    async def load_markets(self) -> dict[str, Market]:
        """Every spot market by its unified name."""
        await self.ready()
        return {symbol: _market(row) for symbol, row in self.wire.markets.items() if row.get("spot")}

    async def ready(self, symbols: Sequence[str] = ()) -> None:
        """Have the markets loaded. Raises: ExchangeRefused for a symbol that the exchange does not have."""
        async with self._loading:
            # One at a time: ccxt gives all callers one task, which the first of them to be cancelled ends for the others.
            if not self.wire.markets:
                await self.call(self.wire.load_markets)
        for symbol in symbols:
            if symbol not in self.wire.markets:
                raise ExchangeRefused(f"{self.name}: no market {symbol!r}")

    async def fetch_tickers(self, symbols: Sequence[str]) -> list[Ticker]:
        """The ticker of each symbol, in the order asked, without those that have none now."""
        await self.ready(symbols)
        rows = await self.call(self.wire.fetch_tickers, list(symbols))
        now_ns = time.time_ns()
        return [self.ticker(rows[symbol], now_ns) for symbol in symbols if symbol in rows]

    def ticker(self, row: dict[str, Any], received_ns: int) -> Ticker:
        percentage = plain(row.get("percentage"))
        return Ticker(
            exchange=self.name,
            symbol=row["symbol"],
            bid=positive(row.get("bid")),
            ask=positive(row.get("ask")),
            last=positive(row.get("last")),
            bid_quantity=plain(row.get("bidVolume")),
            ask_quantity=plain(row.get("askVolume")),
            high=positive(row.get("high")),
            low=positive(row.get("low")),
            volume=plain(row.get("baseVolume")),
            change=plain(row.get("change")),
            percentage=None if percentage is None else float(percentage),
            event_ns=milliseconds_ns(row.get("timestamp")),
            received_ns=received_ns,
        )

    async def fetch_trades(self, symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]:
        """Trades from `since_ns` on, oldest first; those of one millisecond are never split between two pages."""
        await self.ready([symbol])
        rows = await self.call(self.wire.fetch_trades, symbol, since_ns // 1_000_000, limit)
        trades = [trade for trade in map(self.market_trade, rows) if trade is not None and trade.event_ns >= since_ns]
        return whole_instants(trades, full=len(rows) >= limit)

    def market_trade(self, row: dict[str, Any]) -> MarketTrade | None:
        """None for a trade without a price or a quantity: bad data is refused at the door."""
        price, quantity = positive(row.get("price")), positive(row.get("amount"))
        if price is None or quantity is None or row.get("id") is None or row.get("timestamp") is None:
            return None
        return MarketTrade(
            trade_id=str(row["id"]),
            event_ns=int(row["timestamp"]) * 1_000_000,
            price=price,
            quantity=quantity,
            side=Side(row["side"]),
            order_type=ORDER_TYPES.get(row.get("type") or "", OrderType.UNKNOWN),
        )

    async def fetch_candles(self, symbol: str, timeframe: Timeframe, *, since_ns: int, limit: int) -> list[Candle]:
        """Candles that open at `since_ns` or later, oldest first; the newest is not final while its span lasts."""
        await self.ready([symbol])
        if timeframe.value not in (self.wire.timeframes or {}):
            raise ExchangeRefused(f"{self.name}: no candles of {timeframe.value}")
        rows = await self.call(self.wire.fetch_ohlcv, symbol, timeframe.value, since_ns // 1_000_000, limit)
        span_ms = int(self.wire.parse_timeframe(timeframe.value)) * 1000
        now_ms = time.time_ns() // 1_000_000
        candles = [candle(row, final=row[0] + span_ms <= now_ms) for row in rows]
        return [one for one in candles if one is not None and one.opened_ns >= since_ns]

    async def fetch_balances(self, ex_id: int) -> list[Balance]:
        await self.ready()
        return balances(await self.call_private(self.wire.fetch_balance), ex_id, time.time_ns())

    async def fetch_open_orders(self) -> list[OrderState]:
        await self.ready()
        return [self.order_state(row) for row in await self.call_private(self.wire.fetch_open_orders)]

    async def place_order(self, request: OrderRequest) -> OrderState:
        await self.ready([request.symbol])
        price = None if request.price is None else format(request.price, "f")
        named = {} if request.client_order_id is None else {"clientOrderId": request.client_order_id}
        row = await self.call_private(
            self.wire.create_order,
            request.symbol,
            request.order_type.value,
            request.side.value,
            format(request.quantity, "f"),
            price,
            named,
        )
        if not row.get("id"):
            raise ExchangeUnavailable(f"{self.name}: the order was answered without an id; ask for the open orders")
        return OrderState(
            ex_order_id=str(row["id"]),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            status=STATUSES.get(row.get("status") or "", OrderStatus.NEW),
            quantity=request.quantity,
            filled=decimal(row.get("filled")),
            price=request.price,
            average_price=decimal(row.get("average")) or None,
            event_ns=milliseconds_ns(row.get("timestamp")),
        )

    async def cancel_order(self, ex_order_id: str, symbol: str) -> OrderState:
        """The order's state after it was asked to be canceled; one that had filled before says so."""
        await self.ready()
        await self.call_private(self.wire.cancel_order, ex_order_id, symbol)
        return self.order_state(await self.call_private(self.wire.fetch_order, ex_order_id, symbol))

    def order_state(self, row: dict[str, Any]) -> OrderState:
        filled, quantity = decimal(row.get("filled")), decimal(row.get("amount"))
        status = STATUSES.get(row.get("status") or "", OrderStatus.OPEN)
        if status is OrderStatus.OPEN and filled:
            status = OrderStatus.PARTIALLY_FILLED
        side = row.get("side")
        return OrderState(
            ex_order_id=str(row["id"]),
            client_order_id=row.get("clientOrderId"),
            symbol=row.get("symbol"),
            side=Side(side) if side else None,
            order_type=ORDER_TYPES.get(row.get("type") or "", OrderType.UNKNOWN),
            status=status,
            quantity=quantity,
            filled=filled,
            price=decimal(row.get("price")) or None,
            average_price=decimal(row.get("average")) or None,
            reason=str((row.get("info") or {}).get("reason") or ""),
            event_ns=milliseconds_ns(row.get("lastUpdateTimestamp") or row.get("timestamp")),
        )


def _market(row: dict[str, Any]) -> Market:
    limits, precision = row.get("limits") or {}, row["precision"]
    return Market(
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        price_step=decimal(precision.get("price")) or Decimal("1E-8"),
        quantity_step=decimal(precision.get("amount")) or Decimal("1E-8"),
        quantity_min=decimal((limits.get("amount") or {}).get("min")) or ZERO,
        cost_min=decimal((limits.get("cost") or {}).get("min")) or ZERO,
        taker_fee=decimal(row.get("taker")) or ZERO,
        maker_fee=decimal(row.get("maker")) or ZERO,
        active=row.get("active") is not False,
    )


def whole_instants(trades: list[MarketTrade], *, full: bool) -> list[MarketTrade]:
    """A page without its last instant, when the page was full: its trades may go on in the next one.

    So a caller who asks on from the instant after the newest trade loses none. A page of one single instant stays whole.
    """
    if not full or not trades or trades[0].event_ns == trades[-1].event_ns:
        return trades
    return [trade for trade in trades if trade.event_ns != trades[-1].event_ns]


def candle(row: Sequence[Any], *, final: bool) -> Candle | None:
    """A row of ccxt: milliseconds, open, high, low, close, volume. None when a price is missing or not above zero."""
    opened, highest, lowest, closed = (positive(value) for value in row[1:5])
    if opened is None or highest is None or lowest is None or closed is None:
        return None
    volume = plain(row[5]) or "0"
    return Candle(
        opened_ns=int(row[0]) * 1_000_000, open=opened, high=highest, low=lowest, close=closed, volume=volume, final=final
    )


def balances(answer: dict[str, Any], ex_id: int, now_ns: int) -> list[Balance]:
    rows = []
    for currency, total in sorted((answer.get("total") or {}).items()):
        whole = decimal(total) or ZERO
        used = decimal((answer.get("used") or {}).get(currency)) or ZERO
        free = decimal((answer.get("free") or {}).get(currency))
        rows.append(
            Balance(
                ex_id=ex_id,
                currency=currency,
                total=whole,
                free=whole - used if free is None else free,
                used=used,
                updated_ns=now_ns,
            )
        )
    return rows


def fill(row: dict[str, Any]) -> Fill:
    fee = row.get("fee") or {}
    quantity, price = decimal(row["amount"]) or ZERO, plain(row["price"]) or "0"
    cost = decimal(row.get("cost"))
    return Fill(
        ex_trade_id=str(row["id"]),
        ex_order_id=str(row.get("order") or ""),
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=ORDER_TYPES.get(row.get("type") or "", OrderType.UNKNOWN),
        quantity=quantity,
        price=price,
        cost=quantity * Decimal(price) if cost is None else cost,
        fee=decimal(fee.get("cost")) or ZERO,
        fee_currency=fee.get("currency"),
        event_ns=int(row["timestamp"]) * 1_000_000,
    )
