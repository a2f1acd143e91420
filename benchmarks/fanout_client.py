"""The load client of `fanout.py`: a thousand sockets on one thread, read by epoll and counted without decoding.

Latencies end when the kernel has an event for the client (its receive timestamps, see socket(7) and linux/net_tstamp.h), so that
they are the server's and not those of a client that takes a thousand sockets in turn.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import struct
import time
import uuid
from collections.abc import Iterator, Sequence

NEXT = b'"type":"next"'
STAMP = b'"last":"'
BATCH = 50
PONG = b"\x8a\x80\0\0\0\0"
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("qq")


def masked(text: str) -> bytes:
    """One text frame of a client; the mask is zero, so the payload stands as it is."""
    data = text.encode()
    length = bytes((0x80 | len(data),)) if len(data) < 126 else bytes((0x80 | 126,)) + len(data).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + data


class Reader:
    """One socket with its subscriptions."""

    __slots__ = ("fd", "seen", "sock", "tail")

    def __init__(self, host: str, port: int, receive_bytes: int = 0) -> None:
        self.sock = socket.socket()
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.sock.fileno()
        self.tail = b""
        self.seen = 0

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def take(self, size: int) -> tuple[bytes, int]:
        """What came, and when its last byte did, in ns of the wall clock."""
        data, told, _flags, _address = self.sock.recvmsg(size, socket.CMSG_SPACE(TIMESPEC.size))
        for _level, kind, stamp in told:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = TIMESPEC.unpack(stamp)
                return data, seconds * 1_000_000_000 + nanoseconds
        return data, time.time_ns()

    def wait_for(self, text: bytes) -> None:
        data = b""
        while text not in data:
            part = self.sock.recv(65536)
            if not part:
                raise ConnectionError(f"the server hung up: {data[-300:]!r}")
            data += part
        self._count(data)

    def _count(self, data: bytes) -> int:
        data = self.tail + data
        self.tail = data[-(len(NEXT) - 1) :]
        found = data.count(NEXT)
        self.seen += found
        return found


class Crowd:
    """All sockets of one run."""

    def __init__(self, url: str, token: str, *, receive_bytes: int = 0) -> None:
        self._receive_bytes = receive_bytes
        host, _, port = url.partition(":")
        self._address = (host, int(port))
        self._token = token
        self.readers: list[Reader] = []
        self._poll = select.epoll()
        self._by_fd: dict[int, Reader] = {}
        self.latencies_ns: list[int] = []
        self._to_monotonic_ns = 0
        self._shown_at = time.monotonic()

    def connect(self, count: int, queries: Sequence[str]) -> float:
        """Open `count` sockets and subscribe each to all `queries`, with ids of its own; the seconds it took."""
        started = time.monotonic()
        for start in range(0, count, BATCH):
            self._connect(min(BATCH, count - start), queries)
            self._show_life()
        return time.monotonic() - started

    def _connect(self, count: int, queries: Sequence[str]) -> None:
        readers = [Reader(*self._address, self._receive_bytes) for _ in range(count)]
        key = base64.b64encode(os.urandom(16)).decode()
        handshake = (
            f"GET /graphql HTTP/1.1\r\nHost: {self._address[0]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        for reader in readers:
            reader.say(handshake)
        init = masked(json.dumps({"type": "connection_init", "payload": {"token": self._token}}))
        for reader in readers:
            reader.wait_for(b"\r\n\r\n")
            reader.say(init)
        for reader in readers:
            reader.wait_for(b"connection_ack")
        for reader in readers:
            for query in queries:
                message = {"type": "subscribe", "id": str(uuid.uuid4()), "payload": {"query": query}}
                reader.say(masked(json.dumps(message)))
        for reader in readers:
            reader.sock.setblocking(False)
            self._poll.register(reader.fd, select.EPOLLIN)
            self._by_fd[reader.fd] = reader
        self.readers += readers

    def receive(self, count: int, *, timeout_s: float = 60.0, stamped: bool = False) -> int:
        """Read until `count` events came or nothing does for long; how many came."""
        got, until = 0, time.monotonic() + timeout_s
        self._show_life()
        while got < count and time.monotonic() < until:
            got += sum(self._ready(0.2, stamped=stamped))
        return got

    def _show_life(self) -> None:
        """A pong nobody asked for, now and then: a silent client would be hung up on."""
        if time.monotonic() - self._shown_at > 10:
            self._shown_at = time.monotonic()
            for reader in self.readers:
                reader.say(PONG)

    def receive_until(self, done_fd: int, *, stamped: bool) -> int:
        """Read until the server's own output says something, then a little longer; how many events came."""
        self._poll.register(done_fd, select.EPOLLIN)
        got, until = 0, None
        if stamped:
            self._stamp()
        self._show_life()
        while until is None or time.monotonic() < until:
            for found in self._ready(0.05, stamped=stamped):
                got += found
            if until is None and select.select([done_fd], [], [], 0)[0]:
                self._poll.unregister(done_fd)
                until = time.monotonic() + 0.5
        return got

    def _stamp(self) -> None:
        """Let the kernel write down when bytes arrive."""
        self._to_monotonic_ns = time.monotonic_ns() - time.time_ns()
        for reader in self.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def _ready(self, timeout_s: float, *, stamped: bool) -> Iterator[int]:
        for fd, _event in self._poll.poll(timeout_s):
            reader = self._by_fd.get(fd)
            if reader is None:
                continue
            try:
                data, came_ns = reader.take(262_144) if stamped else (reader.sock.recv(262_144), 0)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("the server hung up in the middle of a run")
            if stamped:
                place = data.rfind(STAMP)
                end = data.find(b'"', place + len(STAMP))
                if place >= 0 and end > 0:
                    self.latencies_ns.append(came_ns + self._to_monotonic_ns - int(data[place + len(STAMP) : end]))
            yield reader._count(data)

    def close(self) -> None:
        for reader in self.readers:
            reader.sock.close()
        self._poll.close()
