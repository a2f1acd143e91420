"""One exchange account: its balances, orders, fills and positions, by stream where there is one and by REST in any case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.bus import account_topic
from fullon_master_api.errors import (
    BadUserInput,
    Conflict,
    ExchangeDenied,
    ExchangeRefused,
    NotFound,
    Unavailable,
)
from fullon_master_api.exchanges.adapter import ExchangeAdapter, Fill, OrderState
from fullon_master_api.logs import get_logger
from fullon_master_api.model import OPEN_STATUSES, Balance, Balances, ExchangeAccount, Order, OrderStatus, Positions
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedBoard, FeedGauge
from fullon_master_api.services.fill_keeper import FillKeeper
from fullon_master_api.services.order_keeper import OrderKeeper
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming, pause

log = get_logger(__name__)
T = TypeVar("T")

FOREIGN: Final = "placed outside this platform"
ZERO: Final = Decimal(0)
RECHECK_S: Final = 2.0
DOUBTS_MAX: Final = 5
"""An order said to be filled beyond its listed fills is read again after `RECHECK_S`, and believed at the fifth time."""
ADOPT_NS: Final = 86_400 * 1_000_000_000
"""The order of a fill that we do not know is asked for if the fill is no older; older ones stay fills without an order."""


class LiveAccount:
    """Keeps the stores equal to what the exchange says of one account.

    Streams are quick and forgetful, REST is slow and complete: after every (re)connect and every `poll_s` fills, open orders
    and balances are read over REST. Fills are the truth: an order's filled quantity is the sum of its stored fills, whatever a
    stream says of the order. One lock serialises what is learned and what is sent, so a fill never overtakes its order's id.
    """

    def __init__(
        self,
        resources: Resources,
        keeper: OrderKeeper,
        account: ExchangeAccount,
        adapter: ExchangeAdapter,
        board: FeedBoard,
        *,
        policy: StreamPolicy,
        poll_s: float,
    ) -> None:
        self.account, self.adapter, self.lock = account, adapter, asyncio.Lock()
        self._with, self._keeper, self._board, self._policy, self._poll_s = resources, keeper, board, policy, poll_s
        self._fills = FillKeeper(resources, keeper, account)
        self._gauge = board.feed(feed_name(account, "account"))
        self._due, self._worn, self._began = asyncio.Event(), asyncio.Event(), time.monotonic()
        self._trail: dict[str, Decimal] | None = None  # each currency's total at its last line in the balance history
        self._told: dict[str, tuple[Decimal, Decimal, Decimal]] | None = None
        self.balances: dict[str, Balance] = {}
        self.synced = asyncio.Event()
        self._doubts: dict[int, int] = {}
        self._everywhere = True  # the fills of all known markets are to be read
        self._positions_due = False  # they are news that the outbox or the cache has not heard

    async def run(self) -> None:
        """Returns when a fresh connection is due. Raises: ExchangeDenied when the credentials are not accepted; StaleEpoch."""
        await self._fills.load()
        await self._tell_positions_if_news()
        can, ex_id = self.adapter.capabilities, self.account.ex_id
        denied: list[str] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(self._reconcile(), name=f"reconcile:{ex_id}")]
                if can.stream_orders:
                    works.append(tasks.create_task(self._stream_orders(), name=f"orders:{ex_id}"))
                if can.stream_my_trades:
                    works.append(tasks.create_task(self._stream_fills(), name=f"fills:{ex_id}"))
                if can.stream_balances:
                    works.append(tasks.create_task(self._stream_balances(), name=f"balances:{ex_id}"))
                await self._worn.wait()
                async with self.lock:  # An order that is being sent gets its answer first.
                    for work in works:
                        work.cancel()
        except* ExchangeDenied as group:
            denied += [str(error) for error in group.exceptions]
        if denied:
            raise ExchangeDenied(denied[0])

    # ---- streams -------------------------------------------------------------------------------------------------------

    async def _stream_orders(self) -> None:
        async def take(states: list[OrderState]) -> None:
            async with self.lock:
                await self.learn(states)

        gauge = self._board.feed(feed_name(self.account, "orders"))
        await self._stream(self.adapter.stream_orders, take, gauge, self._due.set)

    async def _stream_fills(self) -> None:
        async def take(fills: list[Fill]) -> None:
            async with self.lock:
                if self._everywhere:  # What came while nothing was told is first: a newer fill would hide where to begin.
                    await self._read_fills()
                await self._keep(fills)

        gauge = self._board.feed(feed_name(self.account, "fills"))
        await self._stream(self.adapter.stream_fills, take, gauge, self._reconnected)

    def _reconnected(self) -> None:
        self._everywhere = True
        self._due.set()

    async def _stream_balances(self) -> None:
        gauge = self._board.feed(feed_name(self.account, "balances"))
        await self._stream(lambda: self.adapter.stream_balances(self.account.ex_id), self._tell_balances, gauge, self._due.set)

    async def _stream(
        self,
        open_stream: Callable[[], AsyncGenerator[T, None]],
        take: Callable[[T], Awaitable[None]],
        gauge: FeedGauge,
        on_open: Callable[[], None],
    ) -> None:
        await keep_streaming(open_stream, take, gauge=gauge, policy=self._policy, on_open=on_open, on_broken=self._broken)

    def _broken(self) -> None:
        """A stream failed too often: a fresh connection is worth it, but no oftener than the longest wait, as REST may work."""
        if time.monotonic() - self._began >= self._policy.max_s:
            self._worn.set()

    # ---- REST ----------------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Read everything anew when it is due; an exchange that is away is asked again, later and later."""
        retry = Backoff(first_s=0.5, max_s=max(0.5, self._poll_s))
        while True:
            self._due.clear()
            try:
                await self.read_all()
                self._gauge.received(time.time_ns())
                self._gauge.works()
                retry.reset()
                wait_s = RECHECK_S if self._doubts else self._poll_s
            except (Unavailable, ExchangeRefused) as error:
                self._gauge.failed(error.message)
                log.warning("account.unread", ex_id=self.account.ex_id, error=error.message)
                wait_s = retry.next_s()
                await asyncio.sleep(wait_s)
                continue
            await pause(self._due, wait_s)

    async def read_all(self) -> None:
        """Fills first, because they are the truth of the orders that follow. Raises: ExchangeUnavailable, ExchangeRefused."""
        async with self.lock:
            await self._read_fills()
            open_states = await self.adapter.fetch_open_orders()
            await self.learn(open_states)
            seen = {state.ex_order_id for state in open_states}
            ours = await self._with.orm.orders.open_of(self.account.ex_id, dry_run=False)
            still_open = {order.order_id for order in ours}  # Of an order that is over nothing is doubted any more.
            self._doubts = {order_id: times for order_id, times in self._doubts.items() if order_id in still_open}
            gone = [order for order in ours if order.ex_order_id is not None and order.ex_order_id not in seen]
            await self._learn_ended(gone)
            await self._tell_balances(await self.adapter.fetch_balances(self.account.ex_id))
        self.synced.set()

    async def _read_fills(self) -> None:
        """Most exchanges tell fills by market. After a (re)connect all markets are asked that we know of, because an order may
        have been placed and filled by hand meanwhile; later those where this connection has seen an order."""
        everywhere, self._everywhere = self._everywhere, False  # A reconnect in the middle asks for it again.
        try:
            symbols = sorted(await self._known_symbols()) if everywhere else None
            fills = await self.adapter.fetch_fills(since_ns=self._fills.since_ns, symbols=symbols)
        except (Unavailable, ExchangeRefused):
            self._everywhere |= everywhere
            raise
        await self._keep(fills)

    async def _known_symbols(self) -> set[str]:
        """The catalogue's symbols of the exchange, and those that were ever traded here."""
        listed = await self._with.orm.symbols.active([self.account.exchange])
        return {symbol.symbol for symbol in listed} | self._fills.positions.symbols

    async def _learn_ended(self, orders: Sequence[Order]) -> None:
        """Orders that we thought open and the exchange does not list as open."""
        if not orders:
            return
        ids, symbols = [order.ex_order_id or "" for order in orders], [order.symbol for order in orders]
        states = await self.adapter.fetch_orders(ids, symbols=symbols)
        await self.learn([state for state in states if state is not None])
        for order, state in zip(orders, states, strict=True):
            if state is None:
                change = OrderChange(status=OrderStatus.ERROR, reason="the exchange does not know this order")
                await self._keeper.change(order, change)

    # ---- what is learned -----------------------------------------------------------------------------------------------

    async def learn(self, states: Sequence[OrderState]) -> None:
        """Keep what the exchange says of orders; called with the lock held."""
        for state in states:
            order = await self.order_of(state)
            if order is not None:
                await self._learn_one(order, state)

    async def order_of(self, state: OrderState) -> Order | None:
        """Our row of the order; one made for an order that was placed elsewhere. None where too little is known of it."""
        orm = self._with.orm
        found = (await orm.orders.by_exchange_ids(self.account.ex_id, [state.ex_order_id], None))[0]
        if found is None and state.client_order_id:
            waiting = await orm.orders.open_of(self.account.ex_id, dry_run=False)
            found = next((order for order in waiting if sent_id(order) == state.client_order_id), None)
        return found if found is not None else await self._adopt(state)

    async def _adopt(self, state: OrderState) -> Order | None:
        if not (state.symbol and state.side and state.order_type and state.quantity):
            return None
        values = {
            "uid": self.account.uid,
            "ex_id": self.account.ex_id,
            "symbol": state.symbol,
            "order_type": state.order_type,
            "side": state.side,
            "volume": state.quantity,
            "price": state.price or None,
            "dry_run": False,
            "status": state.status if state.status in OPEN_STATUSES else OrderStatus.OPEN,
            "ex_order_id": state.ex_order_id,
            "client_order_id": f"{self.account.exchange}:{self.account.ex_id}:{state.ex_order_id}",
            "reason": FOREIGN,
        }
        try:
            return await self._with.orm.orders.place(None, values, send=False)
        except (BadUserInput, Conflict, NotFound) as bad:
            log.info("order.not_adopted", ex_id=self.account.ex_id, ex_order_id=state.ex_order_id, reason=bad.message)
            return None

    async def _learn_one(self, order: Order, state: OrderState) -> None:
        """A state that says more was filled than the stored fills do is not believed before the fills are read.

        What was believed once is in the order's row, and is not doubted again.
        """
        stored, believed = await self._fills.filled(order), order.final_volume or ZERO
        claimed = state.filled if state.filled is not None else (order.volume if state.status is OrderStatus.FILLED else ZERO)
        if claimed > max(stored.volume, believed):
            if order.ex_order_id is None:
                order = await self._keeper.change(order, OrderChange(ex_order_id=state.ex_order_id))
            await self._read_fills()
            stored = await self._fills.filled(order)
        status = state.status
        volume = max(stored.volume, believed)
        doubts = self._doubts.pop(order.order_id, 0) + 1
        if volume < claimed:
            if doubts >= DOUBTS_MAX:
                volume = claimed  # Its fills are from before we knew the order, or the exchange will never list them.
            else:
                self._doubts[order.order_id] = doubts
                if status is OrderStatus.FILLED:
                    status = OrderStatus.PARTIALLY_FILLED if volume else OrderStatus.OPEN
        change = OrderChange(
            status=status,
            final_volume=volume or None,
            average_price=stored.average_price,
            ex_order_id=state.ex_order_id,
            reason=state.reason or None,
        )
        await self._keeper.change(order, change)

    async def _know_orders(self, ex_order_ids: set[str]) -> None:
        """Have a row for the order of each fill, so that the fill finds its order when it is stored."""
        ids = sorted(ex_order_ids)
        known = await self._with.orm.orders.by_exchange_ids(self.account.ex_id, ids, None)
        missing = [ex_order_id for ex_order_id, order in zip(ids, known, strict=True) if order is None]
        if not missing:
            return
        for state in await self.adapter.fetch_orders(missing):
            order = await self.order_of(state) if state is not None else None
            if order is not None and order.ex_order_id is None and state is not None:
                await self._keeper.change(order, OrderChange(ex_order_id=state.ex_order_id))

    async def _keep(self, fills: Sequence[Fill]) -> None:
        """Store fills, and what follows from the new ones; called with the lock held."""
        await self._know_orders({fill.ex_order_id for fill in fills if fill.event_ns > time.time_ns() - ADOPT_NS})
        if await self._fills.store(fills):
            self._positions_due = True
        await self._fills.sum_up()
        if self._positions_due:  # Also those of a reading before, whose store or cache was away.
            await self._tell_positions()

    # ---- what is told --------------------------------------------------------------------------------------------------

    async def _tell_balances(self, balances: list[Balance]) -> None:
        """Keep and tell balances that are news."""
        self.balances = {balance.currency: balance for balance in balances}
        amounts = {balance.currency: (balance.total, balance.free, balance.used) for balance in balances}
        if amounts == self._told:
            return
        self._told = amounts  # Before the write: stream and REST may bring the same news at once.
        now_ns, ex_id, fence = time.time_ns(), self.account.ex_id, self._keeper.fence
        record = Balances(ex_id=ex_id, balances=balances, updated_ns=now_ns)
        try:
            await self._with.orm.events.append(account_topic(ex_id), "balances", record, fence=fence)
            await self._keep_trail(balances)
            await self._with.cache.accounts.set_balances(ex_id, balances, updated_ns=now_ns, fence=fence)
        except Unavailable as away:
            self._told = self._trail = None
            self._gauge.failed(away.message)

    async def _keep_trail(self, balances: Sequence[Balance]) -> None:
        """A line of the balance history for each currency whose total is not that of its last line."""
        history, ex_id = self._with.orm.balance_history, self.account.ex_id
        if self._trail is None:
            self._trail = await history.newest(ex_id)
        changed = [balance for balance in balances if self._trail.get(balance.currency, ZERO) != balance.total]
        if changed:
            self._trail |= {balance.currency: balance.total for balance in changed}
            await history.save(ex_id, changed, fence=self._keeper.fence)

    async def _tell_positions_if_news(self) -> None:
        """At the start: the cache may have lost what it knew, or never have known."""
        try:
            known = (await self._with.cache.accounts.get_positions([self.account.ex_id]))[0]
        except Unavailable as away:
            self._gauge.failed(away.message)
            self._positions_due = True
            return
        if known != self._fills.positions.open():
            await self._tell_positions()

    async def _tell_positions(self) -> None:
        """Tell them; where that fails they stay due, and the next reading tells them."""
        self._positions_due = True
        now_ns, ex_id, fence = time.time_ns(), self.account.ex_id, self._keeper.fence
        positions = self._fills.positions.open()
        record = Positions(ex_id=ex_id, positions=positions, updated_ns=now_ns)
        try:
            await self._with.orm.events.append(account_topic(ex_id), "positions", record, fence=fence)
            await self._with.cache.accounts.set_positions(ex_id, positions, updated_ns=now_ns, fence=fence)
        except Unavailable as away:
            self._gauge.failed(away.message)
        else:
            self._positions_due = False


def feed_name(account: ExchangeAccount, kind: str) -> str:
    return f"{account.exchange}:{account.ex_id}:{kind}"


def sent_id(order: Order) -> str:
    """The id under which we send an order: the same at each try, another for each order, within Kraken's 18 characters."""
    made_ms = int(order.created_at.timestamp() * 1000)
    return f"f{_base36(order.order_id)}-{_base36(made_ms)}"


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
