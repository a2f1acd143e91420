"""An outbox in a list: what the bus reads lossless topics from, with the SQL store's promises."""

from __future__ import annotations

from datetime import UTC, datetime

from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.model import Event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def event(topic: str, sequence: int) -> Event:
    return Event(sequence=sequence, topic=topic, kind="number", payload=str(sequence).encode(), created_at=EPOCH)


class ListOutbox:
    """Keeps every event; counts the reads; can be away."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0
        self.away = False

    def append(self, topic: str) -> int:
        sequence = len(self.events) + 1
        self.events.append(event(topic, sequence))
        return sequence

    async def read_after(self, topic: str, sequence: int, limit: int) -> list[Event]:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("the outbox is away")
        return [row for row in self.events[sequence:] if row.topic == topic][:limit]

    async def last_sequence(self, topic: str) -> int:
        if self.away:
            raise StoreUnavailable("the outbox is away")
        return max((row.sequence for row in self.events if row.topic == topic), default=0)
