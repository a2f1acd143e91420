"""Who may open a socket and keep it, how much one may hold, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import websockets
from websockets.typing import Origin, Subprotocol

from fullon_master_api.errors import Forbidden
from fullon_master_api.model import Role
from tests.lived import lived
from tests.transport.stage import WITHIN_S, Stage, connect, open_stage
from tests.transport.test_sockets import PROTOCOLS, START, TICKER

BRIEF_S = 3.0
"""Seconds that a token holds; what must happen before it ends takes milliseconds."""


@pytest.fixture(params=["detached", "asgi"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Both kinds of link: the detached connection, and the portable one of any ASGI server."""
    async with open_stage(ws="websockets-sansio" if request.param == "asgi" else None) as stage:
        yield stage


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "payload",
    [
        {"authorization": "Bearer user:7"},
        {"Authorization": "Bearer user:7"},
        {"token": "user:7"},
        {"apiKey": "key-7"},
        {"X-API-Key": "key-7"},
    ],
)
async def test_the_init_payload_says_who_it_is(stage: Stage, protocol: str, payload: dict[str, str]) -> None:
    async with connect(stage, protocol=protocol, init=payload) as client:
        await client.say(START[protocol], id="1", payload={"query": "{ whoami }"})
        assert (await client.hear())["payload"] == {"data": {"whoami": "user7@fullon"}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("options", [{"additional_headers": {"Authorization": "Bearer user:7"}}, {"query": "?token=user:7"}])
async def test_a_header_or_a_query_token_says_who_it_is(stage: Stage, protocol: str, options: dict[str, Any]) -> None:
    async with connect(stage, protocol=protocol, init=None, **options) as client:
        await client.say(START[protocol], id="1", payload={"query": "{ whoami }"})
        assert (await client.hear())["payload"] == {"data": {"whoami": "user7@fullon"}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_wrong_token_is_refused_at_init(stage: Stage, protocol: str) -> None:
    async with connect(stage, protocol=protocol) as client:
        await client.say("connection_init", payload={"token": "forged"})
        if protocol == "graphql-ws":
            message = await client.hear()
            assert message["type"] == "connection_error"
            assert message["payload"]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await client.closed() == (4403, "UNAUTHENTICATED: the token is not valid")


async def test_the_stream_ends_when_the_token_does(stage: Stage) -> None:
    async with connect(stage, init={"token": f"for:{BRIEF_S}"}) as client, lived() as clock:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        message = await client.hear()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "TOKEN_EXPIRED"
        assert (await client.closed())[0] == 4403
        assert time.time() >= stage.door.ends_s[f"for:{BRIEF_S}"]
        assert clock.seconds < BRIEF_S + 1


async def test_a_ping_with_a_fresh_token_keeps_the_socket(stage: Stage) -> None:
    async with connect(stage, init={"token": f"for:{BRIEF_S}"}) as client:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        later = time.time() + 3600
        await client.say("ping", payload={"token": f"until:{later}"})
        assert await client.hear() == {"type": "pong", "payload": {"renewed": True, "expiresAt": later}}
        await client.say("ping", payload={"token": "user:9"})
        assert (await client.hear())["payload"]["code"] == "FORBIDDEN"
        with pytest.raises(TimeoutError):
            await client.hear(timeout_s=max(0.1, stage.door.ends_s[f"for:{BRIEF_S}"] - time.time()) + 0.6)
        await stage.publish("BTC/USD", "1")
        assert (await client.hear())["type"] == "next"


async def test_renewing_a_socket_is_a_request_of_its_user() -> None:
    async with open_stage(requests_per_minute_per_user=2) as stage, connect(stage, init={"token": "user:7"}) as client:
        answers = []
        for _ in range(3):
            await client.say("ping", payload={"token": "user:7"})
            answers.append((await client.hear())["payload"])

    assert [answer["renewed"] for answer in answers] == [True, True, False]
    assert answers[2]["code"] == "RATE_LIMITED"


async def test_sockets_with_one_credential_keep_it_in_memory_once(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        for name in ("user:7", "user:7", "user:8"):
            await stack.enter_async_context(connect(stage, init={"token": name}))
        one, two, other = stage.hub.watched
        assert one.credential is two.credential
        assert other.credential != one.credential
        assert (one.uid, two.uid, other.uid) == (7, 7, 8)


@pytest.mark.parametrize("change", ["revoked", "role"])
async def test_a_credential_that_no_longer_holds_ends_its_streams(stage: Stage, change: str) -> None:
    async with connect(stage, init={"token": "user:7"}) as seven, connect(stage, init={"token": "user:8"}) as eight:
        for client in (seven, eight):
            await client.say("subscribe", id="1", payload={"query": TICKER})
        await stage.until(streams=2)
        if change == "revoked":
            stage.door.revoked.add(7)
        else:
            stage.door.roles[7] = Role.ADMIN
        message = await seven.hear()
        assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await seven.closed())[0] == 4403
        await stage.publish("BTC/USD", "1")
        assert (await eight.hear())["type"] == "next"


async def test_a_user_can_be_disconnected_at_once(stage: Stage) -> None:
    async with connect(stage, init={"token": "user:7"}) as client:
        assert stage.hub.disconnect_user(8, Forbidden("disconnected by an admin")) == 0
        assert stage.hub.disconnect_user(7, Forbidden("disconnected by an admin")) == 1
        assert await client.closed() == (4403, "FORBIDDEN: disconnected by an admin")


async def test_one_socket_runs_a_bounded_number_of_operations() -> None:
    async with open_stage(socket_subscriptions_max=2) as stage, connect(stage, init=None) as client:
        for identity in ("1", "2", "3"):
            await client.say("subscribe", id=identity, payload={"query": TICKER})
        message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "3")
        assert message["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await client.say("complete", id="1")
        await client.say("subscribe", id="3", payload={"query": "{ hello }"})
        assert (await client.hear())["type"] == "next"


async def test_a_page_of_another_origin_is_not_let_in() -> None:
    async with open_stage(cors_origins=["https://good.example"]) as stage:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(stage, origin=Origin("https://evil.example")):
                pass
        assert refused.value.response.status_code == 403
        for origin in ("https://good.example", stage.url.removesuffix("/graphql")):
            async with connect(stage, init=None, origin=Origin(origin)):
                pass


async def test_more_sockets_than_allowed_are_refused() -> None:
    async with open_stage(socket_connections_max=1) as stage, connect(stage, init=None):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(stage):
                pass
        assert refused.value.response.status_code == 503


async def test_one_address_and_one_user_have_a_bounded_number_of_sockets() -> None:
    async with open_stage(socket_connections_per_address_max=3, socket_connections_per_user_max=1) as stage:
        async with connect(stage, init={"token": "user:7"}), connect(stage) as second, connect(stage, init={"token": "user:8"}):
            await second.say("connection_init", payload={"token": "user:7"})
            assert await second.closed() == (1013, "RATE_LIMITED: a user may have 1 sockets")
        async with connect(stage, init={"token": "user:7"}), connect(stage), connect(stage):
            with pytest.raises(websockets.InvalidStatus):
                async with connect(stage):
                    pass
        async with asyncio.timeout(WITHIN_S):
            while stage.hub.figures.sockets:
                await asyncio.sleep(0.01)
        assert not stage.hub.addresses
        assert not stage.hub.users


async def test_a_message_that_is_too_long_closes_the_socket() -> None:
    async with open_stage(socket_message_bytes_max=2_000) as stage, connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": "#" * 3_000 + TICKER})
        assert (await client.closed())[0] == 1009


async def test_a_drain_tells_every_stream_and_closes(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": TICKER})
        await stage.until(streams=1)
        stage.hub.drain()
        message = await client.hear()
        assert message["payload"][0]["extensions"]["code"] == "SERVER_SHUTDOWN"
        assert (await client.closed())[0] == 1012
        with pytest.raises(websockets.InvalidStatus):
            async with connect(stage):
                pass


async def test_a_failing_operation_hides_its_cause_and_gives_an_id(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": "{ broken }"})
        payload = (await client.hear())["payload"]
        assert payload["data"] == {"broken": None}
        assert payload["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert "secret" not in json.dumps(payload)
        assert await client.hear() == {"type": "complete", "id": "1"}
        await client.say("subscribe", id="1", payload={"query": "{ broken }"})
        again = (await client.hear())["payload"]["errors"][0]["extensions"]["requestId"]
        assert again != payload["errors"][0]["extensions"]["requestId"]  # Each operation has a context of its own.


async def test_a_slow_operation_ends_with_timeout() -> None:
    async with open_stage(timeout_s=0.1) as stage, connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": "{ slow }"})
        payload = (await client.hear())["payload"]
        assert payload["errors"][0]["extensions"]["code"] == "TIMEOUT"
        assert (await client.hear())["type"] == "complete"


async def test_nothing_is_left_after_clients_vanish(stage: Stage) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        async with websockets.connect(stage.ws_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send('{"type":"connection_init"}')
            await socket.recv()
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": TICKER}}))
            await socket.send(json.dumps({"type": "subscribe", "id": "2", "payload": {"query": "{ slow }"}}))
            socket.transport.abort()
    async with asyncio.timeout(WITHIN_S):
        while stage.hub.figures.sockets or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)
    assert stage.hub.figures.groups == 0
    assert not stage.hub.watched
