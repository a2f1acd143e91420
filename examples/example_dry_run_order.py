"""Place a dry-run order and see it fill, with the `gql` client: no request is sent to any exchange."""

from __future__ import annotations

import asyncio
import uuid

from demo import TRADER, demo_server, log_in
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

ACCOUNTS = gql("{ me { exchangeAccounts { id name exchange { name } } } }")

PLACE = gql("""
  mutation Place($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      order { id clientOrderId status side quantity filledQuantity dryRun }
      userErrors { code message path }
    }
  }
""")

WATCH = gql("""
  subscription Mine {
    orders(snapshot: false) {
      cursor
      order { id clientOrderId status filledQuantity averagePrice }
    }
  }
""")


async def trade(url: str, token: str) -> None:
    transport = WebsocketsTransport(
        url=url.replace("http", "ws", 1) + "/graphql", init_payload={"authorization": f"Bearer {token}"}
    )
    key = f"example-{uuid.uuid4().hex[:12]}"
    async with Client(transport=transport, execute_timeout=20) as session, asyncio.timeout(60):
        accounts = (await session.execute(ACCOUNTS))["me"]["exchangeAccounts"]
        order = {
            "exchangeAccountId": accounts[0]["id"],
            "symbol": "BTC/USD",
            "side": "BUY",
            "type": "MARKET",
            "quantity": "0.01",
            "clientOrderId": key,
        }
        events = session.subscribe(WATCH)
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.5)  # Let the subscription stand before the order is placed.
        placed = (await session.execute(PLACE, variable_values={"input": order}))["placeOrder"]
        assert placed["userErrors"] == [], placed
        assert placed["order"]["dryRun"] is True
        print(f"placed {placed['order']['id']}: {placed['order']['status']}")

        again = (await session.execute(PLACE, variable_values={"input": order}))["placeOrder"]
        assert again["order"]["id"] == placed["order"]["id"], "placing twice with one clientOrderId made two orders"

        event = await first
        while True:
            state = event["orders"]["order"]
            if state["clientOrderId"] == key:
                print(f"order {state['id']}: {state['status']}, filled {state['filledQuantity']} at {state['averagePrice']}")
                if state["status"] == "FILLED":
                    break
            event = await anext(events)
        assert state["filledQuantity"] == "0.01" or float(state["filledQuantity"]) == 0.01

        bad = {**order, "quantity": "-1", "clientOrderId": f"{key}-bad"}
        refused = (await session.execute(PLACE, variable_values={"input": bad}))["placeOrder"]
        assert refused["order"] is None
        assert refused["userErrors"][0]["code"] == "BAD_USER_INPUT"
        assert refused["userErrors"][0]["path"] == ["input", "quantity"]
        print(f"refused: {refused['userErrors'][0]['message']}")
        await events.aclose()


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(trade(url, log_in(url, TRADER)))


if __name__ == "__main__":
    main()
