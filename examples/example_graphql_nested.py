"""Ask for nested data of three APIs in one query, with the `gql` client."""

from __future__ import annotations

import asyncio

from demo import TRADER, demo_server, graphql_client
from gql import gql

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


async def ask(url: str) -> None:
    async with graphql_client(url, TRADER) as session:
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
        asyncio.run(ask(url))


if __name__ == "__main__":
    main()
