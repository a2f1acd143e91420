"""Ask for nested data of three APIs in one query, with the `gql` client."""

from __future__ import annotations

import asyncio

from demo import TRADER, bearer, demo_server, log_in
from gql import Client, gql
from gql.transport.httpx import HTTPXAsyncTransport

MARKETS = gql("""
  query Markets {
    symbols(exchange: "kraken", first: 10) {
      nodes {
        symbol
        exchange { name }
        ticker { bid ask last updatedAt }
        candles(timeframe: MINUTE_1, limit: 100) { openedAt open high low close volume }
      }
    }
  }
""")

MINE = gql("""
  query Mine {
    me {
      mail
      bots {
        nodes {
          name
          orders(first: 20) { nodes { side quantity price status symbol { symbol ticker { last } } } }
        }
      }
    }
  }
""")


async def ask(url: str, token: str) -> None:
    transport = HTTPXAsyncTransport(url=f"{url}/graphql", headers=bearer(token))
    async with Client(transport=transport, execute_timeout=20) as session:
        markets = (await session.execute(MARKETS))["symbols"]["nodes"]
        assert {"BTC/USD", "ETH/USD", "SOL/USD"} <= {symbol["symbol"] for symbol in markets}
        for symbol in markets:
            assert symbol["exchange"]["name"] == "kraken"
            assert len(symbol["candles"]) <= 100
            last = symbol["ticker"]["last"] if symbol["ticker"] else "-"
            print(f"{symbol['symbol']:10} last {last:>12}  candles {len(symbol['candles'])}")

        me = (await session.execute(MINE))["me"]
        assert me["mail"] == TRADER[0]
        assert me["bots"]["nodes"]
        orders = [order for bot in me["bots"]["nodes"] for order in bot["orders"]["nodes"]]
        assert orders
        for bot in me["bots"]["nodes"]:
            print(f"{bot['name']}: {len(bot['orders']['nodes'])} orders")
        assert all(order["symbol"]["symbol"] for order in orders)


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(ask(url, log_in(url, TRADER)))


if __name__ == "__main__":
    main()
