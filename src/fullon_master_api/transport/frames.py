"""WebSocket frames of RFC 6455, section 5: what a client's bytes say, and the frames we answer with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
CONTINUATION: Final = 0x0

CONTROL_BYTES_MAX: Final = 125

CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_BAD_DATA: Final = 1007
CLOSE_TOO_BIG: Final = 1009


class FrameError(Exception):
    """The client broke the protocol: the socket closes with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message (TEXT, BINARY) or control frame (PING, PONG, CLOSE)."""

    opcode: int
    data: bytes


class FrameReader:
    """Cuts a client's bytes into messages; keeps at most one unfinished message, and that within `bytes_max`."""

    __slots__ = ("_buffer", "_bytes_max", "_fragments", "_kind")

    def __init__(self, bytes_max: int) -> None:
        self._buffer = b""
        self._bytes_max = bytes_max
        self._kind = CONTINUATION  # opcode of the message whose fragments are being collected
        self._fragments: list[bytes] | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete. Raises FrameError; the reader is of no use afterwards."""
        buffer = self._buffer + data if self._buffer else data
        position = 0
        try:
            while True:
                frame = self._frame_at(buffer, position)
                if frame is None:
                    return
                opcode, final, payload, position = frame
                message = self._control(opcode, payload) if opcode & 0x8 else self._part(opcode, final, payload)
                if message is not None:
                    yield message
        finally:
            self._buffer = buffer[position:]

    def _frame_at(self, buffer: bytes, start: int) -> tuple[int, bool, bytes, int] | None:
        """(opcode, final, payload, end) of the frame at `start`; None while it is not complete."""
        if len(buffer) - start < 2:
            return None
        first, second = buffer[start], buffer[start + 1]
        opcode, length = first & 0x0F, second & 0x7F
        if first & 0x70:
            raise FrameError(CLOSE_PROTOCOL_ERROR, "reserved bits are set, and no extension was agreed")
        if not second & 0x80:
            raise FrameError(CLOSE_PROTOCOL_ERROR, "a client's frame must be masked")
        if opcode & 0x8 and (length > CONTROL_BYTES_MAX or not first & 0x80):
            raise FrameError(CLOSE_PROTOCOL_ERROR, "a control frame is short and in one piece")
        position = start + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(buffer) - position < width:
                return None
            length = int.from_bytes(buffer[position : position + width], "big")
            position += width
        if length > self._bytes_max:
            raise FrameError(CLOSE_TOO_BIG, f"a message may have {self._bytes_max} bytes")
        end = position + 4 + length
        if len(buffer) < end:
            return None
        return opcode, bool(first & 0x80), unmask(buffer[position + 4 : end], buffer[position : position + 4]), end

    def _part(self, opcode: int, final: bool, payload: bytes) -> Message | None:
        if opcode == CONTINUATION:
            if self._fragments is None:
                raise FrameError(CLOSE_PROTOCOL_ERROR, "a continuation of nothing")
            self._fragments.append(payload)
        elif opcode in {TEXT, BINARY}:
            if self._fragments is not None:
                raise FrameError(CLOSE_PROTOCOL_ERROR, "a new message inside an unfinished one")
            if final:
                return Message(opcode, payload)
            self._kind, self._fragments = opcode, [payload]
        else:
            raise FrameError(CLOSE_PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if sum(map(len, self._fragments)) + len(self._fragments) > self._bytes_max:
            raise FrameError(CLOSE_TOO_BIG, f"a message may have {self._bytes_max} bytes")
        if not final:
            return None
        whole, self._fragments = b"".join(self._fragments), None
        return Message(self._kind, whole)

    def _control(self, opcode: int, payload: bytes) -> Message:
        if opcode not in {CLOSE, PING, PONG}:
            raise FrameError(CLOSE_PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if opcode == CLOSE:
            check_close(payload)
        return Message(opcode, payload)


def unmask(data: bytes, mask: bytes) -> bytes:
    """Payload XOR the repeated mask, as one operation on long integers."""
    length = len(data)
    if not length:
        return data
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(length, "little")


def check_close(payload: bytes) -> None:
    """Raises FrameError for a close frame that no client may send (RFC 6455, 5.5.1 and 7.4)."""
    if not payload:
        return
    if len(payload) == 1:
        raise FrameError(CLOSE_PROTOCOL_ERROR, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise FrameError(CLOSE_PROTOCOL_ERROR, "a close code that is not for the wire")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(CLOSE_BAD_DATA, "a close reason that is not UTF-8") from error


def frame_header(length: int, opcode: int = TEXT) -> bytes:
    """Header of an unmasked frame in one piece."""
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 65_536:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")


def close_frame(code: int, reason: str) -> bytes:
    payload = code.to_bytes(2, "big") + reason.encode()
    return frame_header(len(payload), CLOSE) + payload
