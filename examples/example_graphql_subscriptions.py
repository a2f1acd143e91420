"""Watch tickers and the candle that is being made, several GraphQL subscriptions over one socket of the `gql` client."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from demo import TRADER, demo_server, graphql_socket
from gql import GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError

TICKS = 20
WITHIN_S = 90

ONE = gql('subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { bid ask last sequence } }')

MANY = gql("""
  subscription Watch($symbols: [String!]!) {
    tickers(exchange: "kraken", symbols: $symbols) {
      sequence
      gap
      tickers { symbol { symbol } bid ask last }
    }
  }
""")

CANDLE = gql("""
  subscription {
    candle(exchange: "kraken", symbol: "BTC/USD", timeframe: MINUTE_1) { openedAt open high low close volume final }
  }
""")


async def watch_one(session: AsyncClientSession) -> None:
    """The same symbol again and again; `sequence` rises with every ticker."""
    seen: list[int] = []
    async for answer in session.subscribe(ONE):
        seen.append(int(answer["ticker"]["sequence"]))
        if len(seen) == 5:
            break
    assert seen == sorted(set(seen)), f"the tickers did not rise: {seen}"
    print(f"one symbol: sequences {seen}")


async def watch_many(session: AsyncClientSession) -> None:
    """Many symbols in one stream; an event holds only what changed."""
    values: dict[str, set[tuple[str, str, str]]] = {}
    ticks, sequences = 0, []
    async for answer in session.subscribe(GraphQLRequest(MANY, variable_values={"symbols": ["BTC/USD", "ETH/USD"]})):
        event = answer["tickers"]
        sequences.append(int(event["sequence"]))
        for ticker in event["tickers"]:
            ticks += 1
            symbol = ticker["symbol"]["symbol"]
            values.setdefault(symbol, set()).add((ticker["bid"], ticker["ask"], ticker["last"]))
            print(f"{ticks:3} {symbol:8} bid {ticker['bid']:>10} ask {ticker['ask']:>10} last {ticker['last']:>10}")
        if ticks >= TICKS and len(values) == 2 and all(len(few) > 1 for few in values.values()):
            break
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), sequences


async def watch_candle(session: AsyncClientSession) -> None:
    """The candle of this minute, at each change of it."""
    async for answer in session.subscribe(CANDLE):
        candle = answer["candle"]
        low, high = Decimal(candle["low"]), Decimal(candle["high"])
        assert low <= Decimal(candle["open"]) <= high
        assert low <= Decimal(candle["close"]) <= high
        print(f"candle of {candle['openedAt']}: close {candle['close']}, volume {candle['volume']}")
        break


async def watch(url: str) -> None:
    async with graphql_socket(url, TRADER) as session, asyncio.timeout(WITHIN_S):
        async with asyncio.TaskGroup() as tasks:
            for work in (watch_one, watch_many, watch_candle):
                tasks.create_task(work(session))
        try:
            async for _ in session.subscribe(gql('subscription { ticker(exchange: "kraken", symbol: "NOT/THERE") { last } }')):
                raise AssertionError("a symbol that is not there has a ticker")
        except TransportQueryError as refused:
            assert refused.errors is not None
            assert refused.errors[0]["extensions"]["code"] == "NOT_FOUND"
            print(f"refused: {refused.errors[0]['message']}")


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(watch(url))


if __name__ == "__main__":
    main()
