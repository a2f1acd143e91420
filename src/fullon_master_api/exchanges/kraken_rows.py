"""The rows of Kraken's channels and calls as our records, and what must be remembered between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from fullon_master_api.exchanges.adapter import Fill, OrderState
from fullon_master_api.exchanges.wire_values import SECOND_NS, decimal, instant_ns, plain, positive, seconds_ns
from fullon_master_api.model import Candle, MarketTrade, OrderStatus, OrderType, Side

ZERO: Final = Decimal(0)
TYPES: Final = {
    "m": OrderType.MARKET,
    "market": OrderType.MARKET,
    "l": OrderType.LIMIT,
    "limit": OrderType.LIMIT,
    "stop-loss": OrderType.STOP,
    "stop-loss-limit": OrderType.STOP_LIMIT,
    "take-profit": OrderType.TAKE_PROFIT,
    "take-profit-limit": OrderType.TAKE_PROFIT,
}
SIDES: Final = {side.value: side for side in Side}
STATUSES: Final = {
    "pending_new": OrderStatus.PENDING,
    "new": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
}
CLOSED: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED)
CLOSED_REMEMBERED: Final = 1_000
FILLS_REMEMBERED: Final = 20_000


class OrderLedger:
    """What is known of each order, from all that was said of it; fills are counted, and count more than states."""

    def __init__(self) -> None:
        self.started = False
        self._states: dict[str, OrderState] = {}
        self._fills: dict[str, None] = {}  # ids of the fills that are counted already, oldest first
        self._closed: deque[str] = deque()
        self._summed: set[str] = set()  # closed orders whose sum was told

    def start(self, states: Iterable[OrderState], fill_ids: Iterable[str]) -> list[OrderState]:
        """The orders that are open now, and the fills that their quantities hold already; answers the orders."""
        self.started = True
        self._fills |= dict.fromkeys(fill_ids)
        self._states |= {state.ex_order_id: state for state in states}
        return list(self._states.values())

    def read(self, rows: Iterable[dict[str, Any]]) -> list[OrderState]:
        """Rows of `executions`, orders and trades in any mixture; answers the orders that changed, each once, at its newest."""
        changed: dict[str, OrderState] = {}
        for row in rows:
            before = self._states.get(row["order_id"])
            after = self._merged(before, row)
            if after != before:
                self._states[after.ex_order_id] = changed[after.ex_order_id] = after
                if after.status in CLOSED and (before is None or before.status not in CLOSED):
                    self._forget(after.ex_order_id)
        return list(changed.values())

    def _merged(self, before: OrderState | None, row: dict[str, Any]) -> OrderState:
        known = before or OrderState(ex_order_id=row["order_id"], status=OrderStatus.OPEN)
        filled, average = self._filled(known, row)
        quantity = decimal(row.get("order_qty")) or known.quantity
        status = STATUSES.get(row.get("order_status", ""), known.status)
        if known.status in CLOSED:
            status = known.status  # What is closed stays so: an older message was overtaken.
        elif status in (OrderStatus.OPEN, OrderStatus.PENDING) and filled:
            status = OrderStatus.PARTIALLY_FILLED
        side = row.get("side")
        return OrderState(
            ex_order_id=known.ex_order_id,
            client_order_id=row.get("cl_ord_id") or known.client_order_id,
            symbol=row.get("symbol") or known.symbol,
            side=Side(side) if side else known.side,
            order_type=TYPES.get(row.get("order_type", ""), known.order_type),
            status=status,
            quantity=quantity,
            filled=filled,
            price=decimal(row.get("limit_price")) or known.price,
            average_price=average,
            reason=row.get("reason") or known.reason,
            event_ns=max(instant_ns(row.get("timestamp")) or 0, known.event_ns or 0) or None,
        )

    def _filled(self, known: OrderState, row: dict[str, Any]) -> tuple[Decimal, Decimal | None]:
        """Quantity filled so far and its mean price: the larger of what the exchange sums and what the fills sum to."""
        filled, average = known.filled or ZERO, known.average_price
        # A state that closes an order has the sum of all its fills, also of those that it overtook.
        final = known.ex_order_id in self._summed
        if row.get("exec_type") == "trade" and row["exec_id"] not in self._fills and not final:
            self._fills[row["exec_id"]] = None
            quantity, price = decimal(row.get("last_qty")) or ZERO, decimal(row.get("last_price")) or ZERO
            whole = filled + quantity
            if known.quantity is None or whole <= known.quantity:
                average = ((average or ZERO) * filled + price * quantity) / whole if whole else average
                filled = whole
        summed = decimal(row.get("cum_qty"))
        if summed is not None and summed >= filled:
            filled, average = summed, decimal(row.get("avg_price")) or average
        if summed is not None and STATUSES.get(row.get("order_status", "")) in CLOSED:
            self._summed.add(known.ex_order_id)
        return filled, average

    def _forget(self, ex_order_id: str) -> None:
        self._closed.append(ex_order_id)
        if len(self._closed) > CLOSED_REMEMBERED:
            forgotten = self._closed.popleft()
            self._states.pop(forgotten, None)
            self._summed.discard(forgotten)
        while len(self._fills) > FILLS_REMEMBERED:
            del self._fills[next(iter(self._fills))]


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
        side=SIDES[row["side"]],
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


def wire_fill(row: dict[str, Any]) -> Fill:
    """A row of `executions` with `exec_type` trade."""
    quantity, price = decimal(row["last_qty"]) or ZERO, plain(row["last_price"]) or "0"
    fees = row.get("fees") or [{}]
    cost = decimal(row.get("cost"))
    return Fill(
        ex_trade_id=row["exec_id"],
        ex_order_id=row["order_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=TYPES.get(row.get("order_type", ""), OrderType.UNKNOWN),
        quantity=quantity,
        price=price,
        cost=quantity * Decimal(price) if cost is None else cost,
        fee=sum((decimal(fee.get("qty")) or ZERO for fee in fees), ZERO),
        fee_currency=fees[0].get("asset"),
        event_ns=instant_ns(row["timestamp"]) or 0,
    )


def rest_fill(fill_id: str, row: dict[str, Any], market: dict[str, Any]) -> Fill:
    """A row of `TradesHistory`; its fee is in the quote currency, and its time has all the digits that were sent."""
    return Fill(
        ex_trade_id=fill_id,
        ex_order_id=row["ordertxid"],
        symbol=market["symbol"],
        side=Side(row["type"]),
        order_type=TYPES.get(row["ordertype"], OrderType.UNKNOWN),
        quantity=decimal(row["vol"]) or ZERO,
        price=plain(row["price"]) or "0",
        cost=decimal(row["cost"]) or ZERO,
        fee=decimal(row["fee"]) or ZERO,
        fee_currency=market["quote"],
        event_ns=seconds_ns(row["time"]) or 0,
    )
