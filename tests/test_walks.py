"""The trading workflow as a trader walks it, over REST and the cache's sockets and over GraphQL: candles, ticker, order, fill."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import connect

from tests.e2e.running import DemoProcess

WITHIN_S: Final = 60.0
TRADER: Final = "trader@fullon"
QUANTITY: Final = Decimal("0.01")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    process = DemoProcess.start(tmp_path_factory.mktemp("walks"))
    yield process
    assert process.stop() == 0


def exact(answer: httpx.Response) -> Any:
    """The JSON of an answer with its numbers as decimals."""
    assert answer.status_code == 200, (str(answer.request.url), answer.status_code, answer.text)
    return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)


async def two_ticks(url: str, token: str) -> list[Decimal]:
    """Two prices of BTC/USD from the cache's socket."""
    address = url.replace("http", "ws", 1) + f"/api/v1/cache/ws/tickers/walk?token={token}"
    async with connect(address, open_timeout=WITHIN_S) as socket, asyncio.timeout(WITHIN_S):
        params = {"exchange": "kraken", "symbols": ["BTC/USD"]}
        await socket.send(json.dumps({"action": "stream_tickers", "request_id": "1", "params": params}))
        assert json.loads(await socket.recv())["success"] is True
        prices: list[Decimal] = []
        while len(prices) < 2:
            message = json.loads(await socket.recv(), parse_float=Decimal, parse_int=Decimal)
            assert (message["action"], message["result"]["symbol"]) == ("ticker_update", "BTC/USD")
            prices.append(message["result"]["price"])
        return prices


def test_a_trader_walks_from_login_to_fill_over_rest(demo: DemoProcess) -> None:
    with httpx.Client(base_url=f"{demo.url}/api/v1", timeout=WITHIN_S) as http:
        login = exact(http.post("/auth/login", data={"username": TRADER, "password": "password"}))
        http.headers["Authorization"] = f"Bearer {login['access_token']}"
        me = exact(http.get("/orm/users/me"))
        assert me["mail"] == TRADER

        until = time.monotonic() + WITHIN_S
        while len(candles := exact(http.get("/ohlcv/candles/kraken/BTC/USD/1m", params={"limit": 10}))["candles"]) < 10:
            assert time.monotonic() < until, f"the history was not filled: {candles}"
            time.sleep(0.2)
        assert all(
            row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"] for row in candles
        )

        prices = asyncio.run(two_ticks(demo.url, login["access_token"]))
        assert all(abs(price / candles[-1]["close"] - 1) < Decimal("0.2") for price in prices)

        bot = exact(http.get("/orm/bots/by-user", params={"user_id": int(me["uid"])}))[0]
        asked = {
            "bot_id": int(bot["bot_id"]),
            "symbol": "BTC/USD",
            "side": "buy",
            "order_type": "market",
            "volume": float(QUANTITY),
        }
        order = exact(http.post("/orm/orders/", json=asked | {"client_order_id": f"walk-{uuid.uuid4().hex[:12]}"}))
        assert (order["volume"], order["dry_run"], order["uid"]) == (QUANTITY, True, me["uid"])

        until = time.monotonic() + WITHIN_S
        while True:
            (now,) = [row for row in exact(http.get("/orm/orders/history")) if row["order_id"] == order["order_id"]]
            if now["status"] == "filled":
                break
            assert time.monotonic() < until, now
            time.sleep(0.1)
        assert now["final_volume"] == QUANTITY
        fills = exact(http.get("/orm/trades/bot", params={"bot_id": int(bot["bot_id"]), "trade_type": "dry"}))
        (fill,) = [row for row in fills if row["order_id"] == order["order_id"]]
        assert (fill["volume"], fill["side"], fill["cost"]) == (QUANTITY, "buy", QUANTITY * fill["price"])
        assert abs(fill["price"] / prices[-1] - 1) < Decimal("0.2")


START: Final = gql("""
  query {
    me { mail exchangeAccounts { id } }
    symbol(exchange: "kraken", symbol: "ETH/USD") {
      ticker { last }
      candles(timeframe: MINUTE_1, limit: 10) { openedAt open high low close }
    }
  }
""")
TICKER: Final = gql('subscription { ticker(exchange: "kraken", symbol: "ETH/USD") { bid ask last sequence } }')
ORDERS: Final = gql("""
  subscription {
    orders(snapshot: true) { cursor snapshot order { id status filledQuantity averagePrice dryTrades { quantity price cost } } }
  }
""")
PLACE: Final = gql("""
  mutation ($input: PlaceOrderInput!) {
    placeOrder(input: $input) { order { id status dryRun quantity } userErrors { code message } }
  }
""")


async def test_a_trader_walks_from_login_to_fill_over_graphql(demo: DemoProcess) -> None:
    token = await asyncio.to_thread(demo.token, TRADER)
    transport = WebsocketsTransport(
        demo.url.replace("http", "ws", 1) + "/graphql",
        init_payload={"authorization": f"Bearer {token}"},
        connect_timeout=WITHIN_S,
        ack_timeout=WITHIN_S,
    )
    async with Client(transport=transport, execute_timeout=WITHIN_S) as session, asyncio.timeout(2 * WITHIN_S):
        while len(candles := (start := await session.execute(START))["symbol"]["candles"]) < 10:
            await asyncio.sleep(0.2)  # The history is being filled.
        assert start["me"]["mail"] == TRADER
        assert [row["openedAt"] for row in candles] == sorted(row["openedAt"] for row in candles)

        sequences: list[int] = []
        ticks = session.subscribe(TICKER)
        async for answer in ticks:
            sequences.append(int(answer["ticker"]["sequence"]))
            if len(sequences) == 2:
                break
        await ticks.aclose()
        assert sequences[0] < sequences[1]

        account = start["me"]["exchangeAccounts"][0]["id"]
        order = {"exchangeAccountId": account, "symbol": "ETH/USD", "side": "BUY", "type": "LIMIT", "quantity": "0.1"}
        # A waiting order begins the snapshot: once it is told the stream stands.
        far = GraphQLRequest(PLACE, variable_values={"input": order | {"price": "100.00"}})
        waiting = (await session.execute(far))["placeOrder"]["order"]
        events = session.subscribe(ORDERS)
        assert (await anext(events))["orders"]["snapshot"] is True
        market = GraphQLRequest(PLACE, variable_values={"input": order | {"type": "MARKET"}})
        placed = (await session.execute(market))["placeOrder"]
        assert placed["userErrors"] == []
        seen: list[dict[str, Any]] = []
        async for answer in events:
            told = answer["orders"]["order"]
            seen += [told] if told["id"] == placed["order"]["id"] else []
            if seen and seen[-1]["status"] == "FILLED":
                break
        await events.aclose()

    assert waiting["id"] not in {told["id"] for told in seen}
    assert seen[0]["status"] != "FILLED"
    (fill,) = seen[-1]["dryTrades"]
    assert Decimal(seen[-1]["filledQuantity"]) == Decimal(fill["quantity"]) == Decimal("0.1")
    assert Decimal(seen[-1]["averagePrice"]) == Decimal(fill["price"])
    assert Decimal(fill["cost"]) == Decimal("0.1") * Decimal(fill["price"])
