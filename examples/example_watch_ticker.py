"""Watch two tickers change, over a GraphQL subscription with the `gql` client."""

from __future__ import annotations

import asyncio

from demo import TRADER, demo_server, log_in
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

TICKS = 20

WATCH = gql("""
  subscription Watch($symbols: [String!]!) {
    tickers(exchange: "kraken", symbols: $symbols) {
      sequence
      gap
      tickers { symbol { symbol } bid ask last }
    }
  }
""")


async def watch(url: str, token: str) -> None:
    transport = WebsocketsTransport(
        url=url.replace("http", "ws", 1) + "/graphql", init_payload={"authorization": f"Bearer {token}"}
    )
    seen: dict[str, set[tuple[str, str, str]]] = {}
    ticks = 0
    async with Client(transport=transport) as session:
        async with asyncio.timeout(60):
            async for answer in session.subscribe(WATCH, variable_values={"symbols": ["BTC/USD", "ETH/USD"]}):
                for ticker in answer["tickers"]["tickers"]:
                    ticks += 1
                    symbol = ticker["symbol"]["symbol"]
                    seen.setdefault(symbol, set()).add((ticker["bid"], ticker["ask"], ticker["last"]))
                    print(f"{ticks:3} {symbol:8} bid {ticker['bid']:>10} ask {ticker['ask']:>10} last {ticker['last']:>10}")
                if ticks >= TICKS and len(seen) == 2:
                    break
    assert all(len(values) > 1 for values in seen.values()), "the tickers did not change"


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(watch(url, log_in(url, TRADER)))


if __name__ == "__main__":
    main()
