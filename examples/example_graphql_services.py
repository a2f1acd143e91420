"""Stop and start the ticker service as an admin, and see others refused, with the `gql` client."""

from __future__ import annotations

import asyncio

from demo import ADMIN, TRADER, demo_server, graphql_client
from gql import gql
from gql.transport.exceptions import TransportQueryError

SERVICES = gql("{ services { name state desired heartbeatAt feeds { feed messages error } } }")

CHANGE = """
  mutation Change {
    %s(input: { name: TICKER }) {
      service { name state }
      userErrors { code message }
    }
  }
"""


async def control(url: str) -> None:
    async with graphql_client(url, ADMIN) as admin:
        for service in (await admin.execute(SERVICES))["services"]:
            print(f"{service['name']:15} {service['state']:10} {len(service['feeds'])} feeds")
        for mutation, state in (
            ("stopService", "STOPPED"),
            ("stopService", "STOPPED"),
            ("startService", "RUNNING"),
            ("restartService", "RUNNING"),
        ):
            payload = (await admin.execute(gql(CHANGE % mutation)))[mutation]
            assert payload["userErrors"] == [], payload
            assert payload["service"] == {"name": "TICKER", "state": state}, payload
            print(f"{mutation:15} {payload['service']['state']}")

    async with graphql_client(url, TRADER) as trader:
        try:
            await trader.execute(gql(CHANGE % "stopService"))
        except TransportQueryError as refused:
            assert refused.errors is not None
            assert refused.errors[0]["extensions"]["code"] == "FORBIDDEN"
            print("a trader is refused: FORBIDDEN")
        else:
            raise AssertionError("a trader stopped a service")


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(control(url))


if __name__ == "__main__":
    main()
