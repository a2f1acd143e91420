"""What a reader of a lossy topic may read again: the newest messages of each topic that is read here, by cursor."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final, NamedTuple

from fullon_master_api.errors import BadCursor
from fullon_master_api.model import Record

RING_MAX: Final = 256
TICKER_RING_MAX: Final = 32
LEFT_MAX: Final = 200
"""Topics that nobody reads any more and whose ring is kept, in the shape that has no other history."""

CURSOR: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,19})-([0-9]{1,19})")

Position = tuple[int, int]
"""Where a message stands: its entry's milliseconds and number in Redis, 0 and a count in one process."""

Kept = tuple[Position, Record]
Callback = Callable[[str, Record], None]


class Cursor(NamedTuple):
    """Names the message after which to go on. The epoch tells one history from the next: a restart begins a new one."""

    epoch: str
    position: Position

    def __str__(self) -> str:
        return f"{self.epoch}-{self.position[0]}-{self.position[1]}"

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor of a text that `str()` gave. Raises: BadCursor"""
        found = CURSOR.fullmatch(text)
        if found is None:
            raise BadCursor("the cursor is not one of this server's: give back what a message's `cursor` said")
        return cls(found[1], (int(found[2]), int(found[3])))


class Page(NamedTuple):
    """Messages of a topic that come after a cursor, oldest first."""

    kept: Sequence[Kept]
    end: Cursor  # All up to here is in `kept`.
    more: bool = False
    gap: str | None = None  # why messages may be missing before these


@dataclass(slots=True)
class Place:
    """A topic that is read here: whom to call, and the newest messages that were told."""

    callbacks: tuple[Callback, ...]
    ring: deque[Kept]

    def read_after(self, cursor: Cursor) -> Page | None:
        """What came after a message; None where the ring does not reach from there to now."""
        ring = self.ring
        if not ring or not ring[0][0] <= cursor.position <= ring[-1][0]:
            return None
        after = dropwhile(lambda kept: kept[0] <= cursor.position, ring)
        return Page(list(after), Cursor(cursor.epoch, ring[-1][0]))


class Places:
    """The topics that are read here. One that is left keeps its ring only where `keeps_left`, and not for ever."""

    def __init__(self, *, keeps_left: bool) -> None:
        self._places: dict[str, Place] = {}
        self._left: dict[str, None] = {}
        self._left_max = LEFT_MAX if keeps_left else 0
        self.get = self._places.get

    def __len__(self) -> int:
        """How many topics are read now."""
        return len(self._places) - len(self._left)

    def __getitem__(self, topic: str) -> Place:
        return self._places[topic]

    def all(self) -> list[tuple[str, Place]]:
        return list(self._places.items())

    def enter(self, topic: str, callback: Callback) -> None:
        place = self._places.get(topic)
        if place is None:
            size_max = TICKER_RING_MAX if topic.startswith("ticker:") else RING_MAX
            place = self._places[topic] = Place((), deque(maxlen=size_max))
        self._left.pop(topic, None)
        place.callbacks = (*place.callbacks, callback)

    def leave(self, topic: str, callback: Callback) -> None:
        place = self._places[topic]
        here = list(place.callbacks)
        here.remove(callback)
        place.callbacks = tuple(here)
        if not here:
            self._left[topic] = None
            while len(self._left) > self._left_max:
                oldest = next(iter(self._left))
                del self._left[oldest], self._places[oldest]
