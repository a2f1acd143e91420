"""The detached connection: what happens under the GraphQL protocols."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, cast

import pytest
import uvloop
import websockets
from websockets.typing import Subprotocol

from fullon_master_api.transport import frames
from fullon_master_api.transport.detached import Connection
from fullon_master_api.transport.figures import Figures
from fullon_master_api.transport.flush import Flusher
from fullon_master_api.transport.frames import frame_header
from tests.transport.stage import WITHIN_S, Stage, connect, open_stage
from tests.transport.test_frames import masked

TICKER = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


async def test_an_accepted_socket_leaves_uvicorn_and_has_no_task(stage: Stage) -> None:
    tasks = len(asyncio.all_tasks())
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(connect(stage, init=None))
        assert all(isinstance(each, Connection) for each in list[object](stage.server.server_state.connections))
        assert not stage.server.server_state.tasks
        assert len(asyncio.all_tasks()) - tasks <= 10  # the clients' own, two each


async def test_no_compression_is_agreed_although_the_client_offers_it_and_the_server_would() -> None:
    async with open_stage(deflate=True) as stage:
        options = {"subprotocols": [Subprotocol("graphql-transport-ws")], "compression": "deflate"}
        async with websockets.connect(stage.ws_url, **options) as socket:  # type: ignore[arg-type]
            assert socket.protocol.extensions == []
            assert all(isinstance(each, Connection) for each in list[object](stage.server.server_state.connections))


async def test_a_ping_of_the_socket_is_answered_with_its_bytes(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await asyncio.wait_for(await client.socket.ping(b"here?"), WITHIN_S)


async def test_a_message_in_fragments_is_understood(stage: Stage) -> None:
    async with connect(stage) as client:
        await client.socket.send(['{"type":"conn', "ection_", 'init"}'])
        assert (await client.hear())["type"] == "connection_ack"


class RawSocket:
    """A handshake by hand, then bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def close_code(self) -> int:
        """The code of the close frame with which the server ends; the rest of what it said is left out."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                first, length = await self.reader.readexactly(2)
                data = await self.reader.readexactly(length)
                if first & 0x0F == frames.CLOSE:
                    return int.from_bytes(data[:2], "big")


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


@asynccontextmanager
async def raw_socket(stage: Stage, *, early: bytes = b"") -> AsyncIterator[RawSocket]:
    host, port = stage.url.removeprefix("http://").removesuffix("/graphql").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(HANDSHAKE + early)
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        yield RawSocket(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01x", 1002),
        (masked(frames.TEXT, b"\xff\xfe"), 1007),
        (bytes((0x81, 0xFF)) + (1 << 40).to_bytes(8, "big"), 1009),
        (masked(frames.CLOSE, (1000).to_bytes(2, "big")), 1000),
        (masked(frames.CLOSE, (4123).to_bytes(2, "big") + b"bye"), 4123),
        (masked(frames.BINARY, b"{}"), 4400),
    ],
)
async def test_the_close_code_says_what_was_wrong(stage: Stage, data: bytes, code: int) -> None:
    async with raw_socket(stage) as raw:
        raw.writer.write(data)
        assert await raw.close_code() == code


@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "frame by frame"])
async def test_a_close_inside_a_message_is_answered_and_the_message_is_never_run(stage: Stage, at_once: bool) -> None:
    """A client says nothing after its close, but what came in one piece with it must not count either."""
    message = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": TICKER}}).encode()
    bye = (1000).to_bytes(2, "big")
    sent = [
        masked(frames.TEXT, message[:20], final=False),
        masked(frames.PING, b"between"),
        masked(frames.CONTINUATION, message[20:40], final=False),
        masked(frames.CLOSE, bye),
    ]
    last = masked(frames.CONTINUATION, message[40:])
    async with raw_socket(stage) as raw:
        raw.writer.write(masked(frames.TEXT, b'{"type":"connection_init"}'))
        ack = b'{"type":"connection_ack"}'
        assert await asyncio.wait_for(raw.reader.readexactly(2 + len(ack)), WITHIN_S) == frame_header(len(ack)) + ack
        for data in [b"".join([*sent, last])] if at_once else sent:
            raw.writer.write(data)
            await asyncio.sleep(0)
        heard = await asyncio.wait_for(raw.reader.read(), WITHIN_S)  # Until the server hangs up.
        async with asyncio.timeout(WITHIN_S):
            while stage.hub.watched:
                await asyncio.sleep(0.01)

        pong = frame_header(7, frames.PONG) + b"between"
        assert heard == pong + frame_header(2, frames.CLOSE) + bye
        assert stage.hub.figures.streams_opened == 0


async def test_a_reader_that_stops_is_no_longer_read_and_costs_a_bounded_buffer(stage: Stage) -> None:
    async with connect(stage, init=None, max_size=None) as client:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        await stage.until(streams=1)
        client.stop_reading()
        connection = next(iter(stage.hub.watched))._link  # type: ignore[attr-defined]
        for number in range(200):
            await stage.publish("BTC/USD", f"{number}" + "x" * 50_000)
            await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_S):
            while not connection.paused:
                await asyncio.sleep(0.01)
        assert not connection._transport.is_reading()
        assert connection._transport.get_write_buffer_size() < 300_000
        assert sum(map(len, connection.parts)) <= 200_000
        client.socket.transport.resume_reading()


async def test_the_only_event_of_a_moment_is_written_as_it_is_handed_out_and_a_burst_in_rounds(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(stage, init=None)) for _ in range(3)]
        for client in clients:
            await client.say("subscribe", id="1", payload={"query": TICKER})
        await stage.until(streams=3)
        rounds = stage.hub.figures.flushes

        await stage.publish("BTC/USD", "1")
        assert [(await client.hear())["payload"]["data"]["ticker"]["last"] for client in clients] == ["1"] * 3
        assert stage.hub.figures.flushes == rounds

        for number in range(2, 40):
            await stage.publish("BTC/USD", str(number))
        for client in clients:
            told = [(await client.hear())["payload"]["data"]["ticker"]["last"] for _ in range(2, 40)]
            assert told == [str(number) for number in range(2, 40)]
        assert rounds < stage.hub.figures.flushes < rounds + 3 * 38


async def test_a_silent_peer_is_hung_up_on(stage: Stage) -> None:
    async with raw_socket(stage) as raw:
        connection: Connection = next(iter(stage.hub.watched))._link  # type: ignore[attr-defined]
        connection.beat(connection._heard_at_s + 1, b"{}")
        assert (
            await asyncio.wait_for(raw.reader.readexactly(6), WITHIN_S) == frame_header(0, frames.PING) + frame_header(2) + b"{}"
        )
        connection.beat(connection._heard_at_s + 60, b"{}")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(raw.reader.readexactly(1), WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            while stage.hub.watched:
                await asyncio.sleep(0.01)


async def test_stopping_the_server_closes_detached_sockets_with_1012() -> None:
    async with AsyncExitStack() as outer:
        async with open_stage() as stage:
            clients = [await outer.enter_async_context(connect(stage, init=None)) for _ in range(3)]
            await clients[0].say("subscribe", id="1", payload={"query": TICKER})
            await stage.until(streams=1)
        message = await clients[0].hear()
        assert message["payload"][0]["extensions"]["code"] == "SERVER_SHUTDOWN"
        assert [(await client.closed())[0] for client in clients] == [1012] * 3


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_reader_that_pauses_gets_every_message_in_order_on_both_loops(run: Callable[[Any], None]) -> None:
    """What the kernel does not take at once goes on through the transport, and nothing overtakes it."""

    async def talk() -> None:
        loop, taken = asyncio.get_running_loop(), asyncio.Queue[Connection]()

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connection = Connection(Flusher(Figures(), 0.005), 1_000, Lobby(), "here")
                connection.take(cast("asyncio.Transport", transport), set())
                taken.put_nowait(connection)

        class Lobby:
            def dismiss(self, address: str) -> None:
                """Nobody counts."""

        server = await loop.create_server(Accepting, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1_000)
        connection = await taken.get()
        said = [f"{number:06}".encode() * 50 for number in range(20_000)]
        for number, text in enumerate(said):
            connection.send(text)
            if not number % 2_000:
                await asyncio.sleep(0)
        assert connection.paused
        async with asyncio.timeout(WITHIN_S):
            for text in said:
                assert await reader.readexactly(len(text) + 4) == frame_header(len(text)) + text
            connection.send(b"{}")  # The way is free again.
            assert await reader.readexactly(4) == frame_header(2) + b"{}"
            connection.close(1000, "")
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        connection._transport.abort()
        await asyncio.sleep(0)

    run(talk())
