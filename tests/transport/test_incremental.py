"""Answers in parts: `@defer` over multipart, and what becomes of it where a client takes one answer only."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.transport.stage import WITHIN_S, Stage, open_stage

DEFERRED = '{ hello ... @defer(label: "who") { whoami broken } }'


async def parts_of(stage: Stage, query: str, accept: str = "multipart/mixed", **headers: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": query}, headers={"accept": accept, **headers})
    assert answer.headers["content-type"] == 'multipart/mixed; boundary="-"', answer.text
    first, *parts, end = answer.text.split("\r\n---")
    assert (first, end) == ("", "--\r\n")
    return [json.loads(part.partition("\r\n\r\n")[2]) for part in parts]


async def test_a_deferred_part_comes_after_the_rest_with_its_errors_coded() -> None:
    async with open_stage() as stage:
        initial, later = await parts_of(stage, DEFERRED, authorization="Bearer user:7")

    assert initial == {
        "data": {"hello": "hello world"},
        "pending": [{"id": "0", "path": [], "label": "who"}],
        "hasNext": True,
    }
    (part,) = later["incremental"]
    assert part["data"] == {"whoami": "user7@fullon", "broken": None}
    assert part["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "secret" not in part["errors"][0]["message"]
    assert (later["completed"], later["hasNext"]) == ([{"id": "0"}], False)


async def test_a_part_that_never_comes_is_ended_in_time_with_a_code() -> None:
    async with open_stage(timeout_s=0.5) as stage:
        initial, later = await parts_of(stage, "{ hello ... @defer { slow } }")
        async with httpx.AsyncClient(timeout=WITHIN_S) as http:
            after = await http.post(stage.url, json={"query": "{ hello }"})

    assert (initial["data"], initial["hasNext"]) == ({"hello": "hello world"}, True)
    assert later["hasNext"] is False
    assert [error["extensions"]["code"] for error in later["completed"][0]["errors"]] == ["TIMEOUT"]
    assert after.json() == {"data": {"hello": "hello world"}}


async def test_who_takes_one_answer_gets_it_whole() -> None:
    async with open_stage() as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        for accept in ("application/json", "*/*", "multipart/mixed;deferSpec=20220824, application/json"):
            answer = await http.post(
                stage.url, json={"query": "{ hello ... @defer { whoami } }"}, headers={"accept": accept, "x-api-key": "key-4"}
            )
            assert answer.json() == {"data": {"hello": "hello world", "whoami": "user4@fullon"}}


async def test_what_may_not_run_is_refused_before_a_part_is_sent() -> None:
    async with open_stage() as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(
            stage.url,
            json={"query": "query ($n: String!) { hello(name: $n) ... @defer { whoami } }"},
            headers={"accept": "multipart/mixed"},
        )

    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_items_of_a_list_come_one_after_the_other() -> None:
    async with open_stage() as stage:
        initial, *later = await parts_of(stage, "{ numbers @stream(initialCount: 1) }")

    assert initial == {"data": {"numbers": [1]}, "pending": [{"id": "0", "path": ["numbers"]}], "hasNext": True}
    assert [item for frame in later for part in frame.get("incremental", ()) for item in part["items"]] == [2, 3]
    assert (later[-1]["completed"], later[-1]["hasNext"]) == ([{"id": "0"}], False)


async def test_what_cannot_be_answered_at_once_says_how_to_ask() -> None:
    query = {"query": "{ __schema { queryType { name } } ... @defer { hello } }"}
    async with open_stage(introspection="everyone") as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json=query)

    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]
