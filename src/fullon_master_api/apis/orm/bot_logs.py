"""What bots did, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Unpack

from sqlalchemy import ColumnElement, insert, select

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.bots import must_read as must_read_bot
from fullon_master_api.apis.orm.database import Database, may_write
from fullon_master_api.apis.orm.owned import Paging, equal, owned_by, within
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.tables import bot_log, bots, exchanges
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import BotLog, Principal, Record

LEVELS: Final = ("ERROR", "WARNING", "INFO")
_LISTING: Final = Listing(
    "bot_logs",
    BotLog,
    bot_log,
    bot_log.c.bot_log_id,
    source=bot_log.join(bots, bots.c.bot_id == bot_log.c.bot_id),
    sorts={"bot_log_id": bot_log.c.bot_log_id, "created_at": bot_log.c.created_at},
    default="-bot_log_id",
)
_FIELDS: Final = ("feed_num", "ex_id", "symbol", "position", "message", "level", "created_at")


class BotLogFilter(Record, frozen=True, kw_only=True):
    level: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(bots.c.uid, principal)


class BotLogs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_bots(
        self,
        bot_ids: Sequence[int],
        principal: Principal | None,
        *,
        filters: BotLogFilter | None = None,
        **paging: Unpack[Paging],
    ) -> list[Page[BotLog]]:
        """A page of each bot's lines, newest first."""
        where = [visible(principal), *_conditions(filters or BotLogFilter())]
        async with self._database.read() as connection:
            return await _LISTING.pages_of(connection, bot_log.c.bot_id, bot_ids, *where, **paging)

    async def save(self, bot_id: int, principal: Principal | None, lines: Sequence[Mapping[str, object]]) -> int:
        """Append lines; answers how many. Raises: Forbidden, NotFound, BadUserInput."""
        may_write(principal)
        rows = [inputs.checked(bot_log, line, _FIELDS, new=True) | {"bot_id": bot_id} for line in lines]
        for index, row in enumerate(rows):
            if row.setdefault("level", "INFO") not in LEVELS:
                raise BadUserInput(f"level was {row['level']!r}, must be one of {', '.join(LEVELS)}", path=(index, "level"))
        if not rows:
            return 0
        async with self._database.write() as write:
            bot = await must_read_bot(write, bot_id, principal)
            wanted = {row["ex_id"] for row in rows}
            mine = select(exchanges.c.ex_id).where(exchanges.c.ex_id.in_(wanted), exchanges.c.uid == bot.uid)
            missing = wanted - set(await write.connection.scalars(mine))
            if missing:
                raise BadUserInput(f"no exchange account {min(missing)} of the bot's owner", path=("ex_id",))
            for row in rows:  # One by one: lines may have their own times, and a batch must have one set of columns.
                await write.connection.execute(insert(bot_log).values(**row))
        return len(rows)


def _conditions(filters: BotLogFilter) -> list[ColumnElement[bool]]:
    recent = within(bot_log.c.created_at, filters, "created_from", "created_to")
    return [*equal(bot_log, filters, ("level",)), *recent]
