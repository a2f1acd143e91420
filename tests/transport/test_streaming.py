"""Subscriptions over HTTP: event streams and multipart answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.transport.stage import WITHIN_S, Stage, open_stage

TICKER = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'
APOLLO = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json'
URQL = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


def post(http: httpx.AsyncClient, stage: Stage, query: str, accept: str, **headers: str) -> Any:
    return http.stream("POST", stage.url, json={"query": query}, headers={"accept": accept, **headers})


async def test_an_event_stream_carries_the_ticks_and_lines_end_with_lf(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http, post(http, stage, TICKER, "text/event-stream") as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        await stage.until(streams=1)
        await stage.publish("BTC/USD", "1")
        async for part in answer.aiter_bytes():
            assert part == b'event: next\ndata: {"data":{"ticker":{"last":"1"}}}\n\n'
            break


async def test_a_multipart_answer_is_as_apollo_reads_it(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http, post(http, stage, TICKER, APOLLO) as answer:
        assert answer.headers["content-type"] == 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"'
        await stage.until(streams=1)
        await stage.publish("BTC/USD", "1")
        async for part in answer.aiter_bytes():
            head, _, body = part.partition(b"\r\n\r\n")
            assert head == b"\r\n--graphql\r\ncontent-type: application/json"
            assert json.loads(body) == {"payload": {"data": {"ticker": {"last": "1"}}}}
            break


@pytest.mark.parametrize("accept", [URQL, "*/*", "application/json", APOLLO])
async def test_who_lists_json_too_gets_json_for_a_query(stage: Stage, accept: str) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": "{ hello }"}, headers={"accept": accept})
        assert answer.json() == {"data": {"hello": "hello world"}}


async def test_a_query_can_be_streamed_to_who_wants_nothing_else(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": "{ hello }"}, headers={"accept": "text/event-stream"})
        assert answer.text == 'event: next\ndata: {"data":{"hello":"hello world"}}\n\nevent: complete\ndata: \n\n'


async def test_a_refused_subscription_says_its_code_in_the_stream(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": "subscription { secret }"}, headers={"accept": "text/event-stream"})
        first = json.loads(answer.text.split("\n")[1].removeprefix("data: "))
        assert first["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert answer.text.endswith("event: complete\ndata: \n\n")
        answer = await http.post(stage.url, json={"query": "subscription {"}, headers={"accept": "text/event-stream"})
        assert answer.json()["errors"][0]["extensions"]["code"] == "PARSE_FAILED"


@pytest.mark.parametrize(("accept", "fatal"), [("text/event-stream", False), (APOLLO, True)])
async def test_a_stream_ends_with_a_code_when_the_token_does(stage: Stage, accept: str, fatal: bool) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        headers = {"accept": accept, "authorization": "Bearer for:3"}
        answer = await http.post(stage.url, json={"query": TICKER}, headers=headers)
        assert "TOKEN_EXPIRED" in answer.text
        assert ('"payload":null' in answer.text) is fatal


async def test_a_drain_ends_http_streams_too(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http, post(http, stage, TICKER, "text/event-stream") as answer:
        await stage.until(streams=1)
        stage.hub.drain()
        text = b"".join([part async for part in answer.aiter_bytes()])
        assert b"SERVER_SHUTDOWN" in text
        refused = await http.post(stage.url, json={"query": TICKER}, headers={"accept": "text/event-stream"})
        assert refused.status_code == 503


async def test_nothing_is_left_of_a_reader_that_leaves(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        async with post(http, stage, TICKER, "text/event-stream"):
            await stage.until(streams=1)
            assert stage.hub.figures.streams == 1
        async with asyncio.timeout(WITHIN_S):
            while stage.hub.figures.streams or stage.hub.watched:
                await stage.publish("BTC/USD", "1")
                await asyncio.sleep(0.01)
        assert stage.hub.figures.groups == 0
