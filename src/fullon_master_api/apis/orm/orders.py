"""Orders: placed once whatever the number of tries, changed by the service that executes them, read by their owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database, Write, may_write
from fullon_master_api.apis.orm.order_inputs import complete
from fullon_master_api.apis.orm.owned import Owned, Paging, equal, owned_by, within
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.spellings import parse
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.apis.orm.tables_services import CommandKind, CommandState, commands
from fullon_master_api.apis.orm.tables_trading import orders
from fullon_master_api.bus import orders_topic, service_topic
from fullon_master_api.errors import Conflict, NotFound
from fullon_master_api.model import OPEN_STATUSES, Fence, Order, OrderStatus, Principal, Record, ServiceName, Side

_LISTING: Final = Listing(
    "orders",
    Order,
    orders,
    orders.c.order_id,
    sorts={"order_id": orders.c.order_id, "created_at": orders.c.created_at, "symbol": orders.c.symbol},
    default="-order_id",
)
_SAME: Final = ("ex_id", "symbol", "side", "order_type", "volume", "price", "dry_run")
"""What two tries of one order must agree in."""


class OrderFilter(Record, frozen=True, kw_only=True):
    uid: int | None = None
    bot_id: int | None = None
    ex_id: int | None = None
    exchange: str | None = None
    symbol: str | None = None
    side: Side | None = None
    statuses: Sequence[OrderStatus] | None = None
    dry_run: bool | None = None
    client_order_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


class OrderChange(Record, frozen=True, kw_only=True):
    """What became known of an order; None where nothing did."""

    status: OrderStatus | None = None
    final_volume: Decimal | None = None
    average_price: Decimal | None = None
    ex_order_id: str | None = None
    tick: Decimal | None = None
    reason: str | None = None


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(orders.c.uid, principal)


class Orders(Owned[Order, OrderFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, orders.c.uid, _conditions)

    async def by_exchange_ids(self, ex_id: int, ex_order_ids: Sequence[str], principal: Principal | None) -> list[Order | None]:
        """Order of each id that the exchange gave, on one account."""
        where = [orders.c.ex_id == ex_id, visible(principal)]
        async with self._database.read() as connection:
            return await _LISTING.many(connection, ex_order_ids, *where, by=orders.c.ex_order_id)

    async def of_bots(
        self,
        bot_ids: Sequence[int],
        principal: Principal | None,
        *,
        filters: OrderFilter | None = None,
        **paging: Unpack[Paging],
    ) -> list[Page[Order]]:
        """A page of each bot's orders, newest first, of those that the caller may see."""
        return await self._pages_of(orders.c.bot_id, bot_ids, principal, filters=filters, **paging)

    async def of_accounts(
        self, ex_ids: Sequence[int], principal: Principal | None, **paging: Unpack[Paging]
    ) -> list[Page[Order]]:
        """The same of each account."""
        return await self._pages_of(orders.c.ex_id, ex_ids, principal, **paging)

    async def open_of(self, ex_id: int, *, dry_run: bool) -> list[Order]:
        """Every open order of an account, oldest first, for the account service."""
        where = [orders.c.ex_id == ex_id, orders.c.dry_run == dry_run, orders.c.status.in_(OPEN_STATUSES)]
        async with self._database.read() as connection:
            return (await _LISTING.all(connection, *where))[::-1]

    async def count_open(self, bot_ids: Sequence[int], principal: Principal | None) -> list[int]:
        """How many open orders each bot has."""
        found = await self.of_bots(bot_ids, principal, filters=OrderFilter(statuses=OPEN_STATUSES), first=500)
        return [len(page.rows) for page in found]

    async def place(self, principal: Principal | None, values: Mapping[str, object], *, send: bool = True) -> Order:
        """Store an order, and with `send` the command that has the account service execute it.

        The caller's account is found from the bot or the exchange where `ex_id` is not given. With a `client_order_id` a
        second try answers the first one's order, so it is safe to repeat.
        Raises: Forbidden, BadUserInput with the field's path, NotFound; Conflict when the id was used for another order.
        """
        may_write(principal)
        async with self._database.write() as write:
            row = await complete(write, principal, values)
            order_id = await _insert(write, row)
            if order_id is None:
                return await _earlier(write, row)
            order = await must_read(write, order_id, None)
            await write.audit_admin(principal, "order.place", f"order:{order_id}", uid=order.uid)
            if send and order.status in (OrderStatus.NEW, OrderStatus.PENDING):
                await _command(write, order, CommandKind.PLACE_ORDER)
            _emit(write, order)
            return order

    async def cancel(self, order_id: int, principal: Principal | None) -> Order:
        """Cancel an order at once if nobody took it yet, else ask the account service to; asking twice asks once.

        Raises: Forbidden, NotFound; Conflict when it is over already.
        """
        may_write(principal)
        async with self._database.write() as write:
            order = await must_read(write, order_id, principal, lock=True)
            if order.status not in OPEN_STATUSES:
                if order.status is OrderStatus.CANCELED:
                    return order
                raise Conflict(f"order {order_id} is {order.status.value} already: only an open order can be canceled")
            await write.audit_admin(principal, "order.cancel", f"order:{order_id}", uid=order.uid)
            mine = (commands.c.order_id == order_id, commands.c.kind == CommandKind.PLACE_ORDER)
            untaken = update(commands).where(*mine, commands.c.state == CommandState.PENDING)
            done = untaken.values(state=CommandState.FAILED, error="canceled before it was sent", finished_at=utc_now())
            if (await write.connection.execute(done)).rowcount:
                return await _apply(write, order, OrderChange(status=OrderStatus.CANCELED, reason="canceled before it was sent"))
            asked = select(commands.c.command_id).where(
                commands.c.order_id == order_id,
                commands.c.kind == CommandKind.CANCEL_ORDER,
                commands.c.state.in_((CommandState.PENDING, CommandState.TAKEN)),
            )
            if await write.connection.scalar(asked) is None:
                await _command(write, order, CommandKind.CANCEL_ORDER)
            return order

    async def change(self, order_id: int, change: OrderChange, *, fence: Fence | None = None) -> Order:
        """Keep what a service learned of an order. An order that is over never opens again, and `final_volume` never falls,
        because a stream may tell old news after the fills. What changes nothing makes no event.

        Raises: NotFound, StaleEpoch.
        """
        async with self._database.write(fence=fence) as write:
            return await _apply(write, await must_read(write, order_id, None, lock=True), change)

    async def set_status(self, order_id: int, principal: Principal | None, status: str, **known: object) -> Order:
        """What the REST clients do: set any status, in any spelling, which is then answered as it came.

        `known` may hold `ex_order_id` and `final_volume`. Raises: Forbidden, NotFound, BadUserInput.
        """
        may_write(principal)
        wanted = parse(OrderStatus, inputs.text("status", status, 20), path=("status",))
        row = inputs.checked(orders, known, ("ex_order_id", "final_volume"))
        async with self._database.write() as write:
            order = await must_read(write, order_id, principal, lock=True)
            row |= {"status": wanted, "status_text": status, "updated_at": utc_now()}
            await write.connection.execute(update(orders).where(orders.c.order_id == order_id).values(**row))
            await write.audit_admin(principal, "order.status", f"order:{order_id}", status=status)
            order = await must_read(write, order_id, None)
            _emit(write, order)
            return order


def _emit(write: Write, order: Order) -> None:
    write.emit(orders_topic(order.uid), "order", order)


async def must_read(write: Write, order_id: int, principal: Principal | None, *, lock: bool = False) -> Order:
    """Raises: NotFound when there is no such order for this caller."""
    statement = _LISTING.select(orders.c.order_id == order_id, visible(principal))
    row = (await write.connection.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise NotFound(f"no order {order_id}", path=("order_id",))
    return Order(**row._mapping)


async def _insert(write: Write, row: Mapping[str, Any]) -> int | None:
    """Key of the new order; None when the user has one of that `client_order_id`."""
    keys = ["uid", "client_order_id"]
    order_id: int | None
    if write.dialect == "postgresql":
        statement = postgresql_insert(orders).values(**row).on_conflict_do_nothing(index_elements=keys)
        order_id = await write.connection.scalar(statement.returning(orders.c.order_id))
    else:
        upsert = sqlite_insert(orders).values(**row).on_conflict_do_nothing(index_elements=keys)
        order_id = await write.connection.scalar(upsert.returning(orders.c.order_id))
    return order_id


async def _earlier(write: Write, row: Mapping[str, Any]) -> Order:
    mine = (orders.c.uid == row["uid"], orders.c.client_order_id == row["client_order_id"])
    order = await _LISTING.one(write.connection, *mine)
    assert order is not None, "its key was in the way of another"
    for name in _SAME:
        if getattr(order, name) != row.get(name):
            raise Conflict(f"clientOrderId was used for another order: its {name} differs", path=("client_order_id",))
    return order


async def _command(write: Write, order: Order, kind: CommandKind) -> None:
    service = ServiceName.ACCOUNT.value
    values = {"service": service, "kind": kind, "ex_id": order.ex_id, "order_id": order.order_id}
    await write.connection.execute(insert(commands).values(**values))
    write.emit(service_topic(service), "command", order)


async def _apply(write: Write, order: Order, change: OrderChange) -> Order:
    given = {name: getattr(change, name) for name in change.__struct_fields__}
    row = {name: value for name, value in given.items() if value is not None and value != getattr(order, name)}
    if "status" in row and (order.status not in OPEN_STATUSES or _is_older(row["status"], order.status)):
        del row["status"]
    if "final_volume" in row and order.final_volume is not None and row["final_volume"] < order.final_volume:
        row.pop("final_volume")
        row.pop("average_price", None)
    if not row:
        return order
    if "status" in row:
        row["status_text"] = row["status"].value
    if "reason" in row:
        row["reason"] = row["reason"][:200]
    row["updated_at"] = utc_now()
    await write.connection.execute(update(orders).where(orders.c.order_id == order.order_id).values(**row))
    changed = await must_read(write, order.order_id, None)
    _emit(write, changed)
    return changed


def _is_older(status: OrderStatus, now: OrderStatus) -> bool:
    """Whether an open status comes before the one that is known."""
    return status in OPEN_STATUSES and OPEN_STATUSES.index(status) < OPEN_STATUSES.index(now)


def _conditions(filters: OrderFilter) -> list[ColumnElement[bool]]:
    names = ("uid", "bot_id", "ex_id", "exchange", "symbol", "side", "dry_run", "client_order_id")
    statuses = [] if filters.statuses is None else [orders.c.status.in_(filters.statuses)]
    return [*equal(orders, filters, names), *statuses, *within(orders.c.created_at, filters, "created_from", "created_to")]
