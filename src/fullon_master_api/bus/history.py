"""Lossless topics: events read from the outbox after a cursor, through one ring per topic that all its followers share."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from time import monotonic
from typing import Final, Protocol, TypeVar

from fullon_master_api.errors import HistoryGap, Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Event, Record

log = get_logger(__name__)

RING_MAX: Final = 1024
PAGE_MAX: Final = 500
POLL_S: Final = 1.0
POLLS_PER_S_MAX: Final = 200
PATIENCE_S: Final = 30.0

T = TypeVar("T")

_sequence_of = attrgetter("sequence")


class HistoryReader(Protocol):
    """The outbox: rows of a topic become visible in the order of their sequence."""

    async def read_after(self, topic: str, sequence: int, limit: int) -> list[Event]:
        """Events of `topic` with a higher sequence, lowest first, at most `limit`.

        Raises: HistoryGap if events after `sequence` were already pruned.
        """
        ...

    async def last_sequence(self, topic: str) -> int:
        """The highest sequence of the topic; 0 where there is none."""
        ...


@dataclass(slots=True)
class Tail:
    """The end of one topic: all its events with a sequence above `floor` and up to `head` are in `events`."""

    floor: int = 0
    head: int = -1  # not yet read
    events: list[Event] = field(default_factory=list)
    followers: int = 0
    stale: bool = True  # a hint came since the last read
    read_at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def after(self, cursor: int) -> list[Event]:
        start = bisect_right(self.events, cursor, key=_sequence_of)
        return self.events[start : start + PAGE_MAX]

    def append(self, page: list[Event]) -> None:
        self.events.extend(page)
        self.head = page[-1].sequence
        if len(self.events) > 2 * RING_MAX:
            del self.events[:-RING_MAX]
            self.floor = self.events[0].sequence - 1
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class History:
    """Follows topics of the outbox. A hint only wakes; a slow poll finds what no hint announced.

    All followers of a topic share its tail: one read of the store per hint, whatever their number. A follower that is
    further behind than the ring reads pages of its own, so a slow one costs no memory.
    """

    def __init__(self, reader: HistoryReader, *, poll_s: float = POLL_S, patience_s: float = PATIENCE_S) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._tails: dict[str, Tail] = {}

    def __len__(self) -> int:
        """How many topics are followed."""
        return len(self._tails)

    def is_followed(self, topic: str) -> bool:
        return topic in self._tails

    def wake_all(self) -> None:
        """Hints may be lost: let every topic be read."""
        for tail in self._tails.values():
            tail.stale = True
            tail.wake()

    def hint(self, topic: str, message: Record) -> None:
        """Something happened on `topic`: wake those who follow it."""
        tail = self._tails.get(topic)
        if tail is None or getattr(message, "sequence", tail.head + 1) <= tail.head:
            return
        tail.stale = True
        tail.wake()

    async def follow(self, topic: str, after: int | None) -> AsyncGenerator[Event]:
        """Every event of `topic` after the cursor, in order, each once; `after=None` starts now. Never ends by itself.

        Raises: HistoryGap if the cursor is older than what is kept, or newer than all of it (the store was set back);
        Unavailable if the store stays away for 30 s.
        """
        tail = self._tails.setdefault(topic, Tail())
        tail.followers += 1
        try:
            cursor = after if after is not None else await self._patiently(lambda: self._start(topic, tail))
            if tail.head < cursor:
                last = await self._patiently(lambda: self._start(topic, tail))
                if last < cursor:
                    raise HistoryGap(f"{topic!r} ends at {last}, {cursor} was asked: the store was set back, read the state anew")
            while True:
                changed = tail.changed
                if cursor < tail.floor:
                    page, cursor = await self._patiently(partial(self._page, topic, tail, cursor))
                else:
                    page = tail.after(cursor)
                for event in page:
                    cursor = event.sequence
                    yield event
                if not page and cursor >= tail.floor:
                    if not tail.stale:
                        await self._wait(changed)
                    await self._patiently(lambda: self._refresh(topic, tail))
        finally:
            tail.followers -= 1
            if not tail.followers:
                self._tails.pop(topic, None)

    async def _page(self, topic: str, tail: Tail, cursor: int) -> tuple[list[Event], int]:
        """Events older than the ring, straight from the store, and the cursor to go on from when there were none."""
        floor = tail.floor  # Taken first: all up to it is committed, so a short page proves that nothing else is below.
        page = await self._reader.read_after(topic, cursor, PAGE_MAX)
        return page, cursor if page else max(cursor, floor)

    async def _start(self, topic: str, tail: Tail) -> int:
        """Where the topic ends now; the first follower's answer also founds the tail."""
        async with tail.reading:
            last = await self._reader.last_sequence(topic)
            if tail.head < 0:
                tail.floor = tail.head = last
        return last

    async def _refresh(self, topic: str, tail: Tail) -> None:
        """Read what is new, once for all followers that wait: who comes second finds it done."""
        async with tail.reading:
            if not tail.stale and monotonic() - tail.read_at < self._poll_s / 2:
                return
            tail.stale = False  # Before the read: a hint that comes during it asks for another one.
            try:
                page = await self._reader.read_after(topic, tail.head, PAGE_MAX)
            except BaseException:  # A cancellation too: what was not read must be asked again; it goes on up.
                tail.stale = True
                raise
            tail.stale = tail.stale or len(page) == PAGE_MAX
            tail.read_at = monotonic()
            if page:
                tail.append(page)

    async def _wait(self, changed: asyncio.Event) -> None:
        """Until a hint, or until the poll is due; with many topics the polls spread, so that idle ones stay cheap."""
        try:
            async with asyncio.timeout(max(self._poll_s, len(self._tails) / POLLS_PER_S_MAX)):
                await changed.wait()
        except TimeoutError:
            return

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, and try again while the store is away, up to `patience_s`."""
        give_up_at = monotonic() + self._patience_s
        while True:
            try:
                return await read()
            except Unavailable as error:
                if monotonic() >= give_up_at:
                    raise
                log.warning("history.unavailable", error=error.message)
                await asyncio.sleep(self._poll_s)
