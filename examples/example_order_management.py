"""Place a dry-run order and wait for its fill, list orders, cancel one: no request is sent to any exchange."""

from __future__ import annotations

import time
import uuid
from decimal import Decimal

import httpx
from demo import TRADER, answered, demo_server, rest_client

FILLED_S = 60.0

PLACE = """
  mutation Place($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      order { id orderId clientOrderId status side quantity filledQuantity dryRun }
      userErrors { code message path }
    }
  }
"""
CANCEL = "mutation ($id: ID!) { cancelOrder(input: { id: $id }) { order { status } userErrors { code message } } }"
STATE = "query ($id: ID!) { order(id: $id) { status filledQuantity averagePrice dryTrades { quantity price fee } } }"


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http:

        def ask(query: str, **variables: object) -> dict[str, dict[str, object]]:
            body = answered(http.post(f"{url}/graphql", json={"query": query, "variables": variables}))
            assert "errors" not in body, body
            found: dict[str, dict[str, object]] = body["data"]
            return found

        account = ask("{ me { exchangeAccounts { id } } }")["me"]["exchangeAccounts"]
        assert isinstance(account, list)
        key = f"example-{uuid.uuid4().hex[:12]}"
        order = {"exchangeAccountId": account[0]["id"], "symbol": "BTC/USD", "side": "BUY", "clientOrderId": key}
        order |= {"type": "MARKET", "quantity": "0.01"}

        placed = ask(PLACE, input=order)["placeOrder"]
        assert placed["userErrors"] == [], placed
        first = dict(placed["order"])  # type: ignore[call-overload]
        assert first["dryRun"] is True
        again = dict(ask(PLACE, input=order)["placeOrder"]["order"])  # type: ignore[call-overload]
        assert again["id"] == first["id"], "placing twice with one clientOrderId made two orders"
        print(f"placed order {first['orderId']}; placing it again gave the same one")

        until = time.monotonic() + FILLED_S
        while (state := ask(STATE, id=first["id"])["order"])["status"] != "FILLED":
            assert time.monotonic() < until, f"not filled after {FILLED_S:.0f} s: {state}"
            time.sleep(0.2)
        assert Decimal(str(state["filledQuantity"])) == Decimal("0.01")
        print(f"{state['status']}: {state['filledQuantity']} at {state['averagePrice']}, fills {state['dryTrades']}")

        bad = ask(PLACE, input={**order, "quantity": "-1", "clientOrderId": f"{key}-bad"})["placeOrder"]
        assert bad["order"] is None
        assert bad["userErrors"] == [
            {"code": "BAD_USER_INPUT", "message": "quantity was -1, must be above 0", "path": ["input", "quantity"]}
        ]
        print(f"refused: {bad['userErrors']}")

        over_rest(http, first["orderId"])

        far = order | {"type": "LIMIT", "price": "1000.0", "clientOrderId": f"{key}-far"}
        waiting = dict(ask(PLACE, input=far)["placeOrder"]["order"])  # type: ignore[call-overload]
        canceled = ask(CANCEL, id=waiting["id"])["cancelOrder"]
        assert canceled["userErrors"] == [], canceled
        until = time.monotonic() + FILLED_S
        while ask(STATE, id=waiting["id"])["order"]["status"] != "CANCELED":
            assert time.monotonic() < until, "not canceled in time"
            time.sleep(0.2)
        print(f"canceled order {waiting['orderId']}")


def over_rest(http: httpx.Client, order_id: object) -> None:
    """The same order as programs see it that speak REST."""
    (bot, *_) = answered(http.get("/orm/bots/by-user", params={"user_id": answered(http.get("/orm/users/me"))["uid"]}))
    asked = {"bot_id": bot["bot_id"], "symbol": "BTC/USD", "side": "buy", "volume": 0.5}
    limit = answered(http.post("/orm/orders/", json=asked | {"order_type": "limit", "price": 1000.5, "dry_run": True}))
    assert (limit["symbol"], limit["volume"], limit["price"]) == ("BTC/USD", 0.5, 1000.5)

    history = answered(http.get("/orm/orders/history", params={"symbol": "BTC/USD"}))
    assert {order_id, limit["order_id"]} <= {row["order_id"] for row in history}
    assert limit["order_id"] in {row["order_id"] for row in answered(http.get("/orm/orders/open"))}
    of_bot = answered(http.get("/orm/orders/by-bot", params={"bot_id": bot["bot_id"]}))
    assert {row["bot_id"] for row in of_bot} == {bot["bot_id"]}
    assert {row["symbol"] for row in answered(http.get("/orm/orders/by-symbol", params={"symbol": "ETH/USD"}))} == {"ETH/USD"}
    stats = answered(http.get("/orm/orders/stats"))
    assert stats["filled_orders"] >= 1
    print(f"orders: {stats['total_orders']}, by status {stats['by_status']}")

    done = answered(http.put(f"/orm/orders/{limit['order_id']}/status", json={"status": "canceled"}))
    assert done["status"] == "canceled"
    missing = answered(http.post("/orm/orders/", json={"symbol": "BTC/USD", "side": "buy", "order_type": "market"}), 422)
    assert missing["detail"][0]["loc"] == ["body", "volume"]
    print("an order without a volume: 422")


if __name__ == "__main__":
    main()
