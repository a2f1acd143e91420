"""Sockets without a task: under uvicorn the connection leaves the ASGI machinery once it is accepted.

An accepted socket keeps only its transport, a frame reader and its session: no task, no queue, no parser generator.
Events of one window are joined and written at once. Where the server is not ours, the portable `AsgiLink` does the same
work with more memory.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import MutableSet
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from fullon_master_api.errors import ServerShutdown
from fullon_master_api.transport import frames
from fullon_master_api.transport.frames import FrameError, FrameReader, close_frame, frame_header
from fullon_master_api.transport.links import PARTS_BYTES_MAX, Reader, Rendered
from fullon_master_api.transport.protocols import CLOSE_BAD_MESSAGE

if TYPE_CHECKING:
    from fullon_master_api.transport.flush import Flusher
    from fullon_master_api.transport.sessions import Session

SEND_BUFFER_BYTES: Final = 65_536
"""The kernel's send buffer. Its default holds megabytes of stale prices for a client that does not read."""

HIGH_WATER_BYTES: Final = 16_384
CLOSE_WAIT_S: Final = 2.0
SILENT_S: Final = 45.0
PING_FRAME: Final = frame_header(0, frames.PING)


class Lobby(Protocol):
    """Who counted a socket in."""

    def dismiss(self, address: str) -> None:
        """Count it out again."""
        ...


class Connection(asyncio.Protocol):
    """A detached socket: bytes in to its session, events out in one write per window."""

    __slots__ = (
        "_address",
        "_closing",
        "_connections",
        "_fd",
        "_flusher",
        "_give_up",
        "_heard_at_s",
        "_lobby",
        "_reader",
        "_transport",
        "_transport_writes",
        "joining",
        "parts",
        "parts_bytes",
        "paused",
        "session",
    )

    def __init__(self, flusher: Flusher, bytes_max: int, lobby: Lobby, address: str) -> None:
        self._lobby = lobby
        self._address = address
        self.session: Session | None = None
        self.paused = False
        self._flusher = flusher
        self._reader = FrameReader(bytes_max)
        self.parts: list[bytes] = []
        self.parts_bytes = 0
        self.joining = False
        self._transport_writes = False
        self._closing = False
        self._give_up: asyncio.TimerHandle | None = None
        self._heard_at_s = monotonic()

    def take(self, transport: asyncio.Transport, connections: MutableSet[Any], answer: bytes = b"") -> None:
        """Become the protocol of a connection, whose client is told `answer`; the server closes it by `shutdown`."""
        self._transport = transport
        self._fd = plain_fd(transport)
        self._transport_writes = self._fd < 0
        self._connections = connections
        connections.add(self)
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        if self._fd >= 0:
            shrink_send_buffer(self._fd)
        if answer:
            self._write(answer)

    # ---- what the transport tells us -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard_at_s = monotonic()
        session = self.session
        if self._closing and session is None:
            return
        try:
            for message in self._reader.feed(data):
                if message.opcode == frames.TEXT:
                    self._text(message.data)
                elif message.opcode == frames.PING:
                    self._write(frame_header(len(message.data), frames.PONG) + message.data)
                elif message.opcode == frames.CLOSE:
                    self._closed_by_peer(message.data)
                    return
                elif message.opcode == frames.BINARY and self.session is not None:
                    self.session.refuse(CLOSE_BAD_MESSAGE, "Invalid message: send text, not binary")
        except FrameError as error:
            self._fail(error.code, error.reason)

    def _text(self, data: bytes) -> None:
        if self.session is None or self._closing:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise FrameError(frames.CLOSE_BAD_DATA, "a text that is not UTF-8") from None
        self.session.received(text)

    def _fail(self, code: int, reason: str) -> None:
        self.close(code, reason)
        if self.session is not None:
            self.session.lost()

    def _closed_by_peer(self, payload: bytes) -> None:
        """Echo the close, as RFC 6455, 5.5.1 asks, then hang up."""
        if not self._closing:
            self.flush()
            self._write(frame_header(len(payload[:2]), frames.CLOSE) + payload[:2])
            self._closing = True
        self._transport.close()
        self._wait_or_abort()

    def eof_received(self) -> None:
        """Let the transport close."""

    def pause_writing(self) -> None:
        # Who does not read its answers is not asked for more questions, so what waits for it stays bounded.
        self.paused, self.joining = True, False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self._heard_at_s = monotonic()
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self.flush()
        if self.session is not None and not self.paused:
            self.session.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._fd = -1  # From now on the number may be another socket's.
        self._connections.discard(self)
        if self._give_up is not None:
            self._give_up.cancel()
        session, self.session = self.session, None
        if session is not None:
            session.lost()
        self.parts.clear()
        self._lobby.dismiss(self._address)

    def shutdown(self) -> None:
        """The server stops: uvicorn calls this on each connection."""
        if self.session is not None:
            self.session.end(ServerShutdown("the server is going away: connect again"))
        else:
            self._transport.close()

    # ---- a link of the session -----------------------------------------------------------------------------------------

    def deliver(self, event: Rendered, reader: Reader) -> None:
        frame, tail = event.frames.get(reader.spelling) or event.frame(reader), reader.tail
        if not self.joining:
            if self._flusher.direct and not self.parts:
                if not self._closing:
                    self._write(frame + tail)
                return
            self.joining = True
            self._flusher.touch(self)
        self.parts.append(frame)  # Both are there already: what is joined only when it is written makes no objects to wait.
        self.parts.append(tail)
        self.parts_bytes += len(frame) + len(tail)
        if self.parts_bytes > PARTS_BYTES_MAX:
            self.flush()

    def send(self, text: bytes) -> None:
        self._send_now(frame_header(len(text)) + text)

    def beat(self, now_s: float, keep_alive: bytes) -> None:
        """Ask the peer for a sign of life, and hang up where none came for long."""
        if now_s - self._heard_at_s > SILENT_S:
            self._transport.abort()
        else:
            self._send_now(PING_FRAME + frame_header(len(keep_alive)) + keep_alive)

    def _send_now(self, data: bytes) -> None:
        if self._closing:
            return
        self.parts.append(data)
        self.parts_bytes += len(data)
        self.flush()

    def flush(self) -> None:
        """Write all that waits, at once; kept while the reader is behind, unless it is very much."""
        self.joining = False
        parts = self.parts
        if not parts or self._closing or (self.paused and self.parts_bytes <= PARTS_BYTES_MAX):
            return
        data = b"".join(parts)
        parts.clear()
        self.parts_bytes = 0
        self._write(data)

    def close(self, code: int, reason: str) -> None:
        if not self._closing:
            self.paused = False
            self.flush()
            self._write(close_frame(code, reason))
            self._closing = True
            self._wait_or_abort()

    def _wait_or_abort(self) -> None:
        """A peer that neither answers the close nor reads is cut off."""
        if self._give_up is None:
            self._give_up = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._transport.abort)

    def _write(self, data: bytes) -> None:
        """To the kernel at once where nothing waits in the transport: it would keep all writes for the end of the loop's turn."""
        if self._transport_writes and not self._is_drained():
            self._write_behind(data)
            return
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:  # The peer is gone: `connection_lost` is on its way, if it has not come.
            self._transport.abort()
            return
        if sent != len(data):
            self._transport_writes = True
            self._write_behind(data[sent:])

    def _is_drained(self) -> bool:
        """Whether the transport, which had to take over, has written all it got."""
        transport = self._transport
        self._transport_writes = self._fd < 0 or transport.is_closing() or transport.get_write_buffer_size() > 0
        return not self._transport_writes

    def _write_behind(self, data: bytes) -> None:
        """Through the transport, which keeps what the kernel does not take."""
        transport = self._transport
        if transport.is_closing():
            return
        try:
            transport.write(data)
        except RuntimeError:  # uvloop closed the handle: `connection_lost` is on its way.
            transport.abort()


def plain_fd(transport: asyncio.Transport) -> int:
    """The socket that may be written beside its transport; -1 where that must not be: under TLS, and on Windows."""
    sock = transport.get_extra_info("socket")
    if sock is None or os.name != "posix" or transport.get_extra_info("ssl_object") is not None:
        return -1
    return cast("int", sock.fileno())


def shrink_send_buffer(fd: int) -> None:
    """Bound what the kernel keeps for a reader that is behind. uvloop hides the socket's options, so they are set beside it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    finally:
        sock.detach()
