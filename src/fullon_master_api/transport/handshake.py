"""The opening handshake of a WebSocket (RFC 6455, 4.2) as clients send it, read and answered without a parser's machinery."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Final

BYTES_MAX: Final = 8_192
HEADERS_MAX: Final = 100
NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
HEAD: Final = re.compile(rb"GET ([!-~]+) HTTP/1\.1\r\n((?:" + NAME.encode() + rb":[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n")
KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
PROTOCOLS: Final = re.compile(rf"{NAME}(?:[ \t]*,[ \t]*{NAME})*")
SINGLE: Final = frozenset(
    {"connection", "upgrade", "origin", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"}
)
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class PlainHeaders(list[tuple[str, str]]):
    """Lower-case names and values in their order, read as uvicorn reads those of the library."""

    def raw_items(self) -> list[tuple[str, str]]:
        return self

    def get_all(self, name: str) -> list[str]:
        name = name.lower()
        return [value for known, value in self if known == name]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asked: `path` with its query."""

    path: str
    headers: PlainHeaders
    key: bytes

    def answer(self, protocol: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The whole answer that accepts it, with names as the library spells them: some clients compare them as they are."""
        accept = b64encode(sha1(self.key + GUID, usedforsecurity=False).digest())
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
            accept,
            b"\r\nSec-WebSocket-Protocol: ",
            protocol.encode(),
        ]
        for name, value in headers:
            lines += (b"\r\n", name, b": ", value)
        lines.append(b"\r\n\r\n")
        return b"".join(lines)


def read_handshake(data: bytes) -> Handshake | None:
    """A handshake that is plainly right; None for everything else, which the server's own parser is to judge."""
    head = HEAD.fullmatch(data) if len(data) <= BYTES_MAX else None
    if head is None:
        return None
    headers = PlainHeaders()
    found: dict[str, str] = {}
    for line in head[2].decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers.append((name, value))
        if name in SINGLE:
            if name in found:
                return None
            found[name] = value
    if (
        len(headers) > HEADERS_MAX
        or found.get("upgrade", "").lower() != "websocket"
        or "upgrade" not in map(str.strip, found.get("connection", "").lower().split(","))
        or found.get("sec-websocket-version") != "13"
        or not KEY.fullmatch(found.get("sec-websocket-key", ""))
        or not PROTOCOLS.fullmatch(found.get("sec-websocket-protocol", "none"))
    ):
        return None
    return Handshake(head[1].decode("ascii"), headers, found["sec-websocket-key"].encode("ascii"))
