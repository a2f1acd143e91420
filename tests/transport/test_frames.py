"""The frame reader against the cases of RFC 6455, against another implementation, and against noise."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from fullon_master_api.transport import frames
from fullon_master_api.transport.frames import FrameError, FrameReader, Message, close_frame, frame_header, unmask

LIMIT = 1_000_000


def masked(opcode: int, data: bytes = b"", *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    header = bytearray(frame_header(len(data), opcode))
    header[0] = (0x80 if final else 0) | opcode
    header[1] |= 0x80
    return bytes(header) + mask + unmask(data, mask)


def read(*chunks: bytes, limit: int = LIMIT) -> list[Message]:
    reader = FrameReader(limit)
    return [message for chunk in chunks for message in reader.feed(chunk)]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=70_000)), max_size=4), st.randoms(use_true_random=False))
def test_messages_cut_anywhere_come_out_whole(messages: list[tuple[int, bytes]], rnd: random.Random) -> None:
    stream = b"".join(Frame(Opcode(kind), data).serialize(mask=True, extensions=[]) for kind, data in messages)
    cuts = sorted(rnd.randrange(len(stream) + 1) for _ in range(rnd.randrange(5)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*chunks) == [Message(kind, data) for kind, data in messages]


@given(st.lists(st.binary(max_size=300), min_size=2, max_size=6), st.binary(max_size=125))
def test_fragments_are_joined_and_a_ping_may_come_between(parts: list[bytes], ping: bytes) -> None:
    stream = masked(frames.TEXT, parts[0], final=False)
    for part in parts[1:-1]:
        stream += masked(frames.CONTINUATION, part, final=False)
    stream += masked(frames.PING, ping) + masked(frames.CONTINUATION, parts[-1])
    assert read(stream) == [Message(frames.PING, ping), Message(frames.TEXT, b"".join(parts))]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 4))
def test_a_close_between_fragments_is_heard_and_no_half_message_is(parts: list[bytes], fed: int) -> None:
    """RFC 6455, 5.4 and 5.5: control frames may stand between the fragments of a message, a close frame too."""
    bye = (1000).to_bytes(2, "big")
    stream = masked(frames.TEXT, parts[0], final=False)
    stream += b"".join(masked(frames.CONTINUATION, part, final=False) for part in parts[1:])
    stream += masked(frames.CLOSE, bye)
    size = -(-len(stream) // fed)
    assert read(*(stream[at : at + size] for at in range(0, len(stream), size))) == [Message(frames.CLOSE, bye)]


@given(st.lists(st.binary(max_size=2_000), max_size=5))
def test_noise_ends_with_a_protocol_error_or_waits_for_more(chunks: list[bytes]) -> None:
    reader = FrameReader(1_000)
    failures = []
    for chunk in chunks:
        try:
            for message in reader.feed(chunk):
                assert len(message.data) <= 1_000
        except FrameError as error:
            failures.append(error.code)
            break
    assert set(failures) <= {1002, 1007, 1009}
    assert failures or len(reader._buffer) <= sum(map(len, chunks))


@pytest.mark.parametrize("kind", [frames.TEXT, frames.BINARY])
@pytest.mark.parametrize("length", [0, 125, 126, 127, 128, 65_535, 65_536])
@pytest.mark.parametrize("step", [1, 997, 70_000])
def test_every_length_is_read_in_chops_of_any_size(kind: int, length: int, step: int) -> None:
    data = bytes(number & 0x7F for number in range(length))
    stream = masked(kind, data) + masked(frames.PING, data[:125])
    if step == 1 and length > 1_000:
        head = [stream[at : at + 1] for at in range(300)]
        chunks = [*head, stream[300:-300], *(stream[at : at + 1] for at in range(len(stream) - 300, len(stream)))]
    else:
        chunks = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert read(*chunks) == [Message(kind, data), Message(frames.PING, data[:125])]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_a_close_code_for_the_wire_is_taken(code: int) -> None:
    payload = code.to_bytes(2, "big") + "κόσμε".encode()
    assert read(masked(frames.CLOSE, payload)) == [Message(frames.CLOSE, payload)]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_a_close_code_that_is_not_for_the_wire_is_refused(code: int) -> None:
    with pytest.raises(FrameError) as failed:
        read(masked(frames.CLOSE, code.to_bytes(2, "big")))
    assert failed.value.code == 1002


frame_parts = st.tuples(
    st.sampled_from([0, 0, 1, 1, 2, 3, 9, 10, 11]),
    st.booleans(),
    st.binary(max_size=130),
    st.sampled_from([0, 0, 0, 0, 0x40, 0x10]),
)


@given(st.lists(frame_parts, max_size=6))
def test_what_we_take_and_refuse_is_what_another_implementation_takes_and_refuses(
    parts: list[tuple[int, bool, bytes, int]],
) -> None:
    stream = b""
    for opcode, final, data, reserved in parts:
        frame = bytearray(masked(opcode, data, final=final))
        frame[0] |= reserved
        stream += bytes(frame)
    theirs = ServerProtocol(state=State.OPEN, max_size=LIMIT)
    theirs.receive_data(stream)
    ours: list[Message] = []
    refused = None
    messages = FrameReader(LIMIT).feed(stream)
    try:
        while (message := next(messages, None)) is not None:
            ours.append(message)
    except FrameError as error:
        refused = error.code
    assert refused == (theirs.close_sent.code if theirs.close_sent is not None else None)
    assert ours == whole(frame for frame in theirs.events_received() if isinstance(frame, Frame))


def whole(heard: Iterable[Frame]) -> list[Message]:
    """The messages of the single frames that the other implementation hands out."""
    found: list[Message] = []
    kind, parts = 0, b""
    for frame in heard:
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            found.append(Message(frame.opcode, bytes(frame.data)))
            continue
        if frame.opcode is not Opcode.CONT:
            kind, parts = frame.opcode, b""
        parts += bytes(frame.data)
        if frame.fin:
            found.append(Message(kind, parts))
    return found


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (bytes((0x81, 0x01)) + b"x", 1002),  # not masked
        (bytes((0xC1, 0x80)) + b"mask", 1002),  # RSV1 without an extension
        (bytes((0x91, 0x80)) + b"mask", 1002),  # RSV3
        (masked(0x3), 1002),
        (masked(0xB), 1002),
        (masked(frames.CONTINUATION, b"x"), 1002),
        (masked(frames.TEXT, b"x", final=False) + masked(frames.TEXT, b"y"), 1002),
        (masked(frames.PING, b"x", final=False), 1002),
        (masked(frames.PING, b"x" * 126), 1002),
        (masked(frames.CLOSE, b"\x03"), 1002),
        (masked(frames.CLOSE, (999).to_bytes(2, "big")), 1002),
        (masked(frames.CLOSE, (1005).to_bytes(2, "big")), 1002),
        (masked(frames.CLOSE, (5000).to_bytes(2, "big")), 1002),
        (masked(frames.CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
        (bytes((0x81, 0xFF)) + (1 << 40).to_bytes(8, "big"), 1009),
        (masked(frames.TEXT, b"x" * 600, final=False) + masked(frames.CONTINUATION, b"y" * 600), 1009),
        (masked(frames.TEXT, b"", final=False) + masked(frames.CONTINUATION, b"", final=False) * 1_001, 1009),
    ],
)
def test_what_a_client_may_not_send_has_its_close_code(stream: bytes, code: int) -> None:
    with pytest.raises(FrameError) as failed:
        read(stream, limit=1_000)
    assert failed.value.code == code


@given(st.integers(1000, 4999), st.text(max_size=30))
def test_our_frames_are_read_by_another_implementation(code: int, reason: str) -> None:
    payload = close_frame(code, reason)[2:]
    assert (int.from_bytes(payload[:2], "big"), payload[2:].decode()) == (code, reason)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_a_header_is_spelled_as_another_implementation_spells_it(length: int) -> None:
    data = b"x" * length
    assert frame_header(length) + data == Frame(Opcode.TEXT, data).serialize(mask=False, extensions=[])
