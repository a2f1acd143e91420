"""The transactional outbox: events committed together with the change they tell of, read back by topic after a cursor."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from fullon_master_api.apis.orm.database import Database, Write
from fullon_master_api.apis.orm.tables_services import event_floors, events
from fullon_master_api.errors import HistoryGap
from fullon_master_api.model import Event, Fence, Record

LIMIT_MAX: Final = 1000


class Events:
    """Implements `bus.HistoryReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, topic: str, kind: str, record: Record, *, fence: Fence | None = None) -> int:
        """Commit an event that goes with no other change here (an account's balances); answers its sequence.

        Raises: StaleEpoch.
        """
        async with self._database.write(fence=fence) as write:
            write.emit(topic, kind, record)
        return write.sequences[topic]

    async def read_after(self, topic: str, sequence: int, limit: int) -> list[Event]:
        """Events of the topic with a higher sequence, lowest first, at most `limit`.

        Raises: HistoryGap if events after `sequence` were already pruned.
        """
        floor = select(event_floors.c.sequence).where(event_floors.c.topic == topic).scalar_subquery()
        statement = (
            select(events, func.coalesce(floor, 0).label("floor"))
            .where(events.c.topic == topic, events.c.sequence > sequence)
            .order_by(events.c.sequence)
            .limit(min(limit, LIMIT_MAX))
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
            lowest = rows[0].floor if rows else await connection.scalar(select(floor)) or 0
        if lowest > sequence:
            raise HistoryGap(
                f"events of {topic!r} up to {lowest} are not kept any more, {sequence} was asked: read the state anew"
            )
        names = Event.__struct_fields__
        return [Event(**{name: row._mapping[name] for name in names}) for row in rows]

    async def last_sequence(self, topic: str) -> int:
        """The highest sequence of the topic; 0 where there is none."""
        newest = select(func.max(events.c.sequence)).where(events.c.topic == topic).scalar_subquery()
        floor = select(event_floors.c.sequence).where(event_floors.c.topic == topic).scalar_subquery()
        async with self._database.read() as connection:
            row = (await connection.execute(select(newest, floor))).one()
        return int(max(row[0] or 0, row[1] or 0))

    async def prune(self, before: datetime) -> int:
        """Forget the events made before an instant; answers how many. Readers that were still there get HistoryGap."""
        old = select(events.c.topic, func.max(events.c.sequence)).where(events.c.created_at < before).group_by(events.c.topic)
        async with self._database.write() as write:
            removed = 0
            for topic, sequence in (await write.connection.execute(old.order_by(events.c.topic))).all():
                await write.lock(f"topic {topic}")
                await _raise_floor(write, topic, sequence)
                gone = delete(events).where(events.c.topic == topic, events.c.sequence <= sequence)
                removed += (await write.connection.execute(gone)).rowcount
        return removed


async def _raise_floor(write: Write, topic: str, sequence: int) -> None:
    values = {"topic": topic, "sequence": sequence}
    changed = {"sequence": sequence}
    if write.dialect == "postgresql":
        statement = postgresql_insert(event_floors).values(**values)
        await write.connection.execute(statement.on_conflict_do_update(index_elements=["topic"], set_=changed))
    else:
        upsert = sqlite_insert(event_floors).values(**values)
        await write.connection.execute(upsert.on_conflict_do_update(index_elements=["topic"], set_=changed))
