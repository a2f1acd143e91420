"""What one reader of the bus has not read yet: bounded, either the newest of each topic or a queue that may overflow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum
from typing import Protocol

from fullon_master_api.errors import SlowConsumer
from fullon_master_api.model import Gap, Record

Letter = tuple[str, Record]
"""A topic and its message."""


class Delivery(Enum):
    """What a reader gets that is slower than its topics."""

    LATEST = "latest"  # the newest message of each topic; older ones are dropped
    QUEUE = "queue"  # every message in order, until the queue is full: then SlowConsumer


class Mailbox(Protocol):
    """One reader's box: filled by the bus without waiting, emptied by `async for topic, message in mailbox`."""

    def put_nowait(self, topic: str, message: Record) -> None: ...

    def close(self) -> None:
        """Let the reader take what is there and then end."""
        ...

    def __aiter__(self) -> AsyncIterator[Letter]: ...


class LatestMailbox:
    """The newest message of each topic. A gap is never overwritten: it comes out before the news that followed it."""

    def __init__(self) -> None:
        self._latest: dict[str, Record] = {}
        self._gaps: dict[str, Gap] = {}
        self._arrived = asyncio.Event()
        self._closed = False
        self.conflated = 0

    def put_nowait(self, topic: str, message: Record) -> None:
        if type(message) is Gap:
            self._gaps[topic] = message
        else:
            self.conflated += topic in self._latest
            self._latest[topic] = message
        self._arrived.set()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncGenerator[Letter]:
        while True:
            await self._arrived.wait()
            while self._gaps or self._latest:
                waiting = self._gaps or self._latest
                topic = next(iter(waiting))
                yield topic, waiting.pop(topic)
            if self._closed:
                return
            self._arrived.clear()  # No await since the check above, so no message slips between.


class QueueMailbox:
    """Up to `size_max` messages in order; the one too many ends the stream with `SlowConsumer` after those before it."""

    def __init__(self, size_max: int) -> None:
        self._letters: deque[Letter] = deque()
        self._size_max = size_max
        self._arrived = asyncio.Event()
        self._closed = False
        self.overflowed = False

    def put_nowait(self, topic: str, message: Record) -> None:
        if self.overflowed:
            return
        if len(self._letters) >= self._size_max:
            self.overflowed = True
        else:
            self._letters.append((topic, message))
        self._arrived.set()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncGenerator[Letter]:
        while True:
            await self._arrived.wait()
            while self._letters:
                yield self._letters.popleft()
            if self.overflowed:
                raise SlowConsumer(f"the reader fell more than {self._size_max} messages behind")
            if self._closed:
                return
            self._arrived.clear()  # No await since the check above, so no message slips between.
