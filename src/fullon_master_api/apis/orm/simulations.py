"""Results of simulations, one of each name for a bot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.bots import must_read as must_read_bot
from fullon_master_api.apis.orm.database import Database, may_write
from fullon_master_api.apis.orm.owned import owned_by
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import bots, simulations
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Principal, Simulation

BYTES_MAX: Final = 1_000_000
_LISTING: Final = Listing(
    "simulations",
    Simulation,
    simulations,
    simulations.c.num,
    source=simulations.join(bots, bots.c.bot_id == simulations.c.bot_id),
    sorts={"num": simulations.c.num, "name": simulations.c.name},
    default="-num",
)


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(bots.c.uid, principal)


class Simulations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(
        self, nums: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[Simulation | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, nums, visible(principal), wanted=wanted)

    async def of_bots(
        self,
        bot_ids: Sequence[int],
        principal: Principal | None,
        *,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        wanted: Wanted = None,
    ) -> list[Page[Simulation]]:
        async with self._database.read() as connection:
            parent = simulations.c.bot_id
            return await _LISTING.pages_of(
                connection, parent, bot_ids, visible(principal), first=first, after=after, wanted=wanted
            )

    async def save(self, bot_id: int, principal: Principal | None, name: str, json: Mapping[str, Any]) -> Simulation:
        """Keep a result in place of the one of that name. Raises: Forbidden, NotFound, BadUserInput."""
        may_write(principal)
        row = inputs.checked(simulations, {"name": name, "json": dict(json)}, ("name", "json"), new=True)
        if len(msgspec.json.encode(row["json"])) > BYTES_MAX:
            raise BadUserInput(f"json was longer than {BYTES_MAX} bytes", path=("json",))
        async with self._database.write() as write:
            await must_read_bot(write, bot_id, principal)
            await write.lock(f"simulations {bot_id}")
            same = (simulations.c.bot_id == bot_id, simulations.c.name == row["name"])
            num = await write.connection.scalar(select(simulations.c.num).where(*same))
            if num is None:
                statement = insert(simulations).values(bot_id=bot_id, **row).returning(simulations.c.num)
                num = await write.connection.scalar(statement)
            else:
                await write.connection.execute(update(simulations).where(simulations.c.num == num).values(**row))
            await write.audit_admin(principal, "simulation.save", f"simulation:{num}", bot_id=bot_id)
            saved = await _LISTING.one(write.connection, simulations.c.num == num)
            assert saved is not None, "it was saved in this transaction"
            return saved

    async def remove(self, num: int, principal: Principal | None) -> Simulation:
        """Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            found = await _LISTING.one(write.connection, simulations.c.num == num, visible(principal))
            if found is None:
                raise NotFound(f"no simulation {num}", path=("num",))
            await write.connection.execute(delete(simulations).where(simulations.c.num == num))
            await write.audit_admin(principal, "simulation.remove", f"simulation:{num}", bot_id=found.bot_id)
            return found
