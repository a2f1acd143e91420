"""What one reader of the bus has not read yet: bounded, either the newest of each topic or a queue that may overflow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from enum import Enum

from fullon_master_api.bus.rings import Cursor, Page, Position
from fullon_master_api.errors import SlowConsumer
from fullon_master_api.model import Gap, Record

Letter = tuple[str, Record]
"""A topic and its message."""

ReadPage = Callable[[str, Cursor], Awaitable[Page]]


class Delivery(Enum):
    """What a reader gets that is slower than its topics."""

    LATEST = "latest"  # the newest message of each topic; older ones are dropped
    QUEUE = "queue"  # every message in order, until the queue is full: then SlowConsumer


class Replay:
    """What a reader missed on one topic since its cursor, a page at a time; live messages wait meanwhile."""

    def __init__(self, topic: str, after: Cursor, read_page: ReadPage) -> None:
        self.topic, self.end, self.more = topic, after, True
        self._read_page = read_page

    async def next_page(self) -> Page:
        """Raises: CacheUnavailable"""
        page = await self._read_page(self.topic, self.end)
        self.end, self.more = page.end, page.more
        return page

    def has(self, topic: str, position: Position | None) -> bool:
        """Whether a live message was read here already, because another process was ahead of this one."""
        return topic == self.topic and position is not None and position <= self.end.position


class Mailbox:
    """One reader's box: filled by the bus without waiting, emptied by `async for topic, message in mailbox`."""

    def __init__(self, epoch: Callable[[], str]) -> None:
        self._epoch = epoch
        self._positions: dict[str, Position] = {}
        self._replay: Replay | None = None
        self._arrived = asyncio.Event()
        self._closed = False

    def cursor(self, topic: str) -> Cursor | None:
        """What was read last of a topic: `subscribe(topic, after=cursor)` goes on behind it. None before the first message."""
        position = self._positions.get(topic)
        return None if position is None else Cursor(self._epoch(), position)

    def begin_with(self, replay: Replay) -> None:
        """Let the reader have this first, and then what was put in since."""
        self._replay = replay

    def close(self) -> None:
        """Let the reader take what is there and then end."""
        self._closed = True
        self._arrived.set()

    def _is_known(self, topic: str, position: Position | None) -> bool:
        return self._replay is not None and self._replay.has(topic, position)

    async def _missed(self) -> AsyncGenerator[Letter]:
        replay = self._replay
        while replay is not None and replay.more:
            page = await replay.next_page()
            if page.gap is not None:
                yield replay.topic, Gap(topic=replay.topic, reason=page.gap)
            for position, message in page.kept:
                self._positions[replay.topic] = position
                yield replay.topic, message


class LatestMailbox(Mailbox):
    """The newest message of each topic. A gap is never overwritten: it comes out before the news that followed it."""

    def __init__(self, epoch: Callable[[], str]) -> None:
        super().__init__(epoch)
        self._latest: dict[str, tuple[Record, Position | None]] = {}
        self._gaps: dict[str, Gap] = {}
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._latest) + len(self._gaps)

    def put_nowait(self, topic: str, message: Record, position: Position | None) -> None:
        if type(message) is Gap:
            self._gaps[topic] = message
        else:
            self.conflated += topic in self._latest
            self._latest[topic] = (message, position)
        self._arrived.set()

    async def __aiter__(self) -> AsyncGenerator[Letter]:
        await self._catch_up()
        while True:
            await self._arrived.wait()
            while self._gaps or self._latest:
                if self._gaps:
                    yield self._gaps.popitem()
                    continue
                topic = next(iter(self._latest))
                message, position = self._latest.pop(topic)
                if self._is_known(topic, position):
                    continue
                if position is not None:
                    self._positions[topic] = position
                yield topic, message
            if self._closed:
                return
            self._arrived.clear()  # No await since the check above, so no message slips between.

    async def _catch_up(self) -> None:
        """Of what was missed only the newest counts, and that something may be lost."""
        newest: Letter | None = None
        async for topic, message in self._missed():
            if type(message) is Gap:
                self.put_nowait(topic, message, None)
            else:
                newest = topic, message
        if newest is not None and newest[0] not in self._latest:
            self.put_nowait(*newest, None)


class QueueMailbox(Mailbox):
    """Up to `size_max` messages in order; the one too many ends the stream with `SlowConsumer` after those before it."""

    def __init__(self, epoch: Callable[[], str], size_max: int) -> None:
        super().__init__(epoch)
        self._letters: deque[tuple[str, Record, Position | None]] = deque()
        self._size_max = size_max
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._letters)

    def put_nowait(self, topic: str, message: Record, position: Position | None) -> None:
        if self.overflowed:
            return
        if len(self._letters) >= self._size_max:
            self.overflowed = True
        else:
            self._letters.append((topic, message, position))
        self._arrived.set()

    async def __aiter__(self) -> AsyncGenerator[Letter]:
        async for letter in self._missed():
            yield letter
        while True:
            await self._arrived.wait()
            while self._letters:
                topic, message, position = self._letters.popleft()
                if self._is_known(topic, position):
                    continue
                if position is not None:
                    self._positions[topic] = position
                yield topic, message
            if self.overflowed:
                raise SlowConsumer(f"the reader fell more than {self._size_max} messages behind")
            if self._closed:
                return
            self._arrived.clear()  # No await since the check above, so no message slips between.
