"""Strategies attached to bots, with their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.bots import must_read as must_read_bot
from fullon_master_api.apis.orm.database import Database, Write, chunks, may_write
from fullon_master_api.apis.orm.owned import Owned, equal, owned_by
from fullon_master_api.apis.orm.paging import Listing
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import bots, strategies, strategies_params
from fullon_master_api.apis.orm.templates import TEMPLATES
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Principal, Record, Strategy

_LISTING: Final = Listing(
    "strategies",
    Strategy,
    strategies,
    strategies.c.str_id,
    source=strategies.join(bots, bots.c.bot_id == strategies.c.bot_id),
    sorts={"str_id": strategies.c.str_id},
    default="str_id",
)
_OWN: Final = ("leverage", "size_pct", "size", "size_currency")
_INHERITED: Final = ("take_profit", "stop_loss", "trailing_stop", "timeout", "pre_load_bars", "feeds", "pairs")
_CHANGEABLE: Final = ("name", "active", *_OWN, *_INHERITED)


class StrategyFilter(Record, frozen=True, kw_only=True):
    bot_id: int | None = None
    cat_str_id: int | None = None
    active: bool | None = None


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(bots.c.uid, principal)


class Strategies(Owned[Strategy, StrategyFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, bots.c.uid, _conditions)

    async def of_bots(
        self, bot_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[Strategy]]:
        """Strategies of each bot."""
        return await self._lists_of(strategies.c.bot_id, bot_ids, principal, wanted)

    async def of_users(self, uids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None) -> list[list[Strategy]]:
        """Strategies of all bots of each user."""
        return await self._lists_of(bots.c.uid, uids, principal, wanted)

    async def params_of(self, str_ids: Sequence[int], principal: Principal | None) -> list[dict[str, str]]:
        """Parameters of each strategy, aligned; empty where there is none for this caller."""
        source = strategies_params.join(strategies, strategies.c.str_id == strategies_params.c.str_id)
        statement = select(strategies_params).select_from(source.join(bots, bots.c.bot_id == strategies.c.bot_id))
        found: dict[int, dict[str, str]] = {}
        async with self._database.read() as connection:
            for part in chunks(list(dict.fromkeys(str_ids))):
                where = (strategies_params.c.str_id.in_(part), visible(principal))
                for row in await connection.execute(statement.where(*where).order_by(strategies_params.c.name)):
                    found.setdefault(row.str_id, {})[row.name] = row.value
        return [found.get(str_id, {}) for str_id in str_ids]

    async def add(
        self, principal: Principal | None, values: Mapping[str, object], *, params: Mapping[str, str] | None = None
    ) -> Strategy:
        """Attach a strategy of the catalogue to a bot; what is not given is the catalogue's.

        Raises: Forbidden, NotFound, BadUserInput.
        """
        may_write(principal)
        row = inputs.checked(strategies, values, ("bot_id", "cat_str_id", *_CHANGEABLE), new=True)
        async with self._database.write() as write:
            await must_read_bot(write, row["bot_id"], principal)
            (template,) = await TEMPLATES.many(write.connection, [row["cat_str_id"]])
            if template is None:
                raise BadUserInput(f"no strategy {row['cat_str_id']} in the catalogue", path=("cat_str_id",))
            inherited = {name: getattr(template, name) for name in ("name", *_INHERITED)}
            statement = insert(strategies).values(**(inherited | row)).returning(strategies.c.str_id)
            str_id = await write.connection.scalar(statement)
            assert str_id is not None, "an insert answers its key"
            await write_params(write, strategies_params, {"str_id": str_id}, params or {})
            await write.audit_admin(principal, "strategy.add", f"strategy:{str_id}", bot_id=row["bot_id"])
            return await must_read(write, str_id, principal)

    async def modify(
        self,
        str_id: int,
        principal: Principal | None,
        values: Mapping[str, object],
        *,
        params: Mapping[str, str] | None = None,
    ) -> Strategy:
        """Change values, and the named parameters where `params` is given. Raises: NotFound, Forbidden, BadUserInput."""
        may_write(principal)
        row = inputs.checked(strategies, values, _CHANGEABLE)
        if row.get("leverage") is not None and row["leverage"] <= 0:
            raise BadUserInput(f"leverage was {row['leverage']:f}, must be above 0", path=("leverage",))
        async with self._database.write() as write:
            await must_read(write, str_id, principal)
            if row:
                await write.connection.execute(update(strategies).where(strategies.c.str_id == str_id).values(**row))
            await write_params(write, strategies_params, {"str_id": str_id}, params or {})
            await write.audit_admin(principal, "strategy.modify", f"strategy:{str_id}", fields=sorted(row))
            return await must_read(write, str_id, principal)

    async def remove(self, str_id: int, principal: Principal | None) -> Strategy:
        """Remove a strategy with its feeds and parameters. Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            strategy = await must_read(write, str_id, principal)
            await write.connection.execute(delete(strategies).where(strategies.c.str_id == str_id))
            await write.audit_admin(principal, "strategy.remove", f"strategy:{str_id}", bot_id=strategy.bot_id)
            return strategy


async def must_read(write: Write, str_id: int, principal: Principal | None) -> Strategy:
    """Raises: NotFound when there is no such strategy for this caller."""
    strategy = await _LISTING.one(write.connection, strategies.c.str_id == str_id, visible(principal))
    if strategy is None:
        raise NotFound(f"no strategy {str_id}", path=("str_id",))
    return strategy


async def write_params(write: Write, table: Table, owner: Mapping[str, Any], params: Mapping[str, str]) -> None:
    """Set the named parameters of a strategy or a template; the others stay. Raises: BadUserInput."""
    for name, value in params.items():
        row = inputs.checked(table, {"name": name, "value": value}, ("name", "value"), new=True)
        where = [table.c[key] == owner[key] for key in owner]
        await write.connection.execute(delete(table).where(*where, table.c.name == name))
        await write.connection.execute(insert(table).values(**owner, **row))


def _conditions(filters: StrategyFilter) -> list[ColumnElement[bool]]:
    return equal(strategies, filters, filters.__struct_fields__)
