"""Fills of live orders: stored once with their profit, and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, insert, or_, select, true

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.bots import must_read as must_read_bot
from fullon_master_api.apis.orm.database import Database, Write, may_write
from fullon_master_api.apis.orm.order_inputs import account_of
from fullon_master_api.apis.orm.owned import Owned, Paging, equal, owned_by, within
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.profit import ONE, ZERO, Fill, Ledger, quote_fee
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import bots, exchanges
from fullon_master_api.apis.orm.tables_trading import orders, trades
from fullon_master_api.bus import trades_topic
from fullon_master_api.errors import BadUserInput, Conflict, Immutable, NotFound
from fullon_master_api.model import Fence, Principal, Record, Side, Trade

_LISTING: Final = Listing(
    "trades",
    Trade,
    trades,
    trades.c.trade_id,
    sorts={"trade_id": trades.c.trade_id, "time": trades.c.time, "symbol": trades.c.symbol},
    default="-trade_id",
)
_FIELDS: Final = (
    "ex_trade_id",
    "ex_order_id",
    "uid",
    "ex_id",
    "bot_id",
    "order_id",
    "symbol",
    "order_type",
    "side",
    "volume",
    "price",
    "cost",
    "fee",
    "fee_currency",
    "leverage",
    "time",
)
_MAY_LACK: Final = {"uid", "ex_id", "cost", "fee"}


class TradeFilter(Record, frozen=True, kw_only=True):
    bot_id: int | None = None
    ex_id: int | None = None
    order_id: int | None = None
    symbol: str | None = None
    side: Side | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(trades.c.uid, principal)


class Trades(Owned[Trade, TradeFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, trades.c.uid, _conditions)

    async def of_bots(self, bot_ids: Sequence[int], principal: Principal | None, **paging: Unpack[Paging]) -> list[Page[Trade]]:
        """A page of each bot's fills, newest first."""
        return await self._pages_of(trades.c.bot_id, bot_ids, principal, **paging)

    async def of_orders(
        self, order_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[Trade]]:
        """Fills of each order, newest first."""
        return await self._lists_of(trades.c.order_id, order_ids, principal, wanted)

    async def save_trades(
        self,
        values: Sequence[Mapping[str, object]],
        *,
        principal: Principal | None = None,
        fence: Fence | None = None,
    ) -> list[Trade]:
        """Store fills with their profit, matched first in, first out within each account and symbol, in the order of their
        time; those that come late are matched when they come. A fill that is there already is left as it is, so a repeat
        does no harm. Answers those that are new.

        `order_id` and `bot_id` are found by `ex_order_id` where they are not given, the account by the bot or the owner as for
        an order. Each new fill makes an event.
        Raises: BadUserInput with the path `(index, field)`, NotFound, Forbidden, StaleEpoch.
        """
        may_write(principal)
        rows = [_checked(index, given) for index, given in enumerate(values)]
        rows.sort(key=lambda row: row["time"])
        saved: list[Trade] = []
        async with self._database.write(fence=fence) as write:
            await _complete(write, principal, rows)
            for ex_id, symbol in sorted({(row["ex_id"], row["symbol"]) for row in rows}):
                await write.lock(f"fills {ex_id} {symbol}")
                saved += await _save_series(write, [row for row in rows if (row["ex_id"], row["symbol"]) == (ex_id, symbol)])
            for trade in saved:
                write.emit(trades_topic(trade.uid), "trade", trade)
                await write.audit_admin(principal, "trade.save", f"trade:{trade.trade_id}", uid=trade.uid)
        return saved

    async def save_trade(self, values: Mapping[str, object], *, principal: Principal | None = None) -> Trade:
        """Store one fill; one that is there already is answered as it is. Raises as `save_trades`."""
        saved = await self.save_trades([values], principal=principal)
        if saved:
            return saved[0]
        same = [trades.c[name] == values[name] for name in ("ex_id", "ex_trade_id", "ex_order_id") if name in values]
        async with self._database.read() as connection:
            known = await _LISTING.one(connection, *same, visible(principal))
        if known is None:
            raise Conflict("another fill has these ids", path=("ex_trade_id",))
        return known

    async def refuse_change(self, trade_id: int, principal: Principal | None) -> None:
        """Answer whoever wants to change or remove a fill. Raises: NotFound where there is none for them, else Immutable."""
        if (await self.get_many([trade_id], principal))[0] is None:
            raise NotFound(f"no trade {trade_id}", path=("trade_id",))
        raise Immutable(f"trade {trade_id} was executed at an exchange: it can neither be changed nor removed")


def _checked(index: int, values: Mapping[str, object]) -> dict[str, Any]:
    try:
        given = {name: value for name, value in values.items() if value is not None}
        required = [name for name in _FIELDS if name not in _MAY_LACK]
        missing = next((name for name in required if name not in given and not _has_default(name)), None)
        if missing is not None:
            raise BadUserInput(f"{missing} is missing", path=(missing,))
        row = inputs.checked(trades, given, _FIELDS)
        for name in ("volume", "price", "cost", "leverage"):
            if name in row and row[name] <= 0:
                raise BadUserInput(f"{name} was {row[name]:f}, must be above 0", path=(name,))
    except BadUserInput as error:
        raise BadUserInput(error.message, path=(index, *error.path)) from error
    row.setdefault("cost", row["price"] * row["volume"])
    row.setdefault("fee", ZERO)
    return row


def _has_default(name: str) -> bool:
    return bool(trades.c[name].nullable) or trades.c[name].default is not None


async def _complete(write: Write, principal: Principal | None, rows: list[dict[str, Any]]) -> None:
    """Owner and exchange from the account, order and bot from the exchange's own order id. The account is the caller's own,
    and the bot is of the account's owner.
    """
    for row in rows:
        if "ex_id" not in row:
            bot = None if "bot_id" not in row else await must_read_bot(write, row["bot_id"], principal)
            row["ex_id"] = (await account_of(write, principal, row, bot)).ex_id
    ex_ids = {row["ex_id"] for row in rows}
    mine = true() if principal is None or principal.is_admin else exchanges.c.uid == principal.uid
    accounts = select(exchanges.c.ex_id, exchanges.c.uid, exchanges.c.cat_ex_id).where(exchanges.c.ex_id.in_(ex_ids), mine)
    found = {row.ex_id: row for row in await write.connection.execute(accounts)}
    placed = await _placed(write, ex_ids, rows)
    owners = await _owners(write, {row["bot_id"] for row in rows if "bot_id" in row})
    for row in rows:
        account = found.get(row["ex_id"])
        if account is None:
            raise NotFound(f"no exchange account {row['ex_id']}", path=("ex_id",))
        row |= {"uid": account.uid, "cat_ex_id": account.cat_ex_id}
        if "bot_id" in row and owners.get(row["bot_id"]) != account.uid:
            raise NotFound(f"no bot {row['bot_id']}", path=("bot_id",))
        order = placed.get(row["order_id"] if "order_id" in row else (row["ex_id"], row["ex_order_id"]))
        if "order_id" in row and (order is None or order.ex_id != row["ex_id"]):
            raise NotFound(f"no order {row['order_id']} on account {row['ex_id']}", path=("order_id",))
        if order is not None:
            row["order_id"] = order.order_id
            row.setdefault("bot_id", order.bot_id)


async def _placed(write: Write, ex_ids: set[int], rows: Sequence[Mapping[str, Any]]) -> dict[Any, Any]:
    """The orders that the fills may be of, both by `order_id` and by (account, the exchange's own id)."""
    columns = (orders.c.ex_id, orders.c.ex_order_id, orders.c.order_id, orders.c.bot_id)
    named = orders.c.order_id.in_({row["order_id"] for row in rows if "order_id" in row})
    sent = orders.c.ex_order_id.in_({row["ex_order_id"] for row in rows})
    statement = select(*columns).where(orders.c.ex_id.in_(ex_ids), or_(named, sent))
    found: dict[Any, Any] = {}
    for row in await write.connection.execute(statement):
        found[row.order_id] = found[(row.ex_id, row.ex_order_id)] = row
    return found


async def _owners(write: Write, bot_ids: set[int]) -> dict[int, int]:
    rows = await write.connection.execute(select(bots.c.bot_id, bots.c.uid).where(bots.c.bot_id.in_(bot_ids)))
    return {row.bot_id: row.uid for row in rows}


async def _save_series(write: Write, rows: Sequence[dict[str, Any]]) -> list[Trade]:
    """Store the new ones among fills of one account and symbol."""
    saved: list[Trade] = []
    ledger = await _ledger(write, rows[0]["ex_id"], rows[0]["symbol"])
    for row in rows:
        if not await _is_known(write, row):
            saved += [await _insert(write, row, ledger)]
    return saved


async def _ledger(write: Write, ex_id: int, symbol: str) -> Ledger:
    """The open lots of a symbol on an account: its fills are replayed from the last one that left nothing open."""
    series = (trades.c.ex_id == ex_id, trades.c.symbol == symbol)
    flat = select(trades.c.trade_id).where(*series, trades.c.cur_volume == ZERO).order_by(trades.c.trade_id.desc()).limit(1)
    since = await write.connection.scalar(flat) or 0
    columns = [trades.c[name] for name in ("side", "volume", "price", "cost", "fee", "fee_currency", "leverage")]
    statement = select(*columns).where(*series, trades.c.trade_id > since).order_by(trades.c.trade_id)
    return Ledger.replayed([_fill(row._mapping, symbol) for row in await write.connection.execute(statement)])


def _fill(row: Any, symbol: str) -> Fill:
    fee = quote_fee(symbol, fee=row["fee"], fee_currency=row.get("fee_currency"), price=row["price"])
    return Fill(side=row["side"], volume=row["volume"], cost=row["cost"], fee=fee, leverage=row.get("leverage", ONE))


async def _is_known(write: Write, row: Mapping[str, Any]) -> bool:
    same = [trades.c[name] == row[name] for name in ("ex_id", "ex_trade_id", "ex_order_id")]
    return await write.connection.scalar(select(trades.c.trade_id).where(*same)) is not None


async def _insert(write: Write, row: dict[str, Any], ledger: Ledger) -> Trade:
    """The fill's row with what it won. The lock of its series keeps others from adding the same one in between."""
    outcome = ledger.add(_fill(row, row["symbol"]))
    computed = {name: getattr(outcome, name) for name in outcome.__struct_fields__ if name != "closing"}
    statement = insert(trades).values(**row, **computed).returning(trades.c.trade_id)
    trade = await _LISTING.one(write.connection, trades.c.trade_id == await write.connection.scalar(statement))
    assert trade is not None, "it was inserted in this transaction"
    return trade


def _conditions(filters: TradeFilter) -> list[ColumnElement[bool]]:
    names = ("bot_id", "ex_id", "order_id", "symbol", "side")
    return [*equal(trades, filters, names), *within(trades.c.time, filters, "from_time", "to_time")]
