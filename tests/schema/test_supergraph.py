"""The federated graph composes with another subgraph, and a real router joins both."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from graphql import ObjectTypeDefinitionNode, parse
from graphql import build_schema as read_schema

from fullon_master_api.schema import build_schema
from fullon_master_api.schema.federation import KEYS, NODES, federated_sdl
from tests.e2e.running import DemoProcess, ask, codes_of, data_of
from tests.npm import NODE, install_program

HERE = Path(__file__).parent / "supergraph"


def test_the_plain_graph_has_nothing_of_federation() -> None:
    plain = build_schema().as_str()

    assert "_entities" not in plain
    assert "_service" not in plain
    assert "@key" not in plain


def test_the_federated_graph_is_the_plain_one_with_two_root_fields_more() -> None:
    plain, federated = (read_schema(build_schema(federated=federated).as_str()) for federated in (False, True))

    assert plain.query_type is not None
    assert federated.query_type is not None
    assert set(federated.query_type.fields) - set(plain.query_type.fields) == {"_service", "_entities"}
    assert set(federated.type_map) - set(plain.type_map) == {"_Any", "_Entity", "_Service"}
    assert {kind.name for kind in federated.get_possible_types(federated.type_map["_Entity"])} == set(KEYS)  # type: ignore[arg-type]


def test_every_node_has_a_key_and_every_admin_field_a_tag() -> None:
    sdl = federated_sdl(build_schema().as_str())

    fields = [
        (f"{kind.name.value}.{field.name.value}", field)
        for kind in parse(sdl).definitions
        if isinstance(kind, ObjectTypeDefinitionNode)
        for field in kind.fields or ()
    ]
    tagged = {name for name, field in fields if field.directives}
    assert tagged == {name for name, field in fields if field.description and "Admins only" in field.description.value}
    assert tagged >= {"Query.users", "Query.services", "Query.auditTrail", "Mutation.startService", "Subscription.services"}
    assert sdl.count('@key(fields: "id")') == len(NODES)
    assert "type PageInfo @shareable {" in sdl


def check_entities(demo: DemoProcess) -> None:
    """Each representation has its own answer: another's things are null, nonsense is an error at its place."""
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on Bot { name } ... on Exchange { name } } }"
    with demo.client("admin@fullon") as admin, demo.client("trader@fullon") as trader:
        me = data_of(admin, "{ me { id } }")["me"]["id"]
        bot = data_of(trader, "{ me { bots(first: 1) { nodes { id name } } } }")["me"]["bots"]["nodes"][0]
        asked = [
            {"__typename": "User", "id": me},
            {"__typename": "Bot", "id": bot["id"]},
            {"__typename": "Bot", "id": me},
            {"__typename": "Exchange", "name": "kraken"},
            {"__typename": "Exchange", "name": "no such"},
            {"__typename": "Candle", "close": "1"},
            {"__typename": "Bot", "id": bot["id"]},
        ]
        found = ask(trader, query, r=asked)
        mine = {"__typename": "Bot", "name": bot["name"]}
        kraken = {"__typename": "Exchange", "name": "kraken"}
        assert found["data"]["_entities"] == [None, mine, None, kraken, None, None, mine]
        assert [(error["path"], error["extensions"]["code"]) for error in found["errors"]] == [
            (["_entities", 5], "BAD_USER_INPUT")
        ]
        many = ask(trader, query, r=[{"__typename": "Bot", "id": bot["id"]}] * 5_001)
        assert codes_of(many) == ["BAD_USER_INPUT"]
    stranger = httpx.post(f"{demo.url}/graphql", json={"query": query, "variables": {"r": asked}}, timeout=30)
    assert codes_of(stranger.json()) == ["UNAUTHENTICATED"]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_router_joins_us_with_another_subgraph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await install_program(HERE, tmp_path)
    monkeypatch.setenv("FEDERATION_ENABLED", "true")
    demo = await asyncio.to_thread(DemoProcess.start, tmp_path)
    try:
        token = await asyncio.to_thread(demo.token, "trader@fullon")
        process = await asyncio.create_subprocess_exec(
            str(NODE), "join.mjs", demo.url, token, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        told, errors = await asyncio.wait_for(process.communicate(), 300)
        await asyncio.to_thread(check_entities, demo)
    finally:
        assert await asyncio.to_thread(demo.stop) == 0
    assert process.returncode == 0, told.decode() + errors.decode()
    found = {name: value for line in told.decode().splitlines() for name, value in json.loads(line).items()}
    assert found["by name, in one request"] == ["BTC/USD", "ETH/USD"]
    assert found["by id, in one request"] > 0
    assert found["traced"] > 4
    assert found["from us to them"] == 2
