"""Bots and the accounts they trade on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Unpack

from sqlalchemy import ColumnElement, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database, Write, may_write, sees_all
from fullon_master_api.apis.orm.owned import Owned, Paging, equal, owned_by
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.tables import bot_exchanges, bots, exchanges, users
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Bot, Principal, Record

_LISTING: Final = Listing(
    "bots",
    Bot,
    bots,
    bots.c.bot_id,
    sorts={"bot_id": bots.c.bot_id, "name": bots.c.name, "created_at": bots.c.created_at},
    default="bot_id",
)
_FIELDS: Final = ("name", "dry_run", "active", "test")


class BotFilter(Record, frozen=True, kw_only=True):
    uid: int | None = None
    active: bool | None = None
    dry_run: bool | None = None
    name: str | None = None
    search: str | None = None  # part of the name, in any case


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(bots.c.uid, principal)


class Bots(Owned[Bot, BotFilter]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, _LISTING, bots.c.uid, _conditions)

    async def of_users(self, uids: Sequence[int], principal: Principal | None, **paging: Unpack[Paging]) -> list[Page[Bot]]:
        """A page of each user's bots."""
        return await self._pages_of(bots.c.uid, uids, principal, **paging)

    async def add(self, principal: Principal | None, values: Mapping[str, object]) -> Bot:
        """A bot of the caller; an admin may name another `uid`. Raises: Forbidden, BadUserInput, NotFound."""
        may_write(principal)
        owner = {} if principal is None else {"uid": principal.uid}
        row = inputs.checked(bots, owner | dict(values), ("uid", *_FIELDS), new=True)
        if not sees_all(principal) and row["uid"] != owner["uid"]:
            raise NotFound(f"no user {row['uid']}", path=("uid",))
        async with self._database.write() as write:
            if await write.connection.scalar(select(users.c.uid).where(users.c.uid == row["uid"])) is None:
                raise BadUserInput(f"no user {row['uid']}", path=("uid",))
            bot_id = await write.connection.scalar(insert(bots).values(**row).returning(bots.c.bot_id))
            assert bot_id is not None, "an insert answers its key"
            await write.audit_admin(principal, "bot.add", f"bot:{bot_id}", uid=row["uid"])
            return await must_read(write, bot_id, principal)

    async def modify(self, bot_id: int, principal: Principal | None, values: Mapping[str, object]) -> Bot:
        """Raises: NotFound, Forbidden, BadUserInput."""
        may_write(principal)
        row = inputs.checked(bots, values, _FIELDS)
        async with self._database.write() as write:
            await must_read(write, bot_id, principal)
            if row:
                await write.connection.execute(update(bots).where(bots.c.bot_id == bot_id).values(**row))
                await write.audit_admin(principal, "bot.modify", f"bot:{bot_id}", fields=sorted(row))
            return await must_read(write, bot_id, principal)

    async def remove(self, bot_id: int, principal: Principal | None) -> Bot:
        """Remove a bot with all that is its own, dry trades too. Its orders and live trades stay, without a bot."""
        may_write(principal)
        async with self._database.write() as write:
            bot = await must_read(write, bot_id, principal)
            await write.connection.execute(delete(bots).where(bots.c.bot_id == bot_id))
            await write.audit(principal, "bot.remove", f"bot:{bot_id}", name=bot.name, uid=bot.uid)
            return bot

    async def set_accounts(self, bot_id: int, principal: Principal | None, ex_ids: Sequence[int]) -> None:
        """The accounts that the bot trades on, all of its owner. Raises: NotFound, Forbidden, BadUserInput."""
        may_write(principal)
        wanted = list(dict.fromkeys(ex_ids))
        async with self._database.write() as write:
            bot = await must_read(write, bot_id, principal)
            owned = select(exchanges.c.ex_id).where(exchanges.c.ex_id.in_(wanted), exchanges.c.uid == bot.uid)
            missing = set(wanted) - set(await write.connection.scalars(owned))
            if missing:
                raise BadUserInput(f"no exchange account {min(missing)} of the bot's owner", path=("ex_ids",))
            await write.connection.execute(delete(bot_exchanges).where(bot_exchanges.c.bot_id == bot_id))
            await write.audit_admin(principal, "bot.accounts", f"bot:{bot_id}", ex_ids=wanted)
            if wanted:
                rows = [{"bot_id": bot_id, "ex_id": ex_id} for ex_id in wanted]
                await write.connection.execute(insert(bot_exchanges), rows)


async def must_read(write: Write, bot_id: int, principal: Principal | None) -> Bot:
    """Raises: NotFound when there is no such bot for this caller."""
    bot = await _LISTING.one(write.connection, bots.c.bot_id == bot_id, visible(principal))
    if bot is None:
        raise NotFound(f"no bot {bot_id}", path=("bot_id",))
    return bot


def _conditions(filters: BotFilter) -> list[ColumnElement[bool]]:
    where = equal(bots, filters, ("uid", "active", "dry_run", "name"))
    if filters.search:
        where.append(bots.c.name.icontains(inputs.text("search", filters.search, 50), autoescape=True))
    return where
