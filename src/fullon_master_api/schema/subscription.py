"""What can be watched."""

from __future__ import annotations

from typing import Annotated

import strawberry

from fullon_master_api.executor.live import live
from fullon_master_api.executor.scalars import BigInt
from fullon_master_api.resolvers import streams
from fullon_master_api.schema.accounts import Balance, Position
from fullon_master_api.schema.markets import Candle, PublicTrade, Ticker
from fullon_master_api.schema.services import ServiceEvent
from fullon_master_api.schema.trading import OrderEvent, TradeEvent

EXCHANGE = "Name of the exchange, as `kraken`."
SYMBOL = "Unified name, as `BTC/USD`."
SNAPSHOT = "Whether to begin with what is true now."
MIN_INTERVAL = "Least milliseconds between two events, 0 to 60,000; only the newest is sent."
AFTER = "Cursor of the last event you have seen: the stream goes on behind it, without loss and without doubles."


@strawberry.type(description="Tickers that changed since the event before.")
class TickersEvent:
    sequence: BigInt = strawberry.field(description="Rises by one with every event of this stream.")
    gap: bool = strawberry.field(description="Whether changes before this event may have been missed.")
    tickers: list[Ticker] = strawberry.field(description="The newest ticker of each symbol that changed.")


@strawberry.type(description="New trades of the public tape, oldest first.")
class PublicTradesEvent:
    trades: list[PublicTrade] = strawberry.field(description="The trades.")
    gap: bool = strawberry.field(
        description="Whether trades before this event may have been missed: read them with `Symbol.trades`."
    )


@strawberry.type(description="What an account holds, as it changed.")
class AccountEvent:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    snapshot: bool = strawberry.field(description="Whether it tells what is, not what changed.")
    balances: list[Balance] | None = strawberry.field(description="All balances, where those changed.")
    positions: list[Position] | None = strawberry.field(description="All positions, where those changed.")


@strawberry.type(description="What can be watched, over WebSocket. Everything needs a signed-in caller.")
class Subscription:
    ticker: Ticker = live(
        streams.ticker,
        description="The ticker of one symbol, at each change.",
        arguments={"exchange": EXCHANGE, "symbol": SYMBOL, "snapshot": SNAPSHOT, "min_interval": MIN_INTERVAL},
    )
    tickers: TickersEvent = live(
        streams.tickers,
        description="Tickers of many symbols in one stream; each event holds what changed.",
        arguments={
            "exchange": EXCHANGE,
            "symbols": "Unified names, 1 to 500 of them.",
            "snapshot": SNAPSHOT,
            "min_interval": MIN_INTERVAL,
        },
    )
    candle: Candle = live(
        streams.candle,
        description="The open candle of a symbol at each change, then once more when it is final.",
        arguments={
            "exchange": EXCHANGE,
            "symbol": SYMBOL,
            "timeframe": "Length of a candle.",
            "snapshot": SNAPSHOT,
            "min_interval": MIN_INTERVAL,
        },
    )
    public_trades: PublicTradesEvent = live(
        streams.public_trades,
        description="The public tape of a symbol, every trade of it.",
        arguments={"exchange": EXCHANGE, "symbol": SYMBOL},
    )
    orders: OrderEvent = live(
        streams.orders,
        description="The caller's own orders, at each change; every event of them.",
        arguments={"after": AFTER, "snapshot": "Whether to begin with the open orders."},
    )
    trades: TradeEvent = live(
        streams.trades,
        description="Fills of the caller's own orders, at the exchange and in dry run; every one of them.",
        arguments={"after": AFTER},
    )
    account: AccountEvent = live(
        streams.account,
        description="Balances and positions of one of the caller's accounts, at each change.",
        arguments={
            "exchange_account_id": Annotated[strawberry.ID, strawberry.argument(description="Which account.")],
            "after": AFTER,
            "snapshot": SNAPSHOT,
        },
    )
    services: ServiceEvent = live(
        streams.services,
        description="The collecting services, at each change of their state. Admins only.",
        arguments={"snapshot": SNAPSHOT},
    )
