"""Who is shown the schema, and that nobody else learns it from the words of errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fullon_master_api.executor.answers import DocumentError
from fullon_master_api.executor.engine import Engine
from fullon_master_api.schema import build_schema
from fullon_master_api.transport.desk import _without_suggestion
from tests.transport.stage import WITHIN_S, Stage, connect, open_stage

SCHEMA = "{ __schema { queryType { name } } }"
SHOWN = {"data": {"__schema": {"queryType": {"name": "Query"}}}}
CALLERS = {"stranger": {}, "user": {"authorization": "Bearer user:7"}, "admin": {"authorization": "Bearer admin"}}


async def ask(stage: Stage, who: str, query: str, **variables: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json={"query": query, "variables": variables}, headers=CALLERS[who])
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("setting", "shown_to"),
    [
        ("everyone", ["stranger", "user", "admin"]),
        ("users", ["user", "admin"]),
        ("admins", ["admin"]),
        ("nobody", []),
    ],
)
async def test_the_schema_is_shown_to_whom_the_setting_names(setting: str, shown_to: list[str]) -> None:
    async with open_stage(introspection=setting) as stage:
        answers = {who: await ask(stage, who, SCHEMA) for who in CALLERS}

    assert [who for who, answer in answers.items() if answer == SHOWN] == shown_to
    refused = [answer["errors"][0]["extensions"]["code"] for who, answer in answers.items() if who not in shown_to]
    assert refused == ["FORBIDDEN"] * (3 - len(shown_to))


@pytest.mark.parametrize(
    "query",
    [
        '{ a: __type(name: "Query") { name } ... on Query { __schema { types { name } } } }',
        '{ a: __type(name: "Query") { name } ... @defer { hello } }',
        "{ ...F } fragment F on Query { ... on Query { __schema { types { name } } } }",
        "{ ... @include(if: false) { __schema { types { name } } } }",
    ],
)
async def test_no_spelling_gets_the_schema_past_the_rule(query: str) -> None:
    async with open_stage(introspection="users") as stage:
        answer = await ask(stage, "stranger", query)
        async with connect(stage, init=None) as client:
            await client.say("subscribe", id="1", payload={"query": query})
            refused = await client.hear()

    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "data" not in answer
    assert refused["payload"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("query", "blind", "shown"),
    [
        ('{ hello a: __type(name: "Query") { name } }', {"hello": "hello world", "a": None}, {"name": "Query"}),
        ('{ ...F } fragment F on Query { a: __type(name: "Query") { name } }', {"a": None}, {"name": "Query"}),
        ('{ a: __type(name: "Query") { kind fields { name } } }', {"a": None}, None),
    ],
)
async def test_a_stranger_knows_no_type_whoever_asked_before(
    query: str, blind: dict[str, Any], shown: dict[str, Any] | None
) -> None:
    async with open_stage(introspection="users") as stage:
        answers = [await ask(stage, who, query) for who in ("stranger", "user", "stranger", "user")]
        async with connect(stage, init=None) as client:
            await client.say("subscribe", id="1", payload={"query": query})
            over_socket = await client.hear()

    assert answers[0] == answers[2] == over_socket["payload"] == {"data": blind}
    assert answers[1] == answers[3]
    assert answers[1]["data"]["a"] == shown if shown else len(answers[1]["data"]["a"]["fields"]) > 3


async def test_the_name_of_a_type_is_for_everybody() -> None:
    async with open_stage(introspection="nobody") as stage:
        assert await ask(stage, "stranger", "{ __typename }") == {"data": {"__typename": "Query"}}


async def test_suggestions_are_for_those_who_may_read_the_schema() -> None:
    async with open_stage(introspection="users") as stage:
        to_stranger = await ask(stage, "stranger", "{ helo }")
        to_user = await ask(stage, "user", "{ helo }")
        again = await ask(stage, "stranger", "{ helo }")

    assert to_user["errors"][0]["message"] == "Cannot query field 'helo' on type 'Query'. Did you mean 'hello'?"
    assert [answer["errors"][0]["message"] for answer in (to_stranger, again)] == [
        "Cannot query field 'helo' on type 'Query'."
    ] * 2


def test_no_suggestion_is_left_where_more_is_said_behind_it() -> None:
    with pytest.raises(DocumentError) as refused:
        Engine(build_schema()).prepare("{ orders(filter: { sidee: { eq: BUY } }) { totalCount } }")

    told = [error.message for error in refused.value.errors]
    assert any("Did you mean 'side'?" in message and not message.endswith("?") for message in told)
    assert not any("Did you mean" in _without_suggestion(error).message for error in refused.value.errors)
