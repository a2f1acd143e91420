"""The fills of one account: stored once, summed by order, folded into positions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.trades import TradeFilter
from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.adapter import Fill
from fullon_master_api.logs import get_logger
from fullon_master_api.model import ExchangeAccount, Order, OrderStatus, Record, Trade
from fullon_master_api.services.order_keeper import OrderKeeper
from fullon_master_api.services.positions import PositionBook
from fullon_master_api.services.resources import Resources

log = get_logger(__name__)

PAGE: Final = 500
OVERLAP_NS: Final = 600 * 1_000_000_000
"""Fills so long before the newest one are asked again: an exchange may book one late."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ZERO: Final = Decimal(0)


class Filled(Record, frozen=True, kw_only=True):
    """What was executed of an order; `average_price` None where nothing was."""

    volume: Decimal
    average_price: Decimal | None


class FillKeeper:
    """Stores fills with their orders' new sums. Nothing here asks the exchange."""

    def __init__(self, resources: Resources, keeper: OrderKeeper, account: ExchangeAccount) -> None:
        self._orm, self._keeper, self._account = resources.orm, keeper, account
        self.positions = PositionBook(account.ex_id)
        self.since_ns = 0  # ask the exchange for fills from here on
        self._unsummed: set[int] = set()  # orders with stored fills that their rows do not tell yet

    async def load(self) -> None:
        """Fold all stored fills into positions, in the order in which they were stored."""
        filters, after = TradeFilter(ex_id=self._account.ex_id), None
        while True:
            page = await self._orm.trades.page(None, filters=filters, order="trade_id", first=PAGE, after=after)
            self._note(page.rows)
            if not page.has_next:
                return
            after = page.cursors[-1]

    async def store(self, fills: Sequence[Fill]) -> list[Trade]:
        """Store fills; the answer is the new ones. One that the store can never take is refused alone, and counted in the log."""
        if not fills:
            return []
        rows = [self._row(fill) for fill in fills]
        try:
            saved = await self._orm.trades.save_trades(rows, fence=self._keeper.fence)
        except BadUserInput:
            saved = await self._keep_one_by_one(rows)
        self._note(saved)
        self._unsummed |= {trade.order_id for trade in saved if trade.order_id is not None}
        return saved

    async def sum_up(self) -> None:
        """Tell the orders of the fills that were stored; one whose write fails is told by the next call."""
        for order_id in sorted(self._unsummed):
            await self._sum_up(order_id)
            self._unsummed.discard(order_id)

    async def filled(self, order: Order) -> Filled:
        """The sum of the stored fills of an order."""
        trades = (await self._orm.trades.of_orders([order.order_id], None))[0]
        volume = sum((trade.volume for trade in trades), ZERO)
        cost = sum((trade.price * trade.volume for trade in trades), ZERO)
        return Filled(volume=volume, average_price=cost / volume if volume else None)

    async def _sum_up(self, order_id: int) -> None:
        order = (await self._orm.orders.get_many([order_id], None))[0]
        if order is None:
            return
        filled = await self.filled(order)
        whole = filled.volume >= order.volume
        await self._keeper.change(
            order,
            OrderChange(
                status=OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED,
                final_volume=filled.volume,
                average_price=filled.average_price,
            ),
        )

    async def _keep_one_by_one(self, rows: Sequence[dict[str, Any]]) -> list[Trade]:
        saved: list[Trade] = []
        for row in rows:
            try:
                saved += await self._orm.trades.save_trades([row], fence=self._keeper.fence)
            except BadUserInput as bad:
                log.error("fill.refused", ex_id=self._account.ex_id, ex_trade_id=row["ex_trade_id"], reason=bad.message)
        return saved

    def _row(self, fill: Fill) -> dict[str, Any]:
        return {
            "ex_trade_id": fill.ex_trade_id,
            "ex_order_id": fill.ex_order_id,
            "ex_id": self._account.ex_id,
            "symbol": fill.symbol,
            "order_type": fill.order_type,
            "side": fill.side,
            "volume": fill.quantity,
            "price": Decimal(fill.price),
            "cost": fill.cost,
            "fee": fill.fee,
            "fee_currency": fill.fee_currency,
            "time": EPOCH + timedelta(microseconds=fill.event_ns // 1_000),
        }

    def _note(self, trades: Sequence[Trade]) -> None:
        self.positions.add(trades)
        for trade in trades:
            self.since_ns = max(self.since_ns, int(trade.time.timestamp() * 1e9) - OVERLAP_NS)
