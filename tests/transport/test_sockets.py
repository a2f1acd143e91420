"""The two socket protocols, word by word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from gql import Client as GqlClient
from gql import gql
from gql.transport.websockets import WebsocketsTransport
from websockets.typing import Subprotocol

from tests.transport.stage import WITHIN_S, Stage, connect, open_stage

TICKER = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { symbol last } }'
START = {"graphql-transport-ws": "subscribe", "graphql-ws": "start"}
EVENT = {"graphql-transport-ws": "next", "graphql-ws": "data"}
PROTOCOLS = list(START)


@pytest.fixture(params=["detached", "asgi"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Both kinds of link: the detached connection, and the portable one of any ASGI server."""
    async with open_stage(ws="websockets-sansio" if request.param == "asgi" else None) as stage:
        yield stage


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_subscriber_gets_the_ticks_in_order(stage: Stage, protocol: str) -> None:
    async with connect(stage, protocol=protocol, init=None) as client:
        await client.say(START[protocol], id="1", payload={"query": TICKER})
        await stage.until(streams=1)
        for last in ("1", "2", "3"):
            await stage.publish("BTC/USD", last)
        for last in ("1", "2", "3"):
            data = {"data": {"ticker": {"symbol": "BTC/USD", "last": last}}}
            assert await client.hear() == {"type": EVENT[protocol], "id": "1", "payload": data}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_queries_and_mutations_run_over_a_socket(stage: Stage, protocol: str) -> None:
    async with connect(stage, protocol=protocol, init=None) as client:
        for number, (query, data) in enumerate(
            [("{ hello }", {"hello": "hello world"}), ('mutation { shout(word: "so") }', {"shout": "SO"})]
        ):
            await client.say(START[protocol], id=f"q{number}", payload={"query": query})
            assert await client.hear() == {"type": EVENT[protocol], "id": f"q{number}", "payload": {"data": data}}
            assert await client.hear() == {"type": "complete", "id": f"q{number}"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "PARSE_FAILED"),
        ("subscription { nothing }", "VALIDATION_FAILED"),
        ('subscription { ticker(exchange: "kraken", symbol: "NO/PE") { last } }', "NOT_FOUND"),
        ("subscription { secret }", "UNAUTHENTICATED"),
    ],
)
async def test_a_bad_operation_fails_alone_with_a_code(stage: Stage, protocol: str, query: str, code: str) -> None:
    async with connect(stage, protocol=protocol, init=None) as client:
        await client.say(START[protocol], id="good", payload={"query": TICKER})
        await client.say(START[protocol], id="bad", payload={"query": query})
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "bad")
        first = message["payload"][0] if protocol == "graphql-transport-ws" else message["payload"]
        assert first["extensions"]["code"] == code
        await stage.publish("BTC/USD", "5")
        assert (await client.hear())["id"] == "good"


async def test_an_unknown_operation_name_fails_only_that_operation(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": "query A { hello }", "operationName": "B"})
        message = await client.hear()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        await client.say("subscribe", id="1", payload={"query": "query A { hello }", "operationName": "A"})
        assert (await client.hear())["payload"] == {"data": {"hello": "hello world"}}


async def test_no_event_follows_complete(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        await stage.until(streams=1)
        await client.say("complete", id="1")
        await client.say("ping", payload={"n": 1})
        assert await client.hear() == {"type": "pong", "payload": {"n": 1}}
        await stage.publish("BTC/USD", "1")
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}
        assert stage.hub.figures.groups == 0


@pytest.mark.parametrize("payload", ["absent", None, {}])
async def test_an_empty_init_payload_is_accepted(stage: Stage, payload: Any) -> None:
    async with connect(stage) as client:
        await client.say("connection_init", **({} if payload == "absent" else {"payload": payload}))
        assert await client.hear() == {"type": "connection_ack"}


async def test_null_stands_for_what_is_absent(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("ping", payload=None)
        assert await client.hear() == {"type": "pong"}
        empty = {"operationName": None, "variables": None, "extensions": None}
        await client.say("subscribe", id="1", payload={"query": "{ hello }", **empty})
        assert (await client.hear())["payload"] == {"data": {"hello": "hello world"}}


async def test_a_pong_and_the_end_of_what_never_ran_change_nothing(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("pong", payload={"n": 1})
        await client.say("complete", id="nobody")
        await client.say("ping", payload={"n": 2})
        assert await client.hear() == {"type": "pong", "payload": {"n": 2}}


async def test_the_older_protocol_stops_a_stream_and_terminates(stage: Stage) -> None:
    async with connect(stage, protocol="graphql-ws", init=None) as client:
        await client.say("start", id="1", payload={"query": TICKER})
        await stage.until(streams=1)
        await client.say("stop", id="1")
        await client.say("start", id="2", payload={"query": "{ hello }"})
        assert (await client.hear())["id"] == "2"
        assert stage.hub.figures.groups == 0
        await client.say("connection_terminate")
        assert (await client.closed())[0] == 1000


@pytest.mark.parametrize(("protocol", "said"), [("graphql-transport-ws", "ping"), ("graphql-ws", "ka")])
async def test_the_server_says_that_it_lives(stage: Stage, protocol: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.transport.sessions.HEARTBEAT_S", 0.3)
    async with connect(stage, protocol=protocol, init=None) as client, asyncio.timeout(WITHIN_S):
        for _ in range(3):
            assert json.loads(await client.socket.recv()) == {"type": said}


@pytest.mark.parametrize(
    "text",
    [
        '"text"',
        "[]",
        "{",
        "{}",
        '{"type":"nonsense"}',
        '{"type":1}',
        '{"type":"connection_init","payload":[]}',
        '{"type":"subscribe","id":"","payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":1,"payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":{"query":1}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}',
        "[" * 100_000,
    ],
)
async def test_what_the_protocol_does_not_know_closes_with_4400(stage: Stage, text: str) -> None:
    async with connect(stage, init=None) as client:
        await client.socket.send(text)
        code, reason = await client.closed()
        assert code == 4400
        assert reason.startswith("Invalid message")


async def test_binary_messages_close_with_4400(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.socket.send(b"{}")
        assert (await client.closed())[0] == 4400


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nothing_starts_before_init(stage: Stage, protocol: str) -> None:
    async with connect(stage, protocol=protocol) as client:
        await client.say(START[protocol], id="1", payload={"query": "{ hello }"})
        assert (await client.closed())[0] == 4401


async def test_the_older_protocols_client_starts_without_waiting_for_its_ack(stage: Stage) -> None:
    async with connect(stage, protocol="graphql-ws") as client:
        await client.say("connection_init", payload={"token": "user:7"})
        await client.say("start", id="1", payload={"query": "{ whoami }"})
        await client.say("start", id="2", payload={"query": TICKER})
        await client.say("stop", id="2")
        assert [(await client.hear())["type"] for _ in range(3)] == ["connection_ack", "data", "complete"]
        assert stage.hub.count_members() == (0, 0)


async def test_what_the_older_protocol_says_before_its_ack_is_refused_with_it(stage: Stage) -> None:
    async with connect(stage, protocol="graphql-ws") as client:
        await client.say("connection_init", payload={"token": "nobody's"})
        await client.say("start", id="1", payload={"query": "{ whoami }"})
        assert (await client.hear())["type"] == "connection_error"
        assert (await client.closed())[0] == 4403


async def test_a_second_init_closes_with_4429(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("connection_init")
        assert (await client.closed())[0] == 4429


async def test_a_taken_id_closes_with_4409(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        await client.say("subscribe", id="1", payload={"query": TICKER})
        assert await client.closed() == (4409, "Subscriber for 1 already exists")


async def test_a_client_that_never_says_init_is_closed_with_4408() -> None:
    async with open_stage(socket_init_timeout_s=0.2) as stage, connect(stage) as client:
        assert (await client.closed())[0] == 4408


async def test_a_client_without_a_protocol_of_ours_is_closed_with_4406(stage: Stage) -> None:
    async with websockets.connect(stage.ws_url) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4406


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_gql_client_subscribes_and_queries(stage: Stage, protocol: str) -> None:
    transport = WebsocketsTransport(url=stage.ws_url, subprotocols=[Subprotocol(protocol)], init_payload={"token": "user:3"})
    async with GqlClient(transport=transport) as session:
        assert await session.execute(gql("{ whoami }")) == {"whoami": "user3@fullon"}
        stream = session.subscribe(gql(TICKER))
        first = asyncio.ensure_future(anext(stream))
        await stage.until(streams=1)
        await stage.publish("BTC/USD", "7.5")
        assert await first == {"ticker": {"symbol": "BTC/USD", "last": "7.5"}}
        await stream.aclose()
