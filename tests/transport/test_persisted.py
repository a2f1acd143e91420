"""Operations that are sent by their hash, and what runs where only trusted documents may."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from fullon_master_api.settings import Settings
from fullon_master_api.transport.persisted import PersistedDocuments
from fullon_master_api.transport.protocols import read_operation
from tests.transport.stage import WITHIN_S, Stage, connect, open_stage

HELLO = "{ hello }"
WHOAMI = "{ whoami }"
ANSWER = {"data": {"hello": "hello world"}}


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


async def test_a_hash_is_learnt_with_its_text_and_then_runs_alone(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        unknown = await http.post(stage.url, json=persisted(HELLO))
        learnt = await http.post(stage.url, json={"query": HELLO, **persisted(HELLO)})
        alone = await http.post(stage.url, json=persisted(HELLO))
        by_id = await http.post(stage.url, json={"documentId": f"sha256:{hash_of(HELLO)}"})

    assert (code_of(unknown), unknown.json()["errors"][0]["message"]) == ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    assert [answer.json() for answer in (learnt, alone, by_id)] == [ANSWER] * 3


async def test_a_hash_runs_by_get_as_apollo_clients_ask(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        await http.post(stage.url, json={"query": HELLO, **persisted(HELLO)})
        params = {"extensions": json.dumps(persisted(HELLO)["extensions"]), "variables": "{}"}
        answer = await http.get(stage.url, params=params)
        foreign = await http.get(stage.url, params=params, headers={"origin": "https://evil.example"})

    assert answer.json() == ANSWER
    assert (foreign.status_code, code_of(foreign)) == (403, "FORBIDDEN")


async def test_a_hash_runs_over_a_socket(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload=persisted(HELLO))
        refused = await client.hear()
        await client.say("subscribe", id="2", payload={"query": HELLO, **persisted(HELLO)})
        first, _complete = await client.hear(), await client.hear()
        await client.say("subscribe", id="3", payload=persisted(HELLO))
        second = await client.hear()

    assert refused["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert [first["payload"], second["payload"]] == [ANSWER, ANSWER]


async def test_a_hash_of_another_text_is_refused_and_nothing_is_learnt(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        wrong = await http.post(stage.url, json={"query": WHOAMI, **persisted(HELLO)})
        after = await http.post(stage.url, json=persisted(HELLO))

    assert (code_of(wrong), code_of(after)) == ("BAD_USER_INPUT", "PERSISTED_QUERY_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "nothing"},
        {"documentId": 1},
        {"documentId": "sha256:" + "g" * 64},
        {"extensions": {"persistedQuery": 1}},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "0" * 64}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {}},
    ],
)
async def test_a_hash_that_is_none_is_bad_input(stage: Stage, body: dict[str, Any]) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        answer = await http.post(stage.url, json=body)

    assert (answer.status_code, code_of(answer)) == (400, "BAD_USER_INPUT")


async def test_a_server_that_remembers_nothing_says_so() -> None:
    async with open_stage(persisted_queries_max=0) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        with_text = await http.post(stage.url, json={"query": HELLO, **persisted(HELLO)})
        alone = await http.post(stage.url, json=persisted(HELLO))

    assert with_text.json() == ANSWER
    assert (code_of(alone), alone.json()["errors"][0]["message"]) == (
        "PERSISTED_QUERY_NOT_SUPPORTED",
        "PersistedQueryNotSupported",
    )


async def test_what_is_remembered_for_clients_is_bounded_in_number_and_in_bytes() -> None:
    settings = Settings(_env_file=None, persisted_queries_max=3, persisted_queries_bytes_max=1_000)
    documents = PersistedDocuments(settings)
    small = [f"{{ hello(name: {number}) }}" for number in range(5)]
    large = [f"{{ hello }} #{'x' * 600}{number}" for number in range(2)]
    for text in [*small, *large]:
        await documents.read(read_operation({"query": text, **persisted(text)}), None)

    assert documents._sent._bytes == len(large[1])
    assert len(documents._sent) == 1


async def test_only_trusted_documents_run_where_the_setting_says_so_and_admins_are_free() -> None:
    trusted = {hash_of(HELLO): HELLO}
    admin = {"authorization": "Bearer admin"}

    async def find(sha256: str) -> str | None:
        return trusted.get(sha256)

    async with open_stage(find_document=find, trusted_documents_only=True) as stage, httpx.AsyncClient(timeout=WITHIN_S) as http:
        by_hash = await http.post(stage.url, json={"documentId": hash_of(HELLO)})
        by_text = await http.post(stage.url, json={"query": HELLO})
        other = await http.post(stage.url, json={"query": "{ hello whoami }"})
        learnt = await http.post(stage.url, json={"query": WHOAMI, **persisted(WHOAMI)})
        by_admin = await http.post(stage.url, json={"query": WHOAMI, **persisted(WHOAMI)}, headers=admin)
        unknown = await http.post(stage.url, json=persisted(WHOAMI))
        async with connect(stage, init=None) as client:
            await client.say("subscribe", id="1", payload={"query": WHOAMI})
            refused = await client.hear()

    assert [by_hash.json(), by_text.json()] == [ANSWER, ANSWER]
    assert [code_of(answer) for answer in (other, learnt, unknown)] == ["FORBIDDEN", "FORBIDDEN", "PERSISTED_QUERY_NOT_FOUND"]
    assert by_admin.json() == {"data": {"whoami": "user1@fullon"}}
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")


async def test_a_trusted_document_that_was_removed_runs_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = {hash_of(HELLO): HELLO}
    asked: list[str] = []

    async def find(sha256: str) -> str | None:
        asked.append(sha256)
        return trusted.get(sha256)

    documents = PersistedDocuments(Settings(_env_file=None, persisted_queries_max=0), find)
    now_s = [100.0]
    monkeypatch.setattr("fullon_master_api.transport.persisted.monotonic", lambda: now_s[0])
    operation = read_operation({"documentId": hash_of(HELLO)})
    assert [(await documents.read(operation, None)).query for _ in range(3)] == [HELLO] * 3
    assert asked == [hash_of(HELLO)]

    trusted.clear()
    now_s[0] += 5.0
    with pytest.raises(Exception, match="PersistedQueryNotSupported"):
        await documents.read(operation, None)
