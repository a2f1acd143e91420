"""Dry-run orders of all accounts: they meet the live tickers of the cache and fill without a word to the exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.bus import Listener, ticker_topic
from fullon_master_api.errors import BadUserInput, CacheUnavailable, Conflict, NotFound, StoreUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import OPEN_STATUSES, DryTrade, Order, OrderStatus, Record, Ticker
from fullon_master_api.services.markets import MarketRules
from fullon_master_api.services.matcher import Match, Matcher, touch_of
from fullon_master_api.services.order_keeper import OrderKeeper
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.rules import fee_of, market_cost_is_enough, request_of

log = get_logger(__name__)

FRESH_NS: Final = 3600 * 1_000_000_000
"""A ticker older than an hour is no market: nothing fills at it."""

RETRY_S: Final = 1.0
ZERO: Final = Decimal(0)
Key = tuple[str, str]


class DryRun:
    """One matcher for each symbol with orders. `run` fills them as tickers arrive; `place` and `cancel` carry out commands."""

    def __init__(self, resources: Resources, keeper: OrderKeeper, rules: MarketRules) -> None:
        self._with, self._keeper, self._rules = resources, keeper, rules
        self._matchers: dict[Key, Matcher] = {}
        self._listeners: dict[Key, Listener] = {}
        self._arrived: dict[Key, Ticker] = {}
        self._saved: set[int] = set()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Fill what tickers reach, for ever; a store that is away makes the fills wait. Raises: StaleEpoch."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                arrived, self._arrived = self._arrived, {}
                away_s = 0.0
                for key, ticker in arrived.items():
                    try:
                        await self._meet(key, ticker)
                    except StoreUnavailable as away:
                        log.warning("dry_run.waits", error=away.message)
                        self._arrived.setdefault(key, ticker)  # Unless a newer one came: then that one is met.
                        self._wake.set()
                        away_s = RETRY_S
                if away_s:
                    await asyncio.sleep(away_s)
        finally:
            for listener in self._listeners.values():
                listener.close()

    async def resume(self, orders: Sequence[Order]) -> None:
        """Take over the open orders of an account that an earlier owner had; one whose fill was stored is finished first."""
        placed = [order for order in orders if order.status is not OrderStatus.NEW]
        fills = await self._with.orm.dry_trades.of_orders([order.order_id for order in placed], None)
        for order, trades in zip(placed, fills, strict=True):
            if trades:
                await self._finish(order, trades)
            else:
                try:
                    await self._rest(order)
                except (BadUserInput, NotFound) as bad:  # The market's rules are others now.
                    await self._keeper.refuse(order, bad.message)

    async def _finish(self, order: Order, trades: Sequence[DryTrade]) -> None:
        """The end of an order whose fill is stored."""
        volume = sum((trade.volume for trade in trades), ZERO)
        cost = sum((trade.cost for trade in trades), ZERO)
        change = OrderChange(status=OrderStatus.FILLED, final_volume=volume, average_price=cost / volume)
        await self._keeper.change(order, change)
        self._saved.discard(order.order_id)

    async def place(self, order: Order) -> None:
        """Check the order as a live one would be, open it, and fill it at once if the market is there."""
        try:
            market = await self._rules.get(order.exchange, order.symbol)
            request = request_of(order, market)
            ticker = await self._ticker((order.exchange, order.symbol))
            market_cost_is_enough(request, market, None if ticker is None else touch_of(order.side, ticker))
        except (BadUserInput, NotFound) as bad:
            await self._keeper.refuse(order, bad.message)
            return
        opened = await self._keeper.change(order, OrderChange(status=OrderStatus.OPEN))
        await self._rest(opened, ticker)

    async def cancel(self, order: Order) -> None:
        """Take it out; one that has filled in the meantime stays filled."""
        async with self._lock:
            matcher = self._matchers.get((order.exchange, order.symbol))
            if matcher is not None:
                matcher.remove(order.order_id)
            (trades,) = await self._with.orm.dry_trades.of_orders([order.order_id], None)
            if trades:  # The store went away between its fill and its end.
                await self._finish(order, trades)
            else:
                await self._keeper.change(order, OrderChange(status=OrderStatus.CANCELED, reason="canceled by its owner"))
            self._release((order.exchange, order.symbol))

    async def _rest(self, order: Order, ticker: Ticker | None = None) -> None:
        key = (order.exchange, order.symbol)
        market = await self._rules.get(*key)
        request = request_of(order, market)
        asked = msgspec.structs.replace(order, volume=request.quantity)
        if order.price is not None and request.price is not None:
            asked = msgspec.structs.replace(asked, price=request.price)
        self._matchers.setdefault(key, Matcher()).add(asked)
        if key not in self._listeners:
            self._listeners[key] = self._with.bus.listen(ticker_topic(*key), lambda _topic, message: self._hear(key, message))
        for known in (ticker, await self._ticker(key)):  # Read again: what came while it was opened was heard by nobody.
            if known is not None:
                await self._meet(key, known)

    def _hear(self, key: Key, message: Record) -> None:
        if isinstance(message, Ticker):
            self._arrived[key] = message
            self._wake.set()

    async def _ticker(self, key: Key) -> Ticker | None:
        """The latest ticker, if it is no older than an hour and the cache is there."""
        try:
            ticker = (await self._with.cache.tickers.get_many([key]))[0]
        except CacheUnavailable as away:
            log.warning("dry_run.no_ticker", error=away.message)
            return None
        return ticker if ticker is not None and time.time_ns() - ticker.received_ns <= FRESH_NS else None

    async def _meet(self, key: Key, ticker: Ticker) -> None:
        async with self._lock:
            matcher = self._matchers.get(key)
            for order, match in matcher.meet(ticker) if matcher is not None else ():
                await self._settle(order, match)
                if matcher is not None:
                    matcher.remove(order.order_id)
            self._release(key)

    async def _settle(self, order: Order, match: Match) -> None:
        """Fill it, unless it was ended meanwhile; what keeps this one from being filled ends this one alone."""
        (known,) = await self._with.orm.orders.get_many([order.order_id], None)
        if known is None or known.status not in OPEN_STATUSES:
            return
        try:
            await self._fill(msgspec.structs.replace(order, bot_id=known.bot_id), match)
        except (BadUserInput, Conflict, NotFound) as bad:
            await self._keeper.refuse(order, bad.message)

    async def _fill(self, order: Order, match: Match) -> None:
        """Store the fill, then the order's end; a crash between the two is mended by `resume`."""
        market = await self._rules.get(order.exchange, order.symbol)
        cost = match.quantity * match.price
        values = {
            "uid": order.uid,
            "bot_id": order.bot_id,
            "ex_id": order.ex_id,
            "order_id": order.order_id,
            "symbol": order.symbol,
            "side": order.side,
            "volume": match.quantity,
            "price": match.price,
            "cost": cost,
            "fee": fee_of(cost, market, maker=match.maker),
            "reason": order.reason or None,
        }
        if order.order_id not in self._saved:
            await self._with.orm.dry_trades.save(values, fence=self._keeper.fence)
            self._saved.add(order.order_id)  # The store may go away before the next line: the fill is not stored twice.
        change = OrderChange(status=OrderStatus.FILLED, final_volume=match.quantity, average_price=match.price)
        await self._keeper.change(order, change)
        self._saved.discard(order.order_id)
        log.info("dry_run.filled", order_id=order.order_id, maker=match.maker)

    def _release(self, key: Key) -> None:
        """Stop listening to a symbol without orders."""
        if key in self._matchers and not len(self._matchers[key]):
            del self._matchers[key]
            self._listeners.pop(key).close()
