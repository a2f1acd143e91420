"""Orders sent to an exchange and canceled there: checked before, sent once, looked for when the answer is lost."""

from __future__ import annotations

import asyncio
from typing import Final

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.errors import (
    BadUserInput,
    CacheUnavailable,
    ExchangeDenied,
    ExchangeRefused,
    ExchangeUnavailable,
    NotFound,
)
from fullon_master_api.exchanges.adapter import OrderRequest, OrderState
from fullon_master_api.logs import get_logger
from fullon_master_api.model import OPEN_STATUSES, Order, OrderStatus, OrderType
from fullon_master_api.services.live_account import LiveAccount, sent_id
from fullon_master_api.services.markets import MarketRules
from fullon_master_api.services.matcher import touch_of
from fullon_master_api.services.order_keeper import OrderKeeper
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.rules import check_balance, market_cost_is_enough, request_of

log = get_logger(__name__)

LOOKS_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between the looks for an order whose answer was lost. It is never sent a second time."""

LIVE_TYPES: Final = (OrderType.MARKET, OrderType.LIMIT)


class OrderDesk:
    """Carries out commands on live accounts."""

    def __init__(self, resources: Resources, keeper: OrderKeeper, rules: MarketRules) -> None:
        self._with, self._keeper, self._rules = resources, keeper, rules

    async def place(self, order: Order, live: LiveAccount, *, again: bool) -> None:
        """Send the order; with `again` an owner before may have sent it, so it is looked for and not sent.

        Raises: StaleEpoch, StoreUnavailable; every other end is kept in the order.
        """
        try:
            request = await self._checked(order, live)
        except (BadUserInput, NotFound) as bad:
            await self._keeper.refuse(order, bad.message)
            return
        async with live.lock:
            if order.ex_order_id is not None:
                return  # It was sent, and its answer is known.
            if again and order.status is not OrderStatus.NEW:
                state = await self._look_for(order, live)
            else:
                # PENDING before it is sent: whoever finds this order after a crash knows that it may be at the exchange.
                order = await self._keeper.change(order, OrderChange(status=OrderStatus.PENDING))
                state = await self._send(order, request, live)
            if state is not None:
                await live.learn([state])

    async def _checked(self, order: Order, live: LiveAccount) -> OrderRequest:
        """The order as it is sent. Raises: BadUserInput, NotFound."""
        if order.order_type not in LIVE_TYPES:
            raise BadUserInput(f"a live order is market or limit, {order.order_type.value} works in dry run only")
        market = await self._rules.get(order.exchange, order.symbol)
        request = request_of(order, market)
        touch = None
        try:
            ticker = (await self._with.cache.tickers.get_many([(order.exchange, order.symbol)]))[0]
            touch = None if ticker is None else touch_of(order.side, ticker)
        except CacheUnavailable as away:
            log.warning("order.no_ticker", error=away.message)
        market_cost_is_enough(request, market, touch)
        if live.synced.is_set():
            check_balance(request, market, live.balances, touch)
        return request

    async def _send(self, order: Order, request: OrderRequest, live: LiveAccount) -> OrderState | None:
        sent = OrderRequest(
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            quantity=request.quantity,
            price=request.price,
            client_order_id=sent_id(order),
        )
        try:
            state = await live.adapter.place_order(sent)
        except (ExchangeRefused, ExchangeDenied) as refused:
            await self._keeper.refuse(order, refused.message)
            return None
        except ExchangeUnavailable as lost:
            log.warning("order.answer_lost", order_id=order.order_id, error=lost.message)
            return await self._look_for(order, live)
        log.info("order.sent", order_id=order.order_id, ex_order_id=state.ex_order_id)
        await self._keeper.change(order, OrderChange(ex_order_id=state.ex_order_id))
        return state

    async def _look_for(self, order: Order, live: LiveAccount) -> OrderState | None:
        """The order at the exchange, by the id that we sent it under; one that is nowhere ends as ERROR."""
        for wait_s in LOOKS_S:
            try:
                found = await self._found(order, live)
            except (ExchangeUnavailable, ExchangeRefused) as away:
                log.warning("order.not_looked_for", order_id=order.order_id, error=away.message)
            else:
                if found is not None:
                    await self._keeper.change(order, OrderChange(ex_order_id=found.ex_order_id))
                    return found
            await asyncio.sleep(wait_s)
        reason = "the exchange did not answer, and does not list the order"
        await self._keeper.change(order, OrderChange(status=OrderStatus.ERROR, reason=reason))
        return None

    async def _found(self, order: Order, live: LiveAccount) -> OrderState | None:
        """Among the open orders, else among those whose fills are new."""
        wanted = sent_id(order)
        states: list[OrderState | None] = [*await live.adapter.fetch_open_orders()]
        since_ns = int(order.created_at.timestamp() * 1e9) - 60 * 1_000_000_000
        fills = await live.adapter.fetch_fills(since_ns=since_ns, symbols=[order.symbol])
        ids = sorted({fill.ex_order_id for fill in fills})
        states += await live.adapter.fetch_orders(ids, symbols=[order.symbol] * len(ids))
        return next((state for state in states if state is not None and state.client_order_id == wanted), None)

    async def cancel(self, order: Order, live: LiveAccount) -> None:
        """Cancel at the exchange; what it says of the order then is what counts. Raises: ExchangeUnavailable."""
        async with live.lock:
            known = (await self._with.orm.orders.get_many([order.order_id], None))[0]
            if known is None or known.status not in OPEN_STATUSES:
                return
            if known.ex_order_id is None:
                found = await self._found(known, live)
                if found is None:
                    await self._keeper.change(known, OrderChange(status=OrderStatus.CANCELED, reason="it was never sent"))
                    return
                known = await self._keeper.change(known, OrderChange(ex_order_id=found.ex_order_id))
            assert known.ex_order_id is not None, "it was found at the exchange"
            try:
                await live.learn([await live.adapter.cancel_order(known.ex_order_id, known.symbol)])
            except ExchangeRefused:
                states = await live.adapter.fetch_orders([known.ex_order_id], symbols=[known.symbol])
                await live.learn([state for state in states if state is not None])
