"""What one caller may ask of a server, and what it is told about it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx

from fullon_master_api.executor.limits import Limits
from tests.transport.stage import WITHIN_S, Stage, connect, open_stage

HELLO = {"query": "{ hello }"}
ANSWER = {"data": {"hello": "hello world"}}


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


async def test_too_many_requests_are_429_with_when_to_come_back() -> None:
    async with (
        open_stage(requests_per_minute_per_user=2, requests_per_minute_per_address=1, batch_operations_max=5) as stage,
        httpx.AsyncClient(timeout=WITHIN_S) as http,
    ):
        user, other = {"authorization": "Bearer user:7"}, {"x-api-key": "key-8"}
        assert [(await http.post(stage.url, json=HELLO, headers=user)).json() for _ in range(2)] == [ANSWER, ANSWER]
        refused = await http.post(stage.url, json=HELLO, headers=user)
        batch = await http.post(stage.url, json=[HELLO] * 3, headers=other)
        by_other = await http.post(stage.url, json=HELLO, headers=other)
        forged = [await http.post(stage.url, json=HELLO, headers={"authorization": "Bearer no"}) for _ in range(2)]
        stranger = await http.get(stage.url, params=HELLO)

    assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMITED")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert 0 < refused.json()["errors"][0]["extensions"]["retryAfterMs"] <= 30_000
    assert batch.status_code == 429, "a batch counts as many as it holds"
    assert by_other.json() == ANSWER
    assert [answer.status_code for answer in forged] == [401, 429]
    assert stranger.status_code == 429


async def test_requests_of_one_caller_that_run_at_once_are_bounded() -> None:
    async with open_stage(timeout_s=5.0, requests_running_max=1) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        user = {"authorization": "Bearer user:7"}
        slow = asyncio.create_task(http.post(stage.url, json={"query": "{ slow }"}, headers=user))
        async with asyncio.timeout(WITHIN_S):
            while (refused := await http.post(stage.url, json=HELLO, headers=user)).status_code == 200:
                await asyncio.sleep(0.01)
        other = await http.post(stage.url, json=HELLO)
        ended = await slow
        after = await http.post(stage.url, json=HELLO, headers=user)

    assert (refused.status_code, code_of(refused), refused.headers["retry-after"]) == (429, "RATE_LIMITED", "1")
    assert [other.json(), after.json()] == [ANSWER, ANSWER]
    assert code_of(ended) == "TIMEOUT"


async def test_streams_over_http_count_while_they_run() -> None:
    query = {"query": 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'}
    headers = {"accept": "text/event-stream", "authorization": "Bearer user:7"}
    async with open_stage(requests_running_max=1) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        async with http.stream("POST", stage.url, json=query, headers=headers) as first:
            await stage.until(streams=1)
            second = await http.post(stage.url, json=query, headers=headers)
            assert first.status_code == 200
        async with asyncio.timeout(WITHIN_S):
            while (after := await http.post(stage.url, json=HELLO, headers=headers | {"accept": "*/*"})).status_code == 429:
                await asyncio.sleep(0.01)

    assert (second.status_code, code_of(second)) == (429, "RATE_LIMITED")
    assert after.json() == ANSWER


async def test_queries_over_a_socket_are_counted_and_subscriptions_are_not() -> None:
    ticker = {"query": 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'}
    async with open_stage(requests_per_minute_per_address=1) as stage, connect(stage, init=None) as client:
        for number in range(3):
            await client.say("subscribe", id=f"t{number}", payload=ticker)
        await stage.until(streams=3)
        await client.say("subscribe", id="1", payload=HELLO)
        first, _complete = await client.hear(), await client.hear()
        await client.say("subscribe", id="2", payload=HELLO)
        second = await client.hear()

    assert first["payload"] == ANSWER
    assert (second["type"], second["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")
    assert second["payload"][0]["extensions"]["retryAfterMs"] > 0


async def test_while_too_many_new_documents_wait_known_ones_are_answered_and_the_next_is_refused() -> None:
    """Over HTTP, in a batch and over a socket; a thread that is kept busy stands for documents that take long to read."""
    go_on, new = threading.Event(), {"query": "{ again: hello }"}
    async with (
        open_stage(limits=Limits(reading_waiting_all_max=1), batch_operations_max=5) as stage,
        httpx.AsyncClient(timeout=WITHIN_S) as http,
    ):
        assert (await http.post(stage.url, json=HELLO)).json() == ANSWER
        held = asyncio.create_task(stage.engine._documents.read_apart(go_on.wait))
        await asyncio.sleep(0)  # It begins.
        try:
            known = await http.post(stage.url, json=HELLO)
            refused = await http.post(stage.url, json=new)
            batch = await http.post(stage.url, json=[HELLO, new])
            async with connect(stage, init=None) as client:
                await client.say("subscribe", id="1", payload=new)
                by_socket = await client.hear()
        finally:
            go_on.set()
        await held
        after = await http.post(stage.url, json=new)

    assert known.json() == ANSWER
    assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMITED")
    assert int(refused.headers["retry-after"]) >= 1
    extensions = refused.json()["errors"][0]["extensions"]
    assert (extensions["inputPath"], extensions["retryAfterMs"] >= 1000) == (["query"], True)
    assert [each.get("data") or each["errors"][0]["extensions"]["code"] for each in batch.json()] == [
        ANSWER["data"],
        "RATE_LIMITED",
    ]
    assert (by_socket["type"], by_socket["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")
    assert after.json() == {"data": {"again": "hello world"}}


async def test_the_cost_is_told_to_who_asks_for_it() -> None:
    async with open_stage(requests_per_minute_per_address=60) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        plain = await http.post(stage.url, json=HELLO)
        by_header = await http.post(stage.url, json=HELLO, headers={"x-graphql-cost": "1"})
        by_body = await http.post(stage.url, json={"query": "{ hello whoami }", "extensions": {"cost": True}})
        by_socket = await _ask_by_socket(stage, HELLO | {"extensions": {"cost": True}})

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        cost: dict[str, Any] = answer["extensions"]["cost"]
        assert cost.pop("requests").keys() == {"left", "perMinute"}
        return cost

    assert plain.json() == ANSWER
    assert by_header.json()["data"] == ANSWER["data"]
    assert told(by_header.json()) == {"requested": 1, "max": 1_000_000}
    assert told(by_body.json()) == {"requested": 2, "max": 1_000_000}
    assert by_body.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert told(by_socket) == {"requested": 1, "max": 1_000_000}


async def _ask_by_socket(stage: Stage, payload: dict[str, Any]) -> dict[str, Any]:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload=payload)
        found: dict[str, Any] = (await client.hear())["payload"]
        return found


async def test_an_address_is_taken_from_trusted_proxies_only() -> None:
    async def ask(stage: Stage, address: str) -> int:
        async with httpx.AsyncClient(timeout=WITHIN_S) as http:
            return (await http.post(stage.url, json=HELLO, headers={"x-forwarded-for": address})).status_code

    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    async with open_stage(requests_per_minute_per_address=1, trusted_proxies=["127.0.0.0/8"]) as stage:
        assert [await ask(stage, address) for address in addresses] == [200, 200, 429]
    for trusted in ([], ["192.0.2.0/24"]):
        async with open_stage(requests_per_minute_per_address=1, trusted_proxies=trusted) as stage:
            assert [await ask(stage, address) for address in addresses] == [200, 429, 429]
