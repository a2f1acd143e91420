"""Who is told how an operation was run, and what that says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fullon_master_api.executor.explain import explanation_text
from tests.transport.stage import WITHIN_S, Stage, open_stage

CALLERS = {"stranger": {}, "user": {"authorization": "Bearer user:7"}, "admin": {"authorization": "Bearer admin"}}


async def ask(stage: Stage, who: str, query: str, *, explain: object = True) -> dict[str, Any]:
    body = {"query": query, "extensions": {"explain": explain}}
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json=body, headers=CALLERS[who])
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("who", ["stranger", "user"])
async def test_who_is_no_admin_is_told_nothing_and_nothing_is_run(who: str) -> None:
    async with open_stage() as stage:
        answer = await ask(stage, who, "{ hello }")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert "data" not in answer


async def test_an_admin_is_told_each_field_with_its_time() -> None:
    async with open_stage() as stage:
        answer = await ask(stage, "admin", "{ again: hello }")
        plain = await ask(stage, "admin", "{ again: hello }", explain=False)
    told = answer["extensions"]["explain"]
    assert told["runBy"] == "plan"
    assert [(item["path"], item["level"], item["rows"], item["statements"]) for item in told["fields"]] == [("again", 0, 1, [])]
    assert 0 <= told["fields"][0]["tookMs"] <= told["tookMs"]
    assert "again: " in explanation_text(told)
    assert answer["data"] == plain["data"]
    assert "extensions" not in plain


async def test_what_graphql_core_runs_is_said_to_be_run_by_it() -> None:
    async with open_stage(introspection="admins") as stage:
        answer = await ask(stage, "admin", "{ __schema { queryType { name } } }")
    told = answer["extensions"]["explain"]
    assert (told["runBy"], told["why"], told["statements"]) == ("graphql-core", "introspection", [])
    assert "graphql-core" in explanation_text(told)
