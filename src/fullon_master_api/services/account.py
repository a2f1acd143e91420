"""The account service: every active exchange account of every user, and the orders that are placed and canceled on them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from fullon_master_api.apis.orm.commands import Command
from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.tables_services import CommandKind
from fullon_master_api.bus import service_topic
from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, Unavailable
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.logs import get_logger
from fullon_master_api.model import OPEN_STATUSES, ExchangeAccount, Fence, Order, OrderStatus, ServiceName
from fullon_master_api.services.account_orders import OrderDesk
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.dry_run import DryRun
from fullon_master_api.services.heartbeats import Heartbeats
from fullon_master_api.services.library import load_exchange_library
from fullon_master_api.services.live_account import LiveAccount, feed_name
from fullon_master_api.services.markets import MarketRules
from fullon_master_api.services.order_keeper import OrderKeeper
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.roster import Roster
from fullon_master_api.services.streaming import StreamPolicy, pause

log = get_logger(__name__)

LOOK_S: Final = 5.0
COMMANDS_S: Final = 1.0
CONNECT_WAIT_S: Final = 20.0
"""A command waits so long for its account to be connected, then it is refused."""
LINE_MAX: Final = 100
"""An account with so many commands in its line gets no more: they wait in SQL, and those of other accounts pass them."""
CANCELS_MAX: Final = 6
ATTEMPTS_MAX: Final = 3
"""A command that was begun so often, and never finished, must not bring the service into a crash loop."""
RECYCLE_S: Final = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """An account with what opens it; another key is another access, and begins anew."""

    account: ExchangeAccount
    credentials: tuple[str, str] | None

    def __str__(self) -> str:
        return f"account:{self.account.ex_id}"

    __repr__ = __str__


class AccountService:
    """A live account is one task with its streams; an account without credentials takes dry-run orders only.

    Commands are rows in SQL, woken by the bus: those of one account are carried out one after another, accounts beside
    each other.
    """

    def __init__(self, resources: Resources, fence: Fence, board: FeedBoard) -> None:
        self._with, self._fence, self._board = resources, fence, board
        settings = resources.settings
        self._policy = StreamPolicy(
            first_s=settings.account_reconnect_delay / 5,
            max_s=settings.account_reconnect_delay * 12,
            failures_max=settings.account_max_retries,
        )
        keeper, rules = OrderKeeper(resources, fence), MarketRules(resources)
        self._keeper = keeper
        self._dry_run, self._desk = DryRun(resources, keeper, rules), OrderDesk(resources, keeper, rules)
        self._heartbeats = Heartbeats(resources.cache.processes, board, process_type="account", component="account_daemon")
        self._accesses: dict[int, Access] = {}
        self._live: dict[int, LiveAccount] = {}
        self._lines: dict[int, deque[Command]] = {}  # those that are worked on
        self._wake = asyncio.Event()

    async def run(self) -> None:
        await load_exchange_library()
        async with aclosing(self._heartbeats), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dry_run.run(), name="account:dry_run")
            accounts = Roster(tasks, self._keep_connected)
            await self._look_up()
            await accounts.want(access for access in self._accesses.values() if access.credentials is not None)
            for ex_id in sorted(self._accesses):
                await self._dry_run.resume(await self._with.orm.orders.open_of(ex_id, dry_run=True))
            tasks.create_task(self._take_commands(tasks), name="account:commands")
            self._board.ready()
            while True:
                await self._heartbeats.beat()
                await asyncio.sleep(LOOK_S)
                try:
                    await self._look_up()
                    await accounts.want(access for access in self._accesses.values() if access.credentials is not None)
                except Unavailable as away:
                    log.warning("account.store_away", error=away.message)

    async def _look_up(self) -> None:
        """Which accounts are active, and with which credentials: the environment's before the stored ones."""
        found: dict[int, Access] = {}
        for account in await self._with.orm.accounts.active():
            credentials = self._with.settings.exchange_credentials(account.ex_id)
            if credentials is None:
                stored = await self._with.orm.accounts.credentials(account.ex_id)
                credentials = (stored.key, stored.secret) if stored is not None else None
            found[account.ex_id] = Access(account, credentials)
        self._accesses = found

    # ---- live accounts -------------------------------------------------------------------------------------------------

    async def _keep_connected(self, access: Access) -> None:
        """Stay connected to one account; denied credentials end it until they are others."""
        account, backoff = access.account, Backoff(first_s=self._policy.first_s, max_s=self._policy.max_s)
        gauge = self._board.feed(feed_name(account, "account"))
        try:
            while True:
                try:
                    async with aclosing(self._with.open_exchange(account.exchange, access.credentials)) as adapter:
                        await adapter.load_markets()
                        backoff.reset()
                        await self._serve(account, adapter)
                except (Unavailable, ExchangeRefused) as error:
                    gauge.failed(error.message)
                    log.warning("account.away", ex_id=account.ex_id, error=error.message)
                except ExchangeDenied as denied:
                    gauge.failed(denied.message)
                    log.error("account.denied", ex_id=account.ex_id, error=denied.message)
                    return
                await asyncio.sleep(backoff.next_s())
        finally:
            if account.ex_id not in self._accesses:
                for kind in ("account", "orders", "fills", "balances"):
                    self._board.drop(feed_name(account, kind))

    async def _serve(self, account: ExchangeAccount, adapter: ExchangeAdapter) -> None:
        """Run the account over one connection; commands find it as long as it lives."""
        poll_s = self._with.settings.account_poll_interval
        live = LiveAccount(self._with, self._keeper, account, adapter, self._board, policy=self._policy, poll_s=poll_s)
        self._live[account.ex_id] = live
        try:
            async with asyncio.timeout(RECYCLE_S):
                await live.run()
            log.info("account.recycle", ex_id=account.ex_id, reason="its streams failed too often")
        except TimeoutError:
            log.info("account.recycle", ex_id=account.ex_id, reason="it was old")
        finally:
            del self._live[account.ex_id]

    # ---- commands ------------------------------------------------------------------------------------------------------

    async def _take_commands(self, tasks: asyncio.TaskGroup) -> None:
        """Take what waits, at first also what a crash left behind, and give each to the line of its account."""
        topic, commands, begun = service_topic(ServiceName.ACCOUNT), self._with.orm.commands, False
        with self._with.bus.listen(topic, lambda _topic, _message: self._wake.set()):
            while True:
                try:
                    if not begun:
                        await commands.give_back(self._fence)
                        begun = True
                    full = [ex_id for ex_id, line in self._lines.items() if len(line) >= LINE_MAX]
                    taken = await commands.take(self._fence, limit=LINE_MAX, but=full)
                except Unavailable as away:
                    log.warning("account.commands_away", error=away.message)
                    taken = []
                for command in taken:
                    if command.ex_id not in self._lines:
                        self._lines[command.ex_id] = deque()
                        tasks.create_task(self._work(command.ex_id), name=f"commands:{command.ex_id}")
                    self._lines[command.ex_id].append(command)
                if not taken:
                    await pause(self._wake, COMMANDS_S)

    async def _work(self, ex_id: int) -> None:
        """Carry out the commands of one account, one after another, until none waits; a store that is away makes them wait."""
        line = self._lines[ex_id]
        while line:
            command, backoff, again = line.popleft(), Backoff(first_s=0.5, max_s=10.0), False
            while True:
                try:
                    error = await self._carry_out(command, again=again or command.attempts > 1)
                    await self._with.orm.commands.finish(command.command_id, self._fence, error=error)
                    break
                except Unavailable as away:
                    again = True
                    log.warning("command.waits", command_id=command.command_id, error=away.message)
                    if isinstance(away, ExchangeUnavailable) and backoff.failures >= CANCELS_MAX:
                        await self._with.orm.commands.finish(command.command_id, self._fence, error=away.message)
                        break
                    await asyncio.sleep(backoff.next_s())
        del self._lines[ex_id]

    async def _carry_out(self, command: Command, *, again: bool) -> str | None:
        """Why it could not be done; None when it was. Raises: StoreUnavailable, ExchangeUnavailable (a cancel), StaleEpoch."""
        order = (await self._with.orm.orders.get_many([command.order_id], None))[0]
        if order is None or order.status not in OPEN_STATUSES:
            return None
        if command.attempts > ATTEMPTS_MAX:
            reason = f"it ended the service {ATTEMPTS_MAX} times and is not tried again; see the log"
            if order.ex_order_id is None:
                await self._keeper.change(order, OrderChange(status=OrderStatus.ERROR, reason=reason))
            return reason
        places = command.kind is CommandKind.PLACE_ORDER
        if order.dry_run:
            await (self._dry_run.place(order) if places else self._dry_run.cancel(order))
            return None
        live = await self._account_of(order)
        if live is None:
            reason = "the exchange account is not connected: it is switched off, or has no working credentials"
            if places and order.status is not OrderStatus.NEW and again:
                raise Unavailable(reason)  # It may have been sent: only the exchange knows.
            if places:
                await self._keeper.refuse(order, reason)
            return reason
        if places:
            await self._desk.place(order, live, again=again)
        else:
            await self._desk.cancel(order, live)
        return None

    async def _account_of(self, order: Order) -> LiveAccount | None:
        """The order's live account, once it has read its balances; None if that takes too long."""
        end = time.monotonic() + CONNECT_WAIT_S
        while time.monotonic() < end:
            access, live = self._accesses.get(order.ex_id), self._live.get(order.ex_id)
            if access is None or access.credentials is None:
                return None
            if live is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, end - time.monotonic())):
                        await live.synced.wait()
                        return live
            await asyncio.sleep(0.1)
        return None
