"""The handshake read by hand, against the library that uvicorn has it read by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from fullon_master_api.transport.handshake import read_handshake
from fullon_master_api.transport.server import Server, bind_socket, server_config
from fullon_master_api.transport.upgrade import EXTENSION
from tests.transport.test_frames import masked

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
PLAIN = [b"Host: x:1", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", KEY]
OFFER = b"Sec-WebSocket-Protocol: graphql-transport-ws, graphql-ws"


def asked(*lines: bytes, first: bytes = b"GET /graphql?a=1 HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def answered_by_library(data: bytes) -> tuple[Request, Response] | None:
    """What the library read and would answer; None where it did not understand the request at all."""
    protocol = ServerProtocol(extensions=[], max_size=1_000)
    protocol.receive_data(data)
    events = [event for event in protocol.events_received() if isinstance(event, Request)]
    return (events[0], protocol.accept(events[0])) if events else None


def check_against_library(data: bytes) -> bool:
    """Whether it was read by hand; then the library must read the same and accept it too."""
    found = read_handshake(data)
    if found is None:
        return False
    by_library = answered_by_library(data)
    assert by_library is not None
    request, response = by_library
    assert response.status_code == 101
    assert found.path == request.path
    assert found.headers == [(name.lower(), value) for name, value in request.headers.raw_items()]
    by_hand = found.answer("graphql-ws", [(b"date", b"today")]).decode().splitlines()
    accept = f"Sec-WebSocket-Accept: {response.headers['Sec-WebSocket-Accept']}"
    spelled = ["Upgrade: websocket", "Connection: Upgrade", accept, "Sec-WebSocket-Protocol: graphql-ws", "date: today", ""]
    assert by_hand == ["HTTP/1.1 101 Switching Protocols", *spelled]
    return True


@pytest.mark.parametrize(
    "lines",
    [
        PLAIN,
        [*PLAIN, OFFER],
        [*PLAIN, b"Sec-WebSocket-Protocol:graphql-ws", b"Cookie: a=1", b"Cookie: b=2", b"Origin: https://a"],
        [b"host: x", b"UPGRADE: WebSocket", b"connection: keep-alive ,  Upgrade", *PLAIN[3:]],
        [*PLAIN, b"X-Name: caf\xe9", b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
    ],
    ids=["bare", "two protocols", "browser", "other spellings", "not ascii"],
)
def test_what_clients_send_is_read_by_hand_as_the_library_reads_it(lines: list[bytes]) -> None:
    assert check_against_library(asked(*lines))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (asked(*PLAIN, first=b"POST /graphql HTTP/1.1"), 405),
        (asked(*PLAIN, first=b"GET /graphql HTTP/1.0"), 505),
        (asked(*PLAIN[:1], *PLAIN[2:]), 426),
        (asked(*PLAIN[:2], b"Connection: close", *PLAIN[3:]), 426),
        (asked(*PLAIN[:3], b"Sec-WebSocket-Version: 8", KEY), 400),
        (asked(*PLAIN[:4]), 400),
        (asked(*PLAIN, KEY), 400),
        (asked(*PLAIN[:4], b"Sec-WebSocket-Key: short"), 400),
        (asked(*PLAIN[:4], b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!"), 400),
        (asked(*PLAIN, b"Sec-WebSocket-Protocol: a,,b c"), 400),
    ],
)
def test_what_the_library_refuses_is_left_to_it(data: bytes, status: int) -> None:
    assert read_handshake(data) is None
    by_library = answered_by_library(data)
    assert by_library is None or by_library[1].status_code == status


@pytest.mark.parametrize(
    "data",
    [
        b"",
        asked(*PLAIN)[:-2],
        asked(*PLAIN) + b"more",
        asked(*PLAIN, b"Bad Name: x"),
        asked(*PLAIN, b"X: a\x00b"),
        asked(*PLAIN, b"no colon"),
        asked(*PLAIN, b" folded: x"),
        asked(*PLAIN, *[b"X: y"] * 100),
        asked(*PLAIN, b"X: " + b"y" * 9_000),
    ],
)
def test_what_is_not_one_whole_and_plain_request_is_not_read_by_hand(data: bytes) -> None:
    assert read_handshake(data) is None


LINES = st.sampled_from(
    [
        *PLAIN,
        OFFER,
        b"Upgrade: websocket, h2c",
        b"Upgrade: WEBSOCKET",
        b"Connection: upgrade",
        b"Connection: keep-alive, Upgrade",
        b"Connection: ,Upgrade",
        b"Connection: Upgrade/1",
        b"Sec-WebSocket-Version: 13 ",
        b"Sec-WebSocket-Version: 013",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"Sec-WebSocket-Key:  AAAAAAAAAAAAAAAAAAAAAAA=",
        b"Sec-WebSocket-Protocol: x y",
        b"Sec-WebSocket-Protocol: ,x",
        b"Origin: null",
        b"X-Forwarded-For: 1.2.3.4",
        b"X:\t y \t",
        b"X:",
    ]
)


@given(st.lists(LINES, max_size=3), st.permutations(PLAIN), st.integers(0, 8))
def test_whatever_is_read_by_hand_the_library_would_have_accepted_alike(
    others: list[bytes], plain: list[bytes], dropped: int
) -> None:
    check_against_library(asked(*plain[:dropped], *others, *plain[dropped + 1 :]))


@given(st.binary(max_size=30), st.integers(0, 300), st.integers(0, 30))
def test_a_spoiled_handshake_is_read_as_the_library_reads_it_or_not_at_all(noise: bytes, at: int, cut: int) -> None:
    data = asked(*PLAIN, OFFER)
    check_against_library(data[:at] + noise + data[at + cut :])


@asynccontextmanager
async def serving(app: Callable[[Scope, Receive, Send], Any], ws: Any = None) -> AsyncIterator[tuple[str, int]]:
    config = server_config(app, uvloop_enabled=False, message_bytes_max=1_000)
    config.ws = ws or config.ws
    config.lifespan = "off"
    listener, server, stop = bind_socket("127.0.0.1", 0), Server(config), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve_until(stop, listener))
        await server.ready.wait()
        try:
            yield listener.getsockname()[:2]
        finally:
            stop.set()


class Echo:
    """An application that keeps its sockets, and what it was told of them."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        await self.ready.wait()
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-ours", b"1")]})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("target", ["/", "/a%20b/%C3%A9?x=%2F&y", "/a?"])
async def test_an_application_is_told_what_uvicorn_tells_and_may_keep_its_socket(target: str) -> None:
    echo, told = Echo(), []
    for ws in (None, "websockets-sansio"):
        async with serving(echo, ws) as (host, port):
            options = {"subprotocols": ["a", "b"], "additional_headers": {"X-Name": "caf\xe9", "Cookie": "a=1"}}
            async with websockets.connect(f"ws://{host}:{port}{target}", **options) as socket:  # type: ignore[arg-type]
                assert (socket.subprotocol, socket.response and socket.response.headers["x-ours"]) == ("b", "1")
                await socket.send("hello")
                assert await asyncio.wait_for(socket.recv(), 30) == "hello"
        scope = dict(echo.scopes[-1])
        assert (EXTENSION in scope["extensions"]) == (ws is None)
        scope["extensions"] = {name: value for name, value in scope["extensions"].items() if name != EXTENSION}
        changing = (b"sec-websocket-key", b"host")
        scope["headers"] = [header for header in scope["headers"] if header[0] not in changing]
        told.append({name: value for name, value in scope.items() if name not in {"client", "server"}})
    assert told[0] == told[1]


async def test_what_a_client_says_before_it_is_answered_is_not_lost() -> None:
    echo = Echo()
    echo.ready.clear()
    async with serving(echo) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(asked(*PLAIN, b"Sec-WebSocket-Protocol: b"))
        async with asyncio.timeout(30):
            while not echo.scopes:
                await asyncio.sleep(0.01)
            writer.write(masked(1, b"early"))
            protocol: Any = echo.scopes[0]["extensions"][EXTENSION]
            while protocol.is_detachable():
                await asyncio.sleep(0.01)
            echo.ready.set()
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(7) == b"\x81\x05early"
        writer.close()
        await writer.wait_closed()


async def test_a_handshake_that_is_not_plain_is_answered_by_the_library() -> None:
    async with serving(Echo()) as (host, port):
        for lines, status in (
            ([*PLAIN, b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b"], b" 101 "),
            (PLAIN[:4], b" 400 "),
        ):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(asked(*lines))
            assert status in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("fails", [True, False], ids=["raises", "returns"])
async def test_an_application_that_does_not_answer_a_handshake_is_a_500(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if fails:
            raise ZeroDivisionError

    async with serving(silent) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(asked(*PLAIN))
        assert b" 500 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        writer.close()
        await writer.wait_closed()
