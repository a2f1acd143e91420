"""Orders to the account service: rows that its owner takes, carries out and finishes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import and_, or_, select, update
from sqlalchemy.sql.functions import count
from sqlalchemy.sql.functions import min as min_

from fullon_master_api.apis.orm.database import Database
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.apis.orm.tables_services import CommandKind, CommandState, commands
from fullon_master_api.model import Fence, Record

ERROR_MAX: Final = 2_000


class Command(Record, frozen=True, kw_only=True):
    """What is to be done with an order. `attempts` above 1: an owner before may have done it already, so look first."""

    command_id: int
    service: str
    kind: CommandKind
    ex_id: int
    order_id: int
    state: CommandState
    epoch: int
    attempts: int
    error: str | None = None
    created_at: datetime
    finished_at: datetime | None = None


_COLUMNS: Final = [commands.c[name] for name in Command.__struct_fields__]


class Commands:
    """`orders.place` and `orders.cancel` write them, in the transaction of the order itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, fence: Fence, *, limit: int = 100, but: Collection[int] = ()) -> list[Command]:
        """Commands for the service of the fence, oldest first, `but` not those of these accounts: the pending ones, and those
        that an earlier owner took and did not finish. They are this owner's until it finishes them or its lease moves on.

        Raises: StaleEpoch.
        """
        left_behind = and_(commands.c.state == CommandState.TAKEN, commands.c.epoch < fence.epoch)
        waiting = (
            select(commands.c.command_id)
            .where(commands.c.service == fence.service, or_(commands.c.state == CommandState.PENDING, left_behind))
            .where(commands.c.ex_id.not_in(but))
            .order_by(commands.c.command_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self._database.write(fence=fence) as write:
            ids = list(await write.connection.scalars(waiting))
            if not ids:
                return []
            statement = update(commands).where(commands.c.command_id.in_(ids))
            taken = statement.values(state=CommandState.TAKEN, epoch=fence.epoch, attempts=commands.c.attempts + 1)
            rows = (await write.connection.execute(taken.returning(*_COLUMNS))).all()
        return sorted((Command(**row._mapping) for row in rows), key=lambda command: command.command_id)

    async def give_back(self, fence: Fence) -> None:
        """Let what this owner took and did not finish be taken again, as if an earlier owner had left it behind: it crashed,
        and begins anew under the same lease.

        Raises: StaleEpoch.
        """
        mine = (commands.c.service == fence.service, commands.c.state == CommandState.TAKEN, commands.c.epoch == fence.epoch)
        async with self._database.write(fence=fence) as write:
            await write.connection.execute(update(commands).where(*mine).values(epoch=fence.epoch - 1))

    async def finish(self, command_id: int, fence: Fence, *, error: str | None = None) -> None:
        """Say that a taken command is done, or why it failed. Raises: StaleEpoch."""
        state = CommandState.DONE if error is None else CommandState.FAILED
        values = {"state": state, "error": error and error[:ERROR_MAX], "finished_at": utc_now()}
        async with self._database.write(fence=fence) as write:
            await write.connection.execute(update(commands).where(commands.c.command_id == command_id).values(**values))

    async def waiting(self) -> tuple[int, datetime | None]:
        """How many commands are not finished, and since when the oldest of them waits; for the platform."""
        unfinished = commands.c.state.in_([CommandState.PENDING, CommandState.TAKEN])
        async with self._database.read() as connection:
            row = (await connection.execute(select(count(), min_(commands.c.created_at)).where(unfinished))).one()
        return row[0], row[1]

    async def of_orders(self, order_ids: Sequence[int]) -> list[list[Command]]:
        """Commands of each order, oldest first; for the platform."""
        statement = select(*_COLUMNS).where(commands.c.order_id.in_(order_ids)).order_by(commands.c.command_id)
        async with self._database.read() as connection:
            found = [Command(**row._mapping) for row in await connection.execute(statement)]
        return [[command for command in found if command.order_id == order_id] for order_id in order_ids]
