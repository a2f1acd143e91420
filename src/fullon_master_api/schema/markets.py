"""Exchanges of the catalogue, their symbols, and the market data of a symbol."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from fullon_master_api import model
from fullon_master_api.executor.fields import RowsOf, batched
from fullon_master_api.executor.scalars import BigInt
from fullon_master_api.model import CandleSource, OrderType, Side
from fullon_master_api.resolvers import markets
from fullon_master_api.resolvers.identity import ids_of
from fullon_master_api.schema.filters import SymbolFilter, SymbolSort, listed
from fullon_master_api.schema.lists import Connection
from fullon_master_api.schema.node import Node

PAGE_ARGUMENTS = {
    "first": "How many rows at most, 1 to 500.",
    "after": "Cursor of the row before the first wanted one.",
}
RANGE_ARGUMENTS = {
    "start": "Begin of the range, contained in it. Without a range the newest rows are given.",
    "end": "End of the range, not contained in it.",
}


@strawberry.type(description="An exchange of the catalogue.")
class Exchange(Node):
    id: strawberry.ID = batched(ids_of("Exchange", "cat_ex_id"), description="Global id.")
    cat_ex_id: int = strawberry.field(name="exchangeId", description="The number under which REST knows it.")
    name: str = strawberry.field(description="Lower-case name, as `kraken`.")
    symbols: Connection[Annotated[Symbol, strawberry.lazy("fullon_master_api.schema.markets")]] = batched(
        markets.symbols_of_exchanges, description="Its symbols.", arguments=listed(SymbolFilter, SymbolSort), cost=2
    )

    is_type_of = RowsOf(model.Exchange)


@strawberry.type(
    description="The latest bid, ask and last of a symbol. Prices are in the quote asset, volumes in the base asset."
)
class Ticker:
    symbol: Annotated[Symbol, strawberry.lazy("fullon_master_api.schema.markets")] | None = batched(
        markets.symbols_of_tickers, description="What is quoted; null where the catalogue does not know it any more."
    )
    bid: Decimal | None = strawberry.field(description="Best price somebody buys at.")
    ask: Decimal | None = strawberry.field(description="Best price somebody sells at.")
    last: Decimal | None = strawberry.field(description="Price of the last trade.")
    bid_quantity: Decimal | None = strawberry.field(description="Quantity at the best bid.")
    ask_quantity: Decimal | None = strawberry.field(description="Quantity at the best ask.")
    high: Decimal | None = strawberry.field(description="Highest price of the last 24 hours.")
    low: Decimal | None = strawberry.field(description="Lowest price of the last 24 hours.")
    volume: Decimal | None = strawberry.field(description="Volume of the last 24 hours, in the base asset.")
    change: Decimal | None = strawberry.field(description="Change of the last 24 hours, in the quote asset.")
    percentage: float | None = strawberry.field(description="Change of the last 24 hours in percent.")
    event_ns: datetime | None = strawberry.field(
        name="exchangeTime", description="The exchange's own time of it; null where it sends none."
    )
    received_ns: datetime = strawberry.field(name="updatedAt", description="When we received it.")
    sequence: BigInt = strawberry.field(description="Rises with every ticker of this symbol.")


@strawberry.type(description="Open, high, low, close and volume of one timeframe. Prices are in the quote asset.")
class Candle:
    opened_ns: datetime = strawberry.field(name="openedAt", description="Begin of its span.")
    open: Decimal = strawberry.field(description="Price of the first trade.")
    high: Decimal = strawberry.field(description="Highest price.")
    low: Decimal = strawberry.field(description="Lowest price.")
    close: Decimal = strawberry.field(description="Price of the last trade.")
    volume: Decimal = strawberry.field(description="Traded quantity, in the base asset.")
    trades: int | None = strawberry.field(description="Number of trades; null where the source does not tell.")
    final: bool = strawberry.field(description="Whether its span is over, so that it will not change by new trades.")
    filled: bool = strawberry.field(description="Whether it stands in for a span without trades: the previous close, volume 0.")
    source: CandleSource | None = strawberry.field(
        description="Where it came from; null where it stands in for a span without trades."
    )
    revision: int = strawberry.field(
        description="How many times it changed after it was final, from 0. Of a candle that is added up on read, as those of 5m,"
        " the sum over what it is made of."
    )


@strawberry.type(description="Candles as columns of floats for charts: equal lengths, one entry per candle.")
class CandleColumns:
    opened_ms: list[float] = strawberry.field(name="openedAt", description="Begin of each span in milliseconds since 1970 UTC.")
    open: list[float] = strawberry.field(description="Opening prices.")
    high: list[float] = strawberry.field(description="Highest prices.")
    low: list[float] = strawberry.field(description="Lowest prices.")
    close: list[float] = strawberry.field(description="Closing prices.")
    volume: list[float] = strawberry.field(description="Volumes.")


@strawberry.type(description="One trade of the public tape.")
class PublicTrade:
    trade_id: strawberry.ID = strawberry.field(name="id", description="The exchange's id of it.")
    event_ns: datetime = strawberry.field(name="tradedAt", description="When it happened.")
    price: Decimal = strawberry.field(description="Price in the quote asset.")
    quantity: Decimal = strawberry.field(description="Quantity in the base asset.")
    side: Side = strawberry.field(description="Side of the taker.")
    order_type: OrderType = strawberry.field(name="type", description="Order type of the taker, where the exchange tells.")


@strawberry.type(description="A span of time of which everything is stored; its end is not contained in it.")
class Coverage:
    start_ns: datetime = strawberry.field(name="start", description="Begin of the span.")
    end_ns: datetime = strawberry.field(name="end", description="End of the span.")


@strawberry.type(description="A symbol at an exchange: what is traded, by which rules, and its market data.")
class Symbol(Node):
    id: strawberry.ID = batched(ids_of("Symbol", "symbol_id"), description="Global id.")
    symbol_id: int = strawberry.field(description="The number under which REST knows it.")
    symbol: str = strawberry.field(description="Unified name, as `BTC/USD`.")
    exchange: Annotated[Exchange, strawberry.lazy("fullon_master_api.schema.markets")] = batched(
        markets.exchanges_of_symbols, description="Where it is traded."
    )
    base: str = strawberry.field(description="Base asset: what is bought and sold.")
    quote: str = strawberry.field(description="Quote asset: what it is paid in.")
    decimals: int = strawberry.field(name="priceDecimals", description="Digits behind the point of a price.")
    quantity_decimals: int = strawberry.field(description="Digits behind the point of a quantity.")
    futures: bool = strawberry.field(description="Whether it is a derivative.")
    active: bool = strawberry.field(description="Whether its market data is collected.")
    only_ticker: bool = strawberry.field(description="Whether tickers are collected and candles are not.")
    updateframe: str = strawberry.field(description="Timeframe that the history is asked for, as `1h`.")
    backtest: int = strawberry.field(name="backtestDays", description="Days of history collected on the first run.")
    ticker: Ticker | None = batched(
        markets.tickers_of_symbols, description="The latest ticker; null where none was seen yet, or the cache is away."
    )
    candles: list[Candle] | None = batched(
        markets.candles_of_symbols,
        description="Candles, oldest first. The newest `limit` ones, or the first `limit` of the range.",
        arguments={
            "timeframe": "Length of a candle.",
            "limit": "How many at most, 1 to 5,000.",
            **RANGE_ARGUMENTS,
            "fill": "What stands in for spans without trades.",
            "zone": "IANA time zone of day, week and month boundaries, as `Europe/Berlin`.",
        },
        cost=3,
    )
    candle_columns: CandleColumns | None = batched(
        markets.candle_columns_of_symbols,
        description="The same candles as columns of floats, for charts.",
        arguments={
            "timeframe": "Length of a candle.",
            "limit": "How many at most, 1 to 5,000.",
            **RANGE_ARGUMENTS,
            "fill": "What stands in for spans without trades.",
            "zone": "IANA time zone of day, week and month boundaries, as `Europe/Berlin`.",
        },
        cost=3,
    )
    coverage: list[Coverage] | None = batched(
        markets.coverage_of_symbols,
        description="Spans of which everything is stored, oldest first.",
        arguments={"timeframe": "Of candles of 1m, 1h or 1d; of the public trades where it is not given."},
        cost=2,
    )
    trades: list[PublicTrade] | None = batched(
        markets.trades_of_symbols,
        description="Trades of the public tape, oldest first. The newest `limit` ones, or the first `limit` of the range.",
        arguments={"limit": "How many at most, 1 to 5,000.", **RANGE_ARGUMENTS},
        cost=3,
    )

    is_type_of = RowsOf(model.Symbol)
