"""GraphQL over HTTP: media types, status codes and limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.transport.stage import WITHIN_S, Stage, open_stage

GRAPHQL_JSON = "application/graphql-response+json"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stage.url.removesuffix("/graphql"), timeout=WITHIN_S) as http:
        yield http


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, application/json;q=0.9", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.5, application/json", "application/json"),
    ],
)
async def test_the_answer_has_the_media_type_asked_for(http: httpx.AsyncClient, accept: str | None, media: str) -> None:
    headers = {} if accept is None else {"accept": accept}
    answer = await http.post("/graphql", json={"query": "{ hello }"}, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"data": {"hello": "hello world"}})
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), (GRAPHQL_JSON, 400)])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "PARSE_FAILED"),
        ({"query": "{ nothing }"}, "VALIDATION_FAILED"),
        ({"query": "query A { hello }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "query ($n: String!) { hello(name: $n) }", "variables": {"n": 1}}, "BAD_USER_INPUT"),
        ({"query": 'subscription { ticker(exchange: "a", symbol: "b") { last } }'}, "BAD_USER_INPUT"),
    ],
)
async def test_a_document_that_cannot_run_is_400_only_in_the_newer_media_type(
    http: httpx.AsyncClient, accept: str, status: int, body: dict[str, Any], code: str
) -> None:
    answer = await http.post("/graphql", json=body, headers={"accept": accept})
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert "data" not in answer.json()


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_JSON])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "PARSE_FAILED"),
        (b"\xff", "PARSE_FAILED"),
        (b"[" * 100_000, "PARSE_FAILED"),
        (b'{"query":' + b"[" * 100_000, "PARSE_FAILED"),
        (b'"text"', "BAD_USER_INPUT"),
        (b"{}", "BAD_USER_INPUT"),
        (b'{"query":1}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","variables":[]}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","operationName":{}}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","extensions":0}', "BAD_USER_INPUT"),
        (b'[{"query":"{hello}"}]', "BAD_USER_INPUT"),
        (b"[]", "BAD_USER_INPUT"),
    ],
)
async def test_a_body_that_is_no_request_is_refused_with_a_code(
    http: httpx.AsyncClient, accept: str, content: bytes, code: str
) -> None:
    answer = await http.post("/graphql", content=content, headers={"content-type": "application/json", "accept": accept})
    assert (400 <= answer.status_code < 500, code_of(answer)) == (True, code)


async def test_batches_run_where_they_are_switched_on() -> None:
    async with open_stage(batch_operations_max=2) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json=[{"query": "{ hello }"}, {"query": "{"}])
        first, second = answer.json()
        assert first == {"data": {"hello": "hello world"}}
        assert second["errors"][0]["extensions"]["code"] == "PARSE_FAILED"
        assert (await http.post(stage.url, json=[{"query": "{ hello }"}] * 3)).status_code == 400


async def test_a_body_over_the_limit_is_413(stage: Stage) -> None:
    async with open_stage(body_bytes_max=1_000) as small, httpx.AsyncClient(timeout=WITHIN_S) as http:
        for content in (b" " * 1_001, None):
            body: Any = content if content is not None else _chunks()
            answer = await http.post(small.url, content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, code_of(answer)) == (413, "TOO_LARGE")


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(20):
        yield b" " * 100


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_a_form_could_send_is_415(http: httpx.AsyncClient, media: str) -> None:
    answer = await http.post("/graphql", content=b'{"query":"{hello}"}', headers={"content-type": media})
    assert (answer.status_code, code_of(answer)) == (415, "BAD_USER_INPUT")


async def test_an_answer_nobody_takes_is_406(http: httpx.AsyncClient) -> None:
    answer = await http.post("/graphql", json={"query": "{ hello }"}, headers={"accept": "image/png"})
    assert answer.status_code == 406


async def test_get_runs_queries_and_refuses_mutations(http: httpx.AsyncClient) -> None:
    variables = json.dumps({"n": "you"})
    answer = await http.get("/graphql", params={"query": "query ($n: String!) { hello(name: $n) }", "variables": variables})
    assert answer.json() == {"data": {"hello": "hello you"}}
    answer = await http.get("/graphql", params={"query": 'mutation { shout(word: "so") }'})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await http.put("/graphql", json={})).status_code == 405


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
async def test_a_page_of_another_origin_cannot_send_queries_by_get(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.get("/graphql", params={"query": "{ hello }"}, headers=headers)
    assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")


async def test_a_credential_that_does_not_hold_is_401(http: httpx.AsyncClient) -> None:
    answer = await http.post("/graphql", json={"query": "{ hello }"}, headers={"authorization": "Bearer forged"})
    assert (answer.status_code, code_of(answer), answer.headers["www-authenticate"]) == (401, "UNAUTHENTICATED", "Bearer")
    answer = await http.post("/graphql", json={"query": "{ whoami }"}, headers={"authorization": "Bearer until:1"})
    assert (answer.status_code, code_of(answer)) == (401, "TOKEN_EXPIRED")


async def test_nobody_is_answered_by_the_resolvers(http: httpx.AsyncClient) -> None:
    answer = await http.post("/graphql", json={"query": "{ hello whoami }"})
    assert answer.status_code == 200
    assert answer.json()["data"] == {"hello": "hello world", "whoami": None}
    assert code_of(answer) == "UNAUTHENTICATED"
    answer = await http.post("/graphql", json={"query": "{ whoami }"}, headers={"x-api-key": "key-4"})
    assert answer.json() == {"data": {"whoami": "user4@fullon"}}


async def test_the_request_id_comes_back_and_stands_in_errors(http: httpx.AsyncClient) -> None:
    answer = await http.post("/graphql", json={"query": "{ broken }"}, headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "mine-1"}
    assert "secret" not in answer.text
    answer = await http.post("/graphql", json={"query": "{ hello }"}, headers={"x-request-id": "bad id"})
    assert len(answer.headers["x-request-id"]) == 16


async def test_an_operation_that_takes_too_long_is_stopped() -> None:
    async with open_stage(timeout_s=0.1) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": "{ slow }"})
        assert code_of(answer) == "TIMEOUT"
