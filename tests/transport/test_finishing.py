"""Requests on real sockets: what leaves in one piece is what uvicorn would have sent, and all else is uvicorn's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fullon_master_api.transport.finishing import FinishingCycle, FinishingProtocol
from tests.transport.stage import WITHIN_S, Stage, open_stage

HELLO = "{ hello }"
ALONE = {"data": {"hello": "hello world"}}
Answer = tuple[int, dict[str, str], bytes]


def post(query: str = HELLO, *headers: str, target: str = "/graphql", version: str = "1.1", **variables: Any) -> bytes:
    """A request in one piece, as a client writes it."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    lines = [
        f"POST {target} HTTP/{version}",
        "Host: desk.test",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-Request-Id: mine-1",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"POST /graphql HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\nContent-Type: application/json\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


class Caller:
    """One connection, whose bytes are written and read by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, piece: bytes) -> None:
        """Write it, and let the server read it before the next one comes."""
        self.writer.write(piece)
        await self.writer.drain()
        for _ in range(3):
            await asyncio.sleep(0)

    async def hear(self) -> Answer:
        """The next answer, its Date checked and left out."""
        async with asyncio.timeout(WITHIN_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = [line.split(": ", 1) for line in head[1:] if line]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), head
            if not head[0].startswith("HTTP/1.1 100"):
                assert headers.pop("date").endswith(" GMT")
            return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def until_closed(self) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await self.reader.read()


@asynccontextmanager
async def calling(stage: Stage) -> AsyncIterator[Caller]:
    url = urlsplit(stage.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until(met: Callable[[], object]) -> None:
    """Until something is so that nobody tells."""
    async with asyncio.timeout(WITHIN_S):
        while not met():
            await asyncio.sleep(0.001)


@contextmanager
def counted() -> Iterator[list[bool]]:
    """Whether each finished answer that was offered was taken in one piece."""
    taken: list[bool] = []
    finish = FinishingCycle.finish

    def noted(cycle: FinishingCycle, status: int, fields: bytes, body: bytes) -> bool:
        taken.append(finish(cycle, status, fields, body))
        return taken[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinishingCycle, "finish", noted)
        yield taken


BODY = json.dumps({"query": HELLO}).encode()
BIG = "x" * 200_000
PLAIN = "POST /graphql HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\nContent-Type: application/json\r\n"
HEAR = None
SENT: dict[str, tuple[list[bytes | None], list[bool]]] = {
    # name: what is written and when an answer is waited for, and which answers leave in one piece under our protocol
    "one after the other": ([post(), HEAR, post(), HEAR], [True, True]),
    "pipelined": ([post() + post("{ slow hello }") + post(), HEAR, HEAR, HEAR], [True]),
    "a slow one before others": ([post("{ slow }") + post() + post(), HEAR, HEAR, HEAR], [True]),
    "byte by byte": ([*(bytes([byte]) for byte in post()), HEAR], [True]),
    "the body after the head": ([post()[:-20], post()[-20:], HEAR], [True]),
    "chunked": ([chunked(BODY[:7], BODY[7:]), HEAR], [True]),
    "chunked, slowly": ([chunked(BODY[:7], end=b""), b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY[7:]), BODY[7:]), HEAR], [True]),
    "refused": ([post("{ nothing }"), HEAR, post(), HEAR], [True, True]),
    "refused with a header": ([post(HELLO, "Authorization: Bearer nonsense"), HEAR], [True]),
    "a large answer": ([post("query($name: String!) { hello(name: $name) }", name=BIG), HEAR, post(), HEAR], [True, True]),
    "not JSON": ([PLAIN.encode() + b"Content-Length: 3\r\n\r\n{{{", HEAR], [True]),
    "no body": ([PLAIN.encode() + b"Content-Length: 0\r\n\r\n", HEAR, post(), HEAR], [True, True]),
    "a length past the limit": (
        [PLAIN.encode() + b"Content-Length: 60000\r\n\r\n" + b" " * 60_000, HEAR, post(), HEAR],
        [True, True],
    ),
    "chunks past the limit": ([chunked(b" " * 30_000, b" " * 30_000), HEAR, post(), HEAR], [True, True]),
    "close": ([post(HELLO, "Connection: close"), HEAR], []),
    "HTTP/1.0": ([post(version="1.0"), HEAR], []),
    "HTTP/1.0, kept alive": ([post(HELLO, "Connection: keep-alive", version="1.0"), HEAR], []),
    "a query string": ([post(target="/graphql?operation=a"), HEAR], []),
    "an absolute address": ([post(target="http://desk.test/graphql"), HEAR], []),
    "an escaped path": ([post(target="/graphq%6C"), HEAR], []),
    "another path": ([post(target="/nothing"), HEAR, post(), HEAR], [True]),
    "GET": ([b"GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n", HEAR, post(), HEAR], [True]),
    "another method": ([post().replace(b"POST", b"PUT", 1), HEAR, post(), HEAR], [True]),
    "an offer of HTTP/2": ([post(HELLO, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), HEAR], []),
    "what is no HTTP": ([post(), HEAR, b"\x00\x01 nonsense\r\n\r\n", HEAR], [True]),
}


@pytest.mark.parametrize("name", SENT)
async def test_an_answer_in_one_piece_is_what_uvicorn_would_have_sent(name: str) -> None:
    steps, in_one_piece = SENT[name]
    heard: list[list[Answer]] = []
    taken: list[list[bool]] = []
    for http in (None, "httptools"):
        bytes_max = 250_000 if "large" in name else 50_000
        async with open_stage(http=http, timeout_s=0.5, body_bytes_max=bytes_max) as stage, calling(stage) as caller:
            heard.append([])
            with counted() as taken_here:
                for step in steps:
                    if step is not None:
                        await caller.say(step)
                    else:
                        heard[-1].append(await caller.hear())
            taken.append(taken_here)
            ends = name in {"close", "what is no HTTP"} or name.startswith("HTTP/1.0")
            assert (heard[-1][-1][1].get("connection") == "close") == ends
            if ends:
                assert await caller.until_closed() == b""
    assert heard[0] == heard[1]
    assert taken == [in_one_piece, []]


async def test_who_waits_for_a_permission_to_send_gets_it() -> None:
    head, body = post(HELLO, "Expect: 100-continue").split(b"\r\n\r\n")
    async with open_stage() as stage, calling(stage) as caller:
        await caller.say(head + b"\r\n\r\n")
        assert (await caller.hear())[0] == 100
        await caller.say(body)
        first = await caller.hear()
        await caller.say(post())
        assert (first[0], json.loads(first[2]), await caller.hear()) == (200, ALONE, first)


@pytest.mark.parametrize("cut", [10, len(post()) - 5])
async def test_a_client_that_leaves_in_the_middle_of_its_request_harms_nobody(cut: int) -> None:
    async with open_stage() as stage:
        state = stage.server.server_state
        with capture_logs() as events:
            async with calling(stage) as caller:
                await caller.say(post())
                await caller.hear()
                await caller.say(post()[:cut])
            await until(lambda: not state.tasks and not state.connections)
        async with calling(stage) as other:
            await other.say(post())
            assert json.loads((await other.hear())[2]) == ALONE
    assert events == []


async def test_a_client_that_leaves_while_it_is_answered_harms_nobody() -> None:
    async with open_stage(timeout_s=0.5) as stage:
        tasks = stage.server.server_state.tasks
        async with calling(stage) as caller:
            await caller.say(post("{ slow }"))
            await until(lambda: tasks)
        await until(lambda: not tasks)
        async with calling(stage) as other:
            await other.say(post())
            assert json.loads((await other.hear())[2]) == ALONE


async def test_answers_that_a_client_does_not_read_are_not_heaped_up() -> None:
    answers, size = 40, 400_000
    request = post("query($name: String!) { hello(name: $name) }", name="x" * size)
    async with open_stage() as stage, calling(stage) as caller:
        with counted() as taken:
            for _ in range(answers):
                caller.writer.write(request)
            await until(lambda: stage.server.server_state.connections)
            (protocol,) = cast("set[FinishingProtocol]", stage.server.server_state.connections)
            await until(lambda: protocol.flow.write_paused)
            heaped = []
            for number in range(answers):
                heaped.append(protocol.transport.get_write_buffer_size())
                status, _headers, body = await caller.hear()
                assert (status, len(json.loads(body)["data"]["hello"])) == (200, size + len("hello ")), number
        assert max(heaped) < 3 * size
        assert False in taken or len(taken) < answers  # Some had to wait.


async def test_a_request_that_runs_is_answered_when_the_server_stops() -> None:
    async with AsyncExitStack() as stack:
        async with open_stage(timeout_s=1.0) as stage:
            caller, idle = [await stack.enter_async_context(calling(stage)) for _ in range(2)]
            await idle.say(post())
            await idle.hear()
            await caller.say(post("{ hello slow }"))
            await until(lambda: stage.server.server_state.tasks)
        status, headers, body = await caller.hear()
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(body)["errors"][0]["extensions"]["code"] == "TIMEOUT"
        assert await caller.until_closed() == b"" == await idle.until_closed()


async def test_our_cycle_has_all_that_uvicorns_has() -> None:
    async with open_stage() as stage, calling(stage) as caller:
        await caller.say(post())
        await caller.hear()
        (protocol,) = cast("set[FinishingProtocol]", stage.server.server_state.connections)
        ours: Any = protocol.cycle
        theirs = RequestResponseCycle(
            ours.scope,
            ours.transport,
            ours.flow,
            ours.logger,
            ours.access_logger,
            ours.access_log,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=lambda: None,
        )
        fresh = FinishingCycle(protocol)
        shared = {name for name, value in vars(theirs).items() if type(value) in {bool, int, bytearray, type(None)}}
        assert type(ours) is FinishingCycle
        assert {name: getattr(fresh, name) for name in shared} == {name: getattr(theirs, name) for name in shared}
        assert all(hasattr(fresh, name) for name in vars(theirs))


LINE = b"GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nHost: a\r\n"
ENDLESS = {
    "one header": (LINE + b"X: ", b"a" * 60_000),
    "many headers": (LINE, b"a: b\r\n" * 5_000),
    "an address": (b"GET /", b"a" * 60_000),
    "the size of a chunk": (chunked(end=b"1;"), b"a" * 60_000),
    "what follows the chunks": (chunked(b"{}", end=b"0\r\n"), b"a: b\r\n" * 5_000),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_a_head_without_an_end_is_hung_up_on(kind: str) -> None:
    head, more = ENDLESS[kind]
    async with open_stage() as stage, calling(stage) as caller:
        caller.writer.write(post())
        assert (await caller.hear())[0] == 200
        with suppress(ConnectionError):  # It may be closed before all is sent.
            await caller.say(head)
            for _ in range(40):
                await caller.say(more)
        with suppress(ConnectionError):
            told = await caller.until_closed()
            assert not told or told.startswith(b"HTTP/1.1 431 ")

        async with calling(stage) as other:
            other.writer.write(post())
            assert (await other.hear())[0] == 200


async def test_a_hundred_headers_are_taken_and_no_more() -> None:
    async with open_stage() as stage, calling(stage) as caller:
        caller.writer.write(post(HELLO, *(f"X-{number}: a" for number in range(96))))
        assert (await caller.hear())[0] == 200
        caller.writer.write(post(HELLO, *(f"X-{number}: a" for number in range(97))))
        assert (await caller.until_closed()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /gra", post()[:-5], post() + b"GET / HTT", post() + post()[:-5]],
    ids=["nothing", "half a line", "half a body", "half a second line", "half a second body"],
)
async def test_a_request_that_does_not_come_whole_is_hung_up_on(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.transport.finishing.WHOLE_S", 0.5)
    async with open_stage() as stage, calling(stage) as caller:
        await caller.say(begun)
        told = await caller.until_closed()

    assert told.count(b"HTTP/1.1 200 ") == begun.count(post())


async def test_a_whole_request_may_be_answered_later_than_one_may_take_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.transport.finishing.WHOLE_S", 0.2)
    async with open_stage() as stage, calling(stage) as caller:
        stream = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'
        await caller.say(post(stream, "Accept: text/event-stream"))
        assert (await caller.hear())[0] == 200
        await asyncio.sleep(0.6)
        await stage.publish("BTC/USD", "1.5")
        async with asyncio.timeout(WITHIN_S):
            assert b"1.5" in await caller.reader.readuntil(b"1.5")
