"""One socket as its session sees it: messages go out without waiting, and it says when the reader is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from types import coroutine
from typing import Any, Final, Protocol

from starlette.websockets import WebSocketDisconnect

from fullon_master_api.transport.frames import frame_header
from fullon_master_api.transport.protocols import Wire

WIRES_MAX: Final = 2
"""How many protocols there are: a `spelling` tells them apart."""

QUEUED_MAX: Final = 1_000
"""Control messages and answers that may wait for a reader that is behind; events have their own outboxes."""

PARTS_BYTES_MAX: Final = 65_536
"""What may wait for one write."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

GONE: Final = (OSError, RuntimeError, WebSocketDisconnect)
"""What servers raise from `send` when the peer has left; ASGI 2.4 asks for OSError, older ones raise the others."""


class Reader(Protocol):
    """For whom an event is spelled."""

    @property
    def wire(self) -> Wire: ...

    @property
    def tail(self) -> bytes:
        """What ends each of its messages: its id."""
        ...

    @property
    def spelling(self) -> int:
        """Equal for readers whose messages differ by their tails alone: see `spelling_of`."""
        ...


def spelling_of(wire: Wire, tail: bytes) -> int:
    """The protocol and the length of the tail, as one number."""
    return len(tail) * WIRES_MAX + wire.number


class Rendered:
    """The body of one event, spelled for the wire once for all its readers."""

    __slots__ = ("_texts", "body", "frames")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.frames: dict[int, bytes] = {}
        """What `frame` has spelled so far, by the readers' `spelling`."""
        self._texts: dict[int, str] = {}

    def text(self, wire: Wire) -> str:
        """Head and body; the reader's tail follows."""
        text = self._texts.get(wire.number)
        if text is None:
            text = self._texts[wire.number] = (wire.event_head + self.body).decode()
        return text

    def frame(self, reader: Reader) -> bytes:
        """The same with the frame's header before it."""
        frame = self.frames.get(reader.spelling)
        if frame is None:
            head = reader.wire.event_head
            length = len(head) + len(self.body) + len(reader.tail)
            frame = self.frames[reader.spelling] = frame_header(length) + head + self.body
        return frame


class Link(Protocol):
    """Where a session writes. Nothing here waits, and nothing raises when the peer has left."""

    paused: bool
    joining: bool
    """Whether its next write is due and takes more `parts` along; never while `paused`, nor where no events are joined."""

    parts: list[bytes]
    parts_bytes: int
    """The frames that wait for it, and their length: `flush` above `PARTS_BYTES_MAX`."""

    def send(self, text: bytes) -> None:
        """A whole message, in order with the events; waits in a bounded queue while the reader is behind."""
        ...

    def deliver(self, event: Rendered, reader: Reader) -> None:
        """One event. Only while not `paused`."""
        ...

    def flush(self) -> None:
        """Let nothing wait for a window: what was delivered goes out now."""
        ...

    def beat(self, now_s: float, keep_alive: bytes) -> None:
        """Say the protocol's own sign of life, and find peers that are gone without a word."""
        ...

    def close(self, code: int, reason: str) -> None: ...


class LinkOwner(Protocol):
    """Whom a link tells that its reader keeps up again."""

    def resumed(self) -> None: ...


class AsgiLink:
    """A socket behind any ASGI server.

    `send` is driven by hand: with room in the socket it ends at once, without a task or a turn of the loop. Where it
    has to wait, it is finished by a task and the link is `paused` until then, so no slow reader delays another.
    """

    def __init__(self, send: Send, spawn: Spawn) -> None:
        self.paused = self.joining = False
        self.parts, self.parts_bytes = list[bytes](), 0
        self.owner: LinkOwner | None = None
        self._send = send
        self._spawn = spawn
        self._waiting: deque[MutableMapping[str, Any]] = deque()
        self._closed = False

    def send(self, text: bytes) -> None:
        self._push({"type": "websocket.send", "text": text.decode()})

    def deliver(self, event: Rendered, reader: Reader) -> None:
        self._push({"type": "websocket.send", "text": event.text(reader.wire) + reader.tail.decode()})

    def close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._push({"type": "websocket.close", "code": code, "reason": reason})
            self._closed = True

    def flush(self) -> None:
        """Nothing waits here but for the reader."""

    def beat(self, now_s: float, keep_alive: bytes) -> None:
        """The server under this socket looks after silent peers itself."""
        self.send(keep_alive)

    def lost(self) -> None:
        """The peer has left: nothing is written any more."""
        self._closed = True
        self._waiting.clear()

    def _push(self, message: MutableMapping[str, Any]) -> None:
        if self._closed:
            return
        if self.paused:
            if len(self._waiting) >= QUEUED_MAX:
                self._waiting.clear()
                self._waiting.append({"type": "websocket.close", "code": 1013, "reason": "too many messages wait to be read"})
                self._closed = True
            else:
                self._waiting.append(message)
            return
        sending = self._send(message).__await__()
        try:
            future = next(sending)
        except StopIteration:
            return
        except GONE:
            self.lost()
            return
        self.paused = True
        self._spawn(self._finish(sending, future), "socket.send")

    async def _finish(self, sending: Generator[Any, Any, None], future: Any) -> None:
        """See a parked send through, then what waited behind it."""
        try:
            await _resume(sending, future)
            while self._waiting:
                await self._send(self._waiting.popleft())
        except GONE:
            self.lost()
            return
        finally:
            self.paused = False
        if self.owner is not None:
            self.owner.resumed()


@coroutine
def _resume(sending: Generator[Any, Any, None], future: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was started by hand and stopped at `future`."""
    while True:
        try:
            value = yield future
        except BaseException as error:
            try:
                future = sending.throw(error)
            except StopIteration:
                return
        else:
            try:
                future = sending.send(value)
            except StopIteration:
                return
