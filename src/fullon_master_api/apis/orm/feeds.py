"""Feeds: what each strategy reads, numbered within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database, Write, may_write
from fullon_master_api.apis.orm.owned import owned_by
from fullon_master_api.apis.orm.paging import Listing
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.strategies import must_read as must_read_strategy
from fullon_master_api.apis.orm.tables import bots, exchanges, feeds, strategies, symbols
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Feed, Principal

_SOURCE: Final = feeds.join(strategies, strategies.c.str_id == feeds.c.str_id).join(bots, bots.c.bot_id == strategies.c.bot_id)
_LISTING: Final = Listing("feeds", Feed, feeds, feeds.c.feed_id, source=_SOURCE, sorts={"order": feeds.c.order}, default="order")
_CHANGEABLE: Final = ("symbol_id", "period", "compression", "order", "ex_id")


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(bots.c.uid, principal)


class Feeds:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(self, feed_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None) -> list[Feed | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, feed_ids, visible(principal), wanted=wanted)

    async def of_strategies(
        self, str_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[Feed]]:
        """Feeds of each strategy, by their number."""
        async with self._database.read() as connection:
            return await _LISTING.lists_of(connection, feeds.c.str_id, str_ids, visible(principal), wanted=wanted)

    async def of_bots(self, bot_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None) -> list[list[Feed]]:
        """Feeds of all strategies of each bot."""
        async with self._database.read() as connection:
            return await _LISTING.lists_of(connection, strategies.c.bot_id, bot_ids, visible(principal), wanted=wanted)

    async def add(self, principal: Principal | None, values: Mapping[str, object]) -> Feed:
        """Give a strategy one more feed; without `order` it gets the next number.

        Raises: Forbidden, NotFound, BadUserInput, Conflict when the number is taken.
        """
        may_write(principal)
        given = {"compression": 1, "order": 0} | {name: value for name, value in values.items() if value is not None}
        row = inputs.checked(feeds, given, ("str_id", *_CHANGEABLE), new=True)
        _check(row)
        async with self._database.write() as write:
            strategy = await must_read_strategy(write, row["str_id"], principal)
            await _complete(write, row, strategy.bot_id)
            if not row["order"]:
                newest = select(func.max(feeds.c.order)).where(feeds.c.str_id == row["str_id"])
                row["order"] = (await write.connection.scalar(newest) or 0) + 1
            feed_id = await write.connection.scalar(insert(feeds).values(**row).returning(feeds.c.feed_id))
            await write.audit_admin(principal, "feed.add", f"feed:{feed_id}", str_id=row["str_id"])
            return await _must_read(write, feed_id, principal)

    async def modify(self, feed_id: int, principal: Principal | None, values: Mapping[str, object]) -> Feed:
        """Raises: NotFound, Forbidden, BadUserInput, Conflict."""
        may_write(principal)
        row = inputs.checked(feeds, values, _CHANGEABLE)
        _check(row)
        async with self._database.write() as write:
            feed = await _must_read(write, feed_id, principal)
            strategy = await must_read_strategy(write, feed.str_id, principal)
            await _complete(write, row, strategy.bot_id)
            if row:
                await write.connection.execute(update(feeds).where(feeds.c.feed_id == feed_id).values(**row))
                await write.audit_admin(principal, "feed.modify", f"feed:{feed_id}", fields=sorted(row))
            return await _must_read(write, feed_id, principal)

    async def remove(self, feed_id: int, principal: Principal | None) -> Feed:
        """Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            feed = await _must_read(write, feed_id, principal)
            await write.connection.execute(delete(feeds).where(feeds.c.feed_id == feed_id))
            await write.audit_admin(principal, "feed.remove", f"feed:{feed_id}", str_id=feed.str_id)
            return feed


def _check(row: Mapping[str, Any]) -> None:
    if row.get("compression") == 0:
        raise BadUserInput("compression was 0, must be at least 1", path=("compression",))
    if "period" in row and not row["period"].strip():
        raise BadUserInput("period must not be empty", path=("period",))


async def _complete(write: Write, row: dict[str, Any], bot_id: int) -> None:
    """The symbol must be known, the account the bot owner's."""
    if "symbol_id" in row:
        cat_ex_id = await write.connection.scalar(select(symbols.c.cat_ex_id).where(symbols.c.symbol_id == row["symbol_id"]))
        if cat_ex_id is None:
            raise BadUserInput(f"no symbol {row['symbol_id']}", path=("symbol_id",))
        row["cat_ex_id"] = cat_ex_id
    if row.get("ex_id") is not None:
        owner = select(bots.c.uid).where(bots.c.bot_id == bot_id).scalar_subquery()
        mine = select(exchanges.c.ex_id).where(exchanges.c.ex_id == row["ex_id"], exchanges.c.uid == owner)
        if await write.connection.scalar(mine) is None:
            raise BadUserInput(f"no exchange account {row['ex_id']} of the bot's owner", path=("ex_id",))


async def _must_read(write: Write, feed_id: int | None, principal: Principal | None) -> Feed:
    feed = await _LISTING.one(write.connection, feeds.c.feed_id == feed_id, visible(principal))
    if feed is None:
        raise NotFound(f"no feed {feed_id}", path=("feed_id",))
    return feed
