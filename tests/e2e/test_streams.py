"""Every subscription of the graph, over a real socket: an order is placed and seen by each stream that tells of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from fullon_master_api.bus import orders_topic, trades_topic
from fullon_master_api.executor.live import stream_cursor
from fullon_master_api.resolvers.identity import number_of
from tests.e2e.running import DemoProcess, data_of, socket_to

WITHIN_S = 60
ORDERS = "subscription($after: String) { orders(after: $after) { cursor snapshot order { clientOrderId status dryRun } } }"
TRADES = """subscription($after: String) {
  trades(after: $after) { trade { exchangeOrderId symbolName side quantity } dryTrade { symbolName quantity side } } }"""
LIVE = "{ trades(first: 500) { nodes { exchangeOrderId } } }"
PLACE = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { message } } }"


class Socket:
    """A graphql-transport-ws client that keeps one stream for each id."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: dict[str, list[Any]] = {}

    async def subscribe(self, name: str, query: str, **variables: object) -> None:
        payload = {"query": query, "variables": variables}
        await self._socket.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))

    async def next(self, name: str) -> Any:
        """The next event of a stream; a refusal of it fails the test."""
        async with asyncio.timeout(WITHIN_S):
            while not self._waiting.get(name):
                message = json.loads(await self._socket.recv())
                assert message["type"] in ("next", "ping"), message
                if message["type"] == "next":
                    assert "errors" not in message["payload"], message
                    self._waiting.setdefault(message["id"], []).append(message["payload"]["data"])
        return self._waiting[name].pop(0)


@asynccontextmanager
async def socket_of(demo: DemoProcess, mail: str) -> AsyncIterator[Socket]:
    token = await asyncio.to_thread(demo.token, mail)
    async with socket_to(demo.url) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        yield Socket(socket)


def since_the_beginning(client: httpx.Client, topic_of: Callable[[int], str]) -> str:
    """A cursor before everything that a stream of the client's own ever told: whenever it stands, it misses nothing."""
    uid = number_of("User", data_of(client, "{ me { id } }")["me"]["id"], argument="id")
    return stream_cursor(topic_of(uid), 0)


def place(client: httpx.Client, **changed: object) -> str:
    """A market order of the trader; its client order id."""
    account = data_of(client, "{ me { exchangeAccounts { id } } }")["me"]["exchangeAccounts"][0]["id"]
    key = f"test-{uuid.uuid4().hex[:12]}"
    order = {"exchangeAccountId": account, "symbol": "ETH/USD", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    payload = data_of(client, PLACE, input=order | {"clientOrderId": key} | changed)["placeOrder"]
    assert payload["userErrors"] == []
    return key


async def test_a_dry_run_order_is_seen_by_orders_and_trades(demo: DemoProcess, trader: httpx.Client) -> None:
    async with socket_of(demo, "trader@fullon") as socket:
        for name, query, topic_of in (("orders", ORDERS, orders_topic), ("trades", TRADES, trades_topic)):
            await socket.subscribe(name, query, after=await asyncio.to_thread(since_the_beginning, trader, topic_of))
        key = await asyncio.to_thread(place, trader, quantity="0.1234")  # Of no other order.

        statuses, cursors = [], []
        while "FILLED" not in statuses:
            event = (await socket.next("orders"))["orders"]
            if event["order"]["clientOrderId"] == key:
                statuses.append(event["order"]["status"])
                cursors.append(event["cursor"])
        assert statuses[0] in ("NEW", "PENDING", "OPEN")
        while (fill := (await socket.next("trades"))["trades"])["dryTrade"] is None or fill["dryTrade"]["quantity"] != "0.1234":
            continue
        assert fill["trade"] is None
        assert fill["dryTrade"] == {"symbolName": "ETH/USD", "quantity": "0.1234", "side": "BUY"}

        await socket.subscribe("again", f'subscription {{ orders(after: "{cursors[0]}") {{ cursor order {{ status }} }} }}')
        resumed = [(await socket.next("again"))["orders"] for _ in cursors[1:]]
        assert [event["cursor"] for event in resumed] == cursors[1:]


async def test_a_live_order_moves_the_account(demo: DemoProcess, trader: httpx.Client) -> None:
    account = data_of(trader, "{ me { exchangeAccounts { id } } }")["me"]["exchangeAccounts"][0]["id"]
    query = "subscription($id: ID!) { account(exchangeAccountId: $id) { snapshot balances { currency total } } }"
    async with socket_of(demo, "trader@fullon") as socket:
        await socket.subscribe("account", query, id=account)
        first = (await socket.next("account"))["account"]
        assert first["snapshot"] is True
        start = await asyncio.to_thread(since_the_beginning, trader, trades_topic)
        await socket.subscribe("trades", TRADES, after=start)
        known = {row["exchangeOrderId"] for row in data_of(trader, LIVE)["trades"]["nodes"]}
        await asyncio.to_thread(place, trader, symbol="BTC/USD", quantity="0.01", dryRun=False)

        filled = Decimal(0)
        while filled < Decimal("0.01"):  # One order may be filled in parts.
            fill = (await socket.next("trades"))["trades"]["trade"]
            if fill is not None and fill["exchangeOrderId"] not in known:
                assert (fill["symbolName"], fill["side"]) == ("BTC/USD", "BUY")
                filled += Decimal(fill["quantity"])
        assert filled == Decimal("0.01")
        before = {row["currency"]: row["total"] for row in first["balances"]}
        while True:
            event = (await socket.next("account"))["account"]
            after = {row["currency"]: row["total"] for row in event["balances"] or []}
            if after and after.get("BTC") != before.get("BTC"):
                break
        assert event["snapshot"] is False


async def test_market_data_streams(demo: DemoProcess) -> None:
    async with socket_of(demo, "trader@fullon") as socket:
        await socket.subscribe(
            "ticker", 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { bid symbol { symbol } } }'
        )
        await socket.subscribe(
            "tickers",
            'subscription { tickers(exchange: "kraken", symbols: ["BTC/USD", "ETH/USD"]) { sequence gap tickers { bid } } }',
        )
        await socket.subscribe(
            "candle",
            'subscription { candle(exchange: "kraken", symbol: "BTC/USD", timeframe: MINUTE_1, snapshot: false) { close } }',
        )
        await socket.subscribe(
            "public", 'subscription { publicTrades(exchange: "kraken", symbol: "BTC/USD") { trades { price } } }'
        )

        assert (await socket.next("ticker"))["ticker"]["symbol"] == {"symbol": "BTC/USD"}
        sequences = [int((await socket.next("tickers"))["tickers"]["sequence"]) for _ in range(3)]
        assert sequences == [sequences[0], sequences[0] + 1, sequences[0] + 2]
        assert (await socket.next("candle"))["candle"]["close"]
        assert (await socket.next("public"))["publicTrades"]["trades"][0]["price"]


async def test_admins_watch_the_services(demo: DemoProcess, admin: httpx.Client) -> None:
    async with socket_of(demo, "admin@fullon") as socket:
        await socket.subscribe("services", "subscription { services { cursor service { name state } } }")
        await socket.next("services")  # What is true now is told, and whatever comes after it will be.
        restart = "mutation { restartService(input: { name: TICKER }) { service { state } } }"
        await asyncio.to_thread(data_of, admin, restart)

        states: list[str] = []
        while states[-1:] != ["RUNNING"] or ("STOPPED" not in states and "STARTING" not in states):
            event = (await socket.next("services"))["services"]
            if event["service"]["name"] == "TICKER":
                states.append(event["service"]["state"])
        assert states[-1] == "RUNNING"


@pytest.mark.parametrize(
    "query",
    [
        "subscription { services { cursor } }",
        'subscription { ticker(exchange: "kraken", symbol: "NOT/THERE") { bid } }',
        'subscription { account(exchangeAccountId: "1") { cursor } }',
        'subscription { orders(after: "garbage") { cursor } }',
        'subscription { candle(exchange: "kraken", symbol: "BTC/USD", timeframe: MINUTE_1, minInterval: -1) { close } }',
    ],
    ids=["forbidden", "unknown symbol", "somebody else's account", "bad cursor", "bad interval"],
)
async def test_a_stream_that_may_not_be_is_refused_and_the_socket_stays(demo: DemoProcess, query: str) -> None:
    token = await asyncio.to_thread(demo.token, "trader@fullon")
    async with socket_to(demo.url) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"token": token}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        refused = json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S))
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] in {"FORBIDDEN", "NOT_FOUND", "BAD_CURSOR", "BAD_USER_INPUT"}

        await socket.send(json.dumps({"id": "2", "type": "subscribe", "payload": {"query": "{ me { mail } }"}}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S))
        assert answer["payload"]["data"]["me"]["mail"] == "trader@fullon"


async def test_an_admin_closes_the_sockets_of_a_user(demo: DemoProcess, admin: httpx.Client) -> None:
    async with socket_of(demo, "trader@fullon") as socket:
        await socket.subscribe("me", "{ me { id } }")
        uid = (await socket.next("me"))["me"]["id"]
        change = "mutation($id: ID!) { disconnectUser(input: { id: $id }) { user { mail } userErrors { code } } }"
        closed = await asyncio.to_thread(data_of, admin, change, id=uid)
        assert closed["disconnectUser"]["user"] == {"mail": "trader@fullon"}

        async with asyncio.timeout(WITHIN_S):
            await socket._socket.wait_closed()
        assert socket._socket.close_code in (4401, 4403)


def test_figures_are_for_admins(admin: httpx.Client, trader: httpx.Client, stranger: httpx.Client) -> None:
    figures = admin.get("/metrics")

    assert figures.status_code == 200
    assert "# HELP" in figures.text
    assert (trader.get("/metrics").status_code, stranger.get("/metrics").status_code) == (403, 401)
