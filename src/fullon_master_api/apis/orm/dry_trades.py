"""Fills of dry-run orders: stored with their profit; their owner may correct and remove them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.bots import must_read as must_read_bot
from fullon_master_api.apis.orm.database import Database, Write, may_write
from fullon_master_api.apis.orm.order_inputs import account_of
from fullon_master_api.apis.orm.orders import must_read as must_read_order
from fullon_master_api.apis.orm.owned import Owned, Paging, equal, owned_by, within
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.profit import ZERO, Fill, Ledger, Outcome
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables_trading import dry_trades
from fullon_master_api.bus import trades_topic
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import DryTrade, Fence, Principal, Record, Side

_LISTING: Final = Listing(
    "dry_trades",
    DryTrade,
    dry_trades,
    dry_trades.c.trade_id,
    sorts={"trade_id": dry_trades.c.trade_id, "created_at": dry_trades.c.created_at, "symbol": dry_trades.c.symbol},
    default="-trade_id",
)
_CHANGEABLE: Final = ("side", "volume", "price", "cost", "fee", "reason")
_FIELDS: Final = ("uid", "bot_id", "ex_id", "cat_ex_id", "order_id", "symbol", "created_at", *_CHANGEABLE)


class DryTradeFilter(Record, frozen=True, kw_only=True):
    bot_id: int | None = None
    ex_id: int | None = None
    order_id: int | None = None
    symbol: str | None = None
    side: Side | None = None
    closingtrade: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(dry_trades.c.uid, principal)


class DryTrades(Owned[DryTrade, DryTradeFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, dry_trades.c.uid, _conditions)

    async def of_bots(
        self, bot_ids: Sequence[int], principal: Principal | None, **paging: Unpack[Paging]
    ) -> list[Page[DryTrade]]:
        """A page of each bot's fills, newest first."""
        return await self._pages_of(dry_trades.c.bot_id, bot_ids, principal, **paging)

    async def of_orders(
        self, order_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[DryTrade]]:
        """Fills of each order, newest first."""
        return await self._lists_of(dry_trades.c.order_id, order_ids, principal, wanted)

    async def save(
        self, values: Mapping[str, object], *, principal: Principal | None = None, fence: Fence | None = None
    ) -> DryTrade:
        """Store a fill with its profit, matched first in, first out within its bot (or, without one, its owner), account and
        symbol; one that closes something is a closing trade. Makes an event.

        Raises: BadUserInput with the field's path, NotFound, Forbidden, StaleEpoch.
        """
        may_write(principal)
        row = _checked(values)
        async with self._database.write(fence=fence) as write:
            bot = None if row.get("bot_id") is None else await must_read_bot(write, row["bot_id"], principal)
            account = await account_of(write, principal, row, bot)
            if principal is not None and row.get("order_id") is not None:
                await _must_be_of(write, row["order_id"], account, principal)
            row |= {"uid": account.uid, "ex_id": account.ex_id, "cat_ex_id": account.cat_ex_id}
            series = _series(row)
            await write.lock(f"dry fills {row['ex_id']} {row['symbol']} {row.get('bot_id')}")
            outcome = (await _ledger(write, series)).add(_fill(row))
            statement = insert(dry_trades).values(**row, **_computed(outcome)).returning(dry_trades.c.trade_id)
            trade = await _must_read(write, await write.connection.scalar(statement), None)
            write.emit(trades_topic(trade.uid), "dry_trade", trade)
            await write.audit_admin(principal, "dry_trade.save", f"dry_trade:{trade.trade_id}", uid=trade.uid)
            return trade

    async def modify(self, trade_id: int, principal: Principal | None, values: Mapping[str, object]) -> DryTrade:
        """Correct a fill; the profits of its series are computed anew. Raises: NotFound, Forbidden, BadUserInput."""
        may_write(principal)
        row = inputs.checked(dry_trades, values, _CHANGEABLE)
        _check_positive(row)
        if ("volume" in row or "price" in row) and "cost" not in row:
            row["cost"] = None  # From the new price and volume, below.
        async with self._database.write() as write:
            trade = await _must_read(write, trade_id, principal)
            if "cost" in row and row["cost"] is None:
                row["cost"] = row.get("price", trade.price) * row.get("volume", trade.volume)
            if row:
                await write.connection.execute(update(dry_trades).where(dry_trades.c.trade_id == trade_id).values(**row))
                await _recompute(write, trade)
                await write.audit_admin(principal, "dry_trade.modify", f"dry_trade:{trade_id}", fields=sorted(row))
            return await _must_read(write, trade_id, principal)

    async def remove(self, trade_id: int, principal: Principal | None) -> DryTrade:
        """Remove a fill; the profits of its series are computed anew. Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            trade = await _must_read(write, trade_id, principal)
            await write.connection.execute(delete(dry_trades).where(dry_trades.c.trade_id == trade_id))
            await _recompute(write, trade)
            await write.audit_admin(principal, "dry_trade.remove", f"dry_trade:{trade_id}", uid=trade.uid)
            return trade


def _checked(values: Mapping[str, object]) -> dict[str, Any]:
    for name in ("symbol", "side", "volume", "price"):
        if values.get(name) is None:
            raise BadUserInput(f"{name} is missing", path=(name,))
    row = inputs.checked(dry_trades, {name: value for name, value in values.items() if value is not None}, _FIELDS)
    _check_positive(row)
    row.setdefault("cost", row["price"] * row["volume"])
    row.setdefault("fee", ZERO)
    return row


def _check_positive(row: Mapping[str, Any]) -> None:
    for name in ("volume", "price", "cost"):
        if row.get(name) is not None and row[name] <= 0:
            raise BadUserInput(f"{name} was {row[name]:f}, must be above 0", path=(name,))


def _series(row: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """The fills that are matched with one another."""
    bot_id = row.get("bot_id")
    whose = [dry_trades.c.bot_id.is_(None), dry_trades.c.uid == row["uid"]] if bot_id is None else [dry_trades.c.bot_id == bot_id]
    return [*whose, dry_trades.c.ex_id == row["ex_id"], dry_trades.c.symbol == row["symbol"]]


def _fill(row: Mapping[str, Any]) -> Fill:
    return Fill(side=row["side"], volume=row["volume"], cost=row["cost"], fee=row["fee"])


def _computed(outcome: Outcome) -> dict[str, Any]:
    return {
        "cur_volume": outcome.cur_volume,
        "roi": outcome.roi,
        "roi_pct": outcome.roi_pct,
        "closingtrade": outcome.closing,
    }


async def _ledger(write: Write, series: Sequence[ColumnElement[bool]]) -> Ledger:
    """Open lots of a series, replayed from the last fill that left nothing open."""
    flat = select(dry_trades.c.trade_id).where(*series, dry_trades.c.cur_volume == ZERO)
    since = await write.connection.scalar(flat.order_by(dry_trades.c.trade_id.desc()).limit(1)) or 0
    statement = select(dry_trades).where(*series, dry_trades.c.trade_id > since).order_by(dry_trades.c.trade_id)
    return Ledger.replayed([_fill(dict(row._mapping)) for row in await write.connection.execute(statement)])


async def _recompute(write: Write, trade: DryTrade) -> None:
    """Profits of a whole series, from its first fill, after one of them was corrected or removed."""
    series = {"bot_id": trade.bot_id, "uid": trade.uid, "ex_id": trade.ex_id, "symbol": trade.symbol}
    await write.lock(f"dry fills {trade.ex_id} {trade.symbol} {trade.bot_id}")
    statement = select(dry_trades).where(*_series(series)).order_by(dry_trades.c.trade_id)
    ledger = Ledger()
    for row in (await write.connection.execute(statement)).all():
        computed = _computed(ledger.add(_fill(dict(row._mapping))))
        if any(row._mapping[name] != value for name, value in computed.items()):
            change = update(dry_trades).where(dry_trades.c.trade_id == row.trade_id)
            await write.connection.execute(change.values(**computed))


async def _must_read(write: Write, trade_id: int | None, principal: Principal | None) -> DryTrade:
    trade = await _LISTING.one(write.connection, dry_trades.c.trade_id == trade_id, visible(principal))
    if trade is None:
        raise NotFound(f"no dry trade {trade_id}", path=("trade_id",))
    return trade


def _conditions(filters: DryTradeFilter) -> list[ColumnElement[bool]]:
    names = ("bot_id", "ex_id", "order_id", "symbol", "side", "closingtrade")
    return [*equal(dry_trades, filters, names), *within(dry_trades.c.created_at, filters, "created_from", "created_to")]


async def _must_be_of(write: Write, order_id: int, account: Any, principal: Principal) -> None:
    """Raises NotFound for an order that is not of this account, as for one that there is not."""
    order = await must_read_order(write, order_id, principal)
    if order.ex_id != account.ex_id:
        raise NotFound(f"no order {order_id}", path=("order_id",))
