"""Who may what, field by field: every query, mutation and subscription of the graph, asked by every kind of caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fullon_master_api.schema import build_schema
from tests.e2e.running import ANSWER_S, DemoProcess, ask, codes_of, data_of, socket_to

ADMINS_ONLY = {"users", "exchangeAccounts", "services", "service", "processes", "auditTrail"}
QUERIES = {
    "me": "{ me { mail } }",
    "node": '{ node(id: "U3ltYm9sOjE") { id } }',
    "exchange": '{ exchange(name: "kraken") { name } }',
    "exchanges": "{ exchanges { nodes { name } } }",
    "symbol": '{ symbol(exchange: "kraken", symbol: "BTC/USD") { symbol } }',
    "symbols": "{ symbols { nodes { symbol } } }",
    "ticker": '{ ticker(exchange: "kraken", symbol: "BTC/USD") { last } }',
    "tickers": '{ tickers(exchange: "kraken") { last } }',
    "bot": '{ bot(id: "1") { name } }',
    "bots": "{ bots { nodes { name } } }",
    "order": '{ order(id: "1") { side } }',
    "orders": "{ orders { nodes { side } } }",
    "trades": "{ trades { nodes { side } } }",
    "strategies": "{ strategies { nodes { name } } }",
    "exchangeAccounts": "{ exchangeAccounts { nodes { name } } }",
    "users": "{ users { nodes { mail } } }",
    "services": "{ services { name } }",
    "service": "{ service(name: TICKER) { name } }",
    "processes": "{ processes { id } }",
    "auditTrail": "{ auditTrail { nodes { action } } }",
}

OPEN_MUTATIONS = {"login", "refreshToken", "logout"}
ADMIN_MUTATIONS = {
    "createUser": 'createUser(input: { mail: "x@y", password: "long enough" }) { userErrors { code } }',
    "deleteUser": 'deleteUser(input: { id: "999999" }) { userErrors { code } }',
    "disconnectUser": 'disconnectUser(input: { id: "999999" }) { userErrors { code } }',
    "createSymbol": 'createSymbol(input: { exchangeId: "1", symbol: "DOGE/USD" }) { userErrors { code } }',
    "updateSymbol": 'updateSymbol(input: { id: "999999" }) { userErrors { code } }',
    "deleteSymbol": 'deleteSymbol(input: { id: "999999" }) { userErrors { code } }',
    "startService": "startService(input: { name: TICKER }) { userErrors { code } }",
    "stopService": "stopService(input: { name: HEALTH_MONITOR }) { userErrors { code } }",
    "restartService": "restartService(input: { name: HEALTH_MONITOR }) { userErrors { code } }",
}
OWN_MUTATIONS = {
    # What a writer may do to their own things; the things named here are of nobody, or of the admin.
    "updateUser": 'updateUser(input: { id: "1", name: "mallory" }) { userErrors { code } }',
    "changePassword": 'changePassword(input: { id: "1", password: "long enough" }) { userErrors { code } }',
    "updateExchangeAccount": 'updateExchangeAccount(input: { id: "1", name: "mine" }) { userErrors { code } }',
    "deleteExchangeAccount": 'deleteExchangeAccount(input: { id: "1" }) { userErrors { code } }',
    "updateBot": 'updateBot(input: { id: "1", name: "mine" }) { userErrors { code } }',
    "deleteBot": 'deleteBot(input: { id: "1" }) { userErrors { code } }',
    "updateStrategy": 'updateStrategy(input: { id: "1", active: false }) { userErrors { code } }',
    "deleteStrategy": 'deleteStrategy(input: { id: "1" }) { userErrors { code } }',
    "createStrategy": 'createStrategy(input: { botId: "1", strategyTemplateId: "1" }) { userErrors { code } }',
    "createFeed": 'createFeed(input: { strategyId: "1", symbolId: "1", period: "Ticks" }) { userErrors { code } }',
    "updateFeed": 'updateFeed(input: { id: "1", compression: 9 }) { userErrors { code } }',
    "deleteFeed": 'deleteFeed(input: { id: "1" }) { userErrors { code } }',
    "placeOrder": """placeOrder(input: { exchangeAccountId: "1", symbol: "BTC/USD", side: BUY, type: MARKET, quantity: "1" })
        { userErrors { code } }""",
    "cancelOrder": 'cancelOrder(input: { id: "999999" }) { userErrors { code } }',
}
HARMLESS_MUTATIONS = {
    # These make something of the caller's own; a reader must be refused, a writer is shown elsewhere.
    "createBot": 'createBot(input: { name: "x" }) { userErrors { code } }',
    "createApiKey": 'createApiKey(input: { name: "x", scopes: [READ] }) { userErrors { code } }',
    "createExchangeAccount": 'createExchangeAccount(input: { exchangeId: "1", name: "x" }) { userErrors { code } }',
}
FREE_MUTATIONS = {"revokeApiKey": 'revokeApiKey(input: { id: "999999" }) { userErrors { code } }'}
"""A key may always end itself, so a reader is not refused as such: what is not theirs is not found."""

STREAMS = {
    "ticker": 'ticker(exchange: "kraken", symbol: "BTC/USD") { last }',
    "tickers": 'tickers(exchange: "kraken", symbols: ["BTC/USD"]) { sequence }',
    "candle": 'candle(exchange: "kraken", symbol: "BTC/USD", timeframe: MINUTE_1) { close }',
    "publicTrades": 'publicTrades(exchange: "kraken", symbol: "BTC/USD") { trades { price } }',
    "orders": "orders { cursor }",
    "trades": "trades { cursor }",
    "account": 'account(exchangeAccountId: "1") { cursor }',
    "services": "services { cursor }",
}
NOT_YOURS = {"account": "NOT_FOUND", "services": "FORBIDDEN"}


@pytest.fixture(scope="module")
def reader(demo: DemoProcess) -> Iterator[httpx.Client]:
    """The trader, with a key that may only read."""
    with demo.client("trader@fullon") as trader:
        made = data_of(trader, 'mutation { createApiKey(input: { name: "reader", scopes: [READ] }) { key apiKey { id } } }')
        with httpx.Client(base_url=demo.url, headers={"X-API-Key": made["createApiKey"]["key"]}, timeout=ANSWER_S) as client:
            yield client


@pytest.fixture(scope="module")
def ghost(demo: DemoProcess) -> Iterator[httpx.Client]:
    """Somebody with a good token who was switched off since."""
    with demo.client("admin@fullon") as admin:
        made = data_of(
            admin,
            'mutation { createUser(input: { mail: "ghost@fullon", password: "password" }) { user { id } userErrors { code } } }',
        )
        assert made["createUser"]["userErrors"] == []
        with demo.client("ghost@fullon") as client:
            off = "mutation($id: ID!) { updateUser(input: { id: $id, active: false }) { userErrors { code } } }"
            assert data_of(admin, off, id=made["createUser"]["user"]["id"])["updateUser"]["userErrors"] == []
            yield client


def test_the_tables_below_name_every_field_of_the_graph() -> None:
    schema = build_schema()._schema
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert schema.subscription_type is not None
    assert set(QUERIES) == set(schema.query_type.fields)
    known = OPEN_MUTATIONS | {*ADMIN_MUTATIONS, *OWN_MUTATIONS, *HARMLESS_MUTATIONS, *FREE_MUTATIONS}
    assert known == set(schema.mutation_type.fields)
    assert set(STREAMS) == set(schema.subscription_type.fields)


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_answers_who_may_ask(
    name: str, stranger: httpx.Client, trader: httpx.Client, reader: httpx.Client, admin: httpx.Client, ghost: httpx.Client
) -> None:
    query = QUERIES[name]
    refused = ["FORBIDDEN"] if name in ADMINS_ONLY else []

    assert codes_of(ask(stranger, query)) == ["UNAUTHENTICATED"]
    assert codes_of(ask(trader, query)) == refused
    assert codes_of(ask(reader, query)) == refused
    assert codes_of(ask(admin, query)) == []
    assert (ghost.post("/graphql", json={"query": query})).status_code == 401


@pytest.mark.parametrize("name", sorted({**ADMIN_MUTATIONS, **OWN_MUTATIONS, **HARMLESS_MUTATIONS}))
def test_a_mutation_changes_only_for_who_may(
    name: str, stranger: httpx.Client, trader: httpx.Client, reader: httpx.Client, ghost: httpx.Client
) -> None:
    query = f"mutation {{ {({**ADMIN_MUTATIONS, **OWN_MUTATIONS, **HARMLESS_MUTATIONS})[name]} }}"

    assert codes_of(ask(stranger, query)) == ["UNAUTHENTICATED"]
    assert codes_of(ask(reader, query)) == ["FORBIDDEN"]
    assert (ghost.post("/graphql", json={"query": query})).status_code == 401
    if name in ADMIN_MUTATIONS:
        assert codes_of(ask(trader, query)) == ["FORBIDDEN"]
    if name in OWN_MUTATIONS:
        answer = ask(trader, query)
        found = codes_of(answer) or [error["code"] for error in answer["data"][name]["userErrors"]]
        assert found
        assert set(found) <= {"NOT_FOUND", "BAD_USER_INPUT"}, "what is not yours answers as if it did not exist"


def test_a_key_that_is_not_yours_cannot_be_revoked(trader: httpx.Client, reader: httpx.Client, stranger: httpx.Client) -> None:
    query = f"mutation {{ {FREE_MUTATIONS['revokeApiKey']} }}"

    for client in (trader, reader):
        payload = ask(client, query)
        codes = codes_of(payload) or [error["code"] for error in payload["data"]["revokeApiKey"]["userErrors"]]
        assert set(codes) <= {"NOT_FOUND", "FORBIDDEN"}
        assert codes
    assert codes_of(ask(stranger, query)) == ["UNAUTHENTICATED"]


def test_what_the_admin_owns_is_as_it_was(admin: httpx.Client) -> None:
    mine = data_of(
        admin, "{ me { name bots { nodes { name strategies { active feeds { compression } } } } exchangeAccounts { name } } }"
    )

    assert mine["me"]["name"] == "robert"
    assert "mine" not in json.dumps(mine)
    assert all(strategy["active"] for bot in mine["me"]["bots"]["nodes"] for strategy in bot["strategies"])


async def until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """What arrives, whatever the code that it ends with."""
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def first_word(demo: DemoProcess, token: str | None, query: str, *, may_be_silent: bool = False) -> Any:
    """What a socket says to a subscription: `next`, the codes of an `error`, or how it was closed.

    One that `may_be_silent`, because nothing happens, and is not refused within a second counts as `next`.
    """
    async with socket_to(demo.url) as socket:
        payload = {} if token is None else {"token": token}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        async with asyncio.timeout(ANSWER_S):
            async for text in until_closed(socket):
                message = json.loads(text)
                if message["type"] == "connection_ack":
                    request = {"id": "1", "type": "subscribe", "payload": {"query": query}}
                    await socket.send(json.dumps(request))
                    await socket.send(json.dumps({"type": "ping", "payload": {"after": "subscribe"}}))
                if message["type"] == "error":
                    return [error["extensions"]["code"] for error in message["payload"]]
                if message["type"] == "next":
                    return "next"
                if may_be_silent and message["type"] == "pong" and (message.get("payload") or {}).get("after"):
                    await asyncio.sleep(0.7)  # A stream without news is silent: being refused would have been said by now.
                    await socket.send(json.dumps({"id": "1", "type": "complete"}))
                    await socket.send(json.dumps({"type": "ping", "payload": {"after": None, "end": True}}))
                if message["type"] == "pong" and (message.get("payload") or {}).get("end"):
                    return "next"
    return socket.close_code


@pytest.mark.parametrize("name", sorted(STREAMS))
async def test_a_stream_opens_for_who_may_watch(name: str, demo: DemoProcess, ghost: httpx.Client) -> None:
    query = f"subscription {{ {STREAMS[name]} }}"
    trader, admin = await asyncio.to_thread(demo.token, "trader@fullon"), await asyncio.to_thread(demo.token, "admin@fullon")

    assert await first_word(demo, None, query) in (["UNAUTHENTICATED"], 4401, 4403)
    expected: Any = [NOT_YOURS[name]] if name in NOT_YOURS else "next"
    assert await first_word(demo, trader, query, may_be_silent=expected == "next") == expected
    assert await first_word(demo, admin, query, may_be_silent=True) == "next"
    assert await first_word(demo, ghost.headers["Authorization"].removeprefix("Bearer "), query) in (4401, 4403)
