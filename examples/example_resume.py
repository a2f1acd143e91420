"""Lose the connection, miss the fill of an order, and get it afterwards: a stream of orders goes on behind a cursor."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from demo import TRADER, demo_server, graphql_client, graphql_socket
from gql import GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError

WITHIN_S = 90

ACCOUNTS = gql("{ me { exchangeAccounts { id } } }")
PLACE = gql("mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { message } } }")
CANCEL = gql("mutation ($id: ID!) { cancelOrder(input: { id: $id }) { order { status } userErrors { message } } }")
STATUS = gql("query ($id: ID!) { order(id: $id) { status } }")
ORDERS = gql("""
  subscription ($after: String, $snapshot: Boolean!) {
    orders(after: $after, snapshot: $snapshot) { cursor snapshot order { id status } }
  }
""")


async def place(client: AsyncClientSession, **values: str) -> str:
    """The id of a new dry-run order."""
    account = (await client.execute(ACCOUNTS))["me"]["exchangeAccounts"][0]["id"]
    order = {"exchangeAccountId": account, "symbol": "BTC/USD", "side": "BUY", "quantity": "0.01", "type": "MARKET"}
    order |= {"clientOrderId": f"example-{uuid.uuid4().hex[:12]}"} | values
    payload = (await client.execute(GraphQLRequest(PLACE, variable_values={"input": order})))["placeOrder"]
    assert payload["userErrors"] == [], payload
    placed = payload["order"]["id"]
    assert isinstance(placed, str)
    return placed


async def until_filled(url: str, order: str, variables: dict[str, Any], *, before: Any = None) -> tuple[list[str], str]:
    """(what happened to the order, the last cursor). `before` is run once the stream stands."""
    statuses: list[str] = []
    async with graphql_socket(url, TRADER) as socket:
        async for answer in socket.subscribe(GraphQLRequest(ORDERS, variable_values=variables)):
            event = answer["orders"]
            if before is not None:
                order, before = await before(), None
            if event["order"]["id"] == order and not event["snapshot"]:
                statuses.append(event["order"]["status"])
                print(f"  {event['order']['status']:10} cursor {event['cursor']}")
            if "FILLED" in statuses:
                return statuses, event["cursor"]
    raise AssertionError("the stream ended before the order was filled")


async def resume(url: str) -> None:
    async with graphql_client(url, TRADER) as client, asyncio.timeout(WITHIN_S):
        # An open order makes the snapshot say something, so that we know when the stream stands.
        waiting = await place(client, type="LIMIT", price="1000.0")
        print("connected:")
        seen, cursor = await until_filled(url, "", {"snapshot": True}, before=lambda: place(client))

        print("disconnected: an order is placed and filled, and nobody listens")
        missed = await place(client)
        while (await client.execute(GraphQLRequest(STATUS, variable_values={"id": missed})))["order"]["status"] != "FILLED":
            await asyncio.sleep(0.1)

        print("connected again, after the last cursor:")
        told, _ = await until_filled(url, missed, {"after": cursor, "snapshot": False})
        assert told[0] != "FILLED", "the beginning was lost"
        assert len(told) == len(set(told)), f"something was told twice: {told}"
        assert told[-1] == seen[-1] == "FILLED"

        try:
            await until_filled(url, missed, {"after": "nonsense", "snapshot": False})
        except TransportQueryError as refused:
            assert refused.errors is not None
            assert refused.errors[0]["extensions"]["code"] == "BAD_CURSOR"
            print("a cursor that was never given is refused: BAD_CURSOR")
        else:
            raise AssertionError("a made-up cursor was taken")
        canceled = (await client.execute(GraphQLRequest(CANCEL, variable_values={"id": waiting})))["cancelOrder"]
        assert canceled["userErrors"] == [], canceled


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(resume(url))


if __name__ == "__main__":
    main()
