"""Orders, the fills of orders, and the mutations that place and cancel them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from fullon_master_api import model
from fullon_master_api.executor.fields import RowsOf, batched
from fullon_master_api.model import OrderStatus, OrderType, Side
from fullon_master_api.resolvers import trading
from fullon_master_api.resolvers.identity import ids_of
from fullon_master_api.schema.accounts import ExchangeAccount, User
from fullon_master_api.schema.bots import Bot
from fullon_master_api.schema.faults import UserError
from fullon_master_api.schema.markets import Symbol
from fullon_master_api.schema.node import Node


@strawberry.type(description="An order. Quantities are in the base asset, prices in the quote asset.")
class Order(Node):
    id: strawberry.ID = batched(ids_of("Order", "order_id"), description="Global id.")
    order_id: int = strawberry.field(description="The number under which REST knows it.")
    client_order_id: str | None = strawberry.field(description="The caller's own key, unique per user.")
    ex_order_id: str | None = strawberry.field(name="exchangeOrderId", description="The exchange's id of it.")
    side: Side = strawberry.field(description="BUY or SELL.")
    order_type: OrderType = strawberry.field(name="type", description="How it is executed.")
    status: OrderStatus = strawberry.field(description="Where it stands.")
    volume: Decimal = strawberry.field(name="quantity", description="Asked quantity; REST calls it `volume`.")
    final_volume: Decimal | None = strawberry.field(name="filledQuantity", description="What was filled of it.")
    price: Decimal | None = strawberry.field(description="Limit price.")
    average_price: Decimal | None = strawberry.field(description="Average price of its fills.")
    tick: Decimal | None = strawberry.field(name="priceWhenPlaced", description="Price of the ticker when it was placed.")
    leverage: Decimal | None = strawberry.field(description="How many times the own funds were traded with.")
    futures: bool = strawberry.field(description="Whether it is an order for a derivative.")
    dry_run: bool = strawberry.field(description="Whether it is only simulated: no request was sent to the exchange.")
    reason: str = strawberry.field(description="Why it was placed, or why it was refused.")
    created_at: datetime = strawberry.field(description="When it was placed.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    symbol_name: str = batched(trading.symbol_names, name="symbolName", description="Unified name, as `BTC/USD`.")
    symbol: Symbol | None = batched(trading.symbols_of_orders, description="The symbol; null where the catalogue lost it.")
    bot: Bot | None = batched(trading.bots_of_orders, description="The bot that placed it; null where a person did.")
    exchange_account: ExchangeAccount | None = batched(trading.accounts_of_orders, description="The account it trades on.")
    user: User | None = batched(trading.users_of_orders, description="The owner.")
    trades: list[Annotated[Trade, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.trades_of_orders, description="Its fills at the exchange, oldest first.", cost=2
    )
    dry_trades: list[Annotated[DryTrade, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.dry_trades_of_orders, description="Its dry-run fills, oldest first.", cost=2
    )

    is_type_of = RowsOf(model.Order)


@strawberry.type(description="A fill of an own order at the exchange. It never changes.")
class Trade(Node):
    id: strawberry.ID = batched(ids_of("Trade", "trade_id"), description="Global id.")
    trade_id: int = strawberry.field(description="The number under which REST knows it.")
    ex_trade_id: str = strawberry.field(name="exchangeTradeId", description="The exchange's id of it.")
    ex_order_id: str = strawberry.field(name="exchangeOrderId", description="The exchange's id of its order.")
    side: Side = strawberry.field(description="BUY or SELL.")
    order_type: OrderType = strawberry.field(name="type", description="Type of its order.")
    volume: Decimal = strawberry.field(name="quantity", description="Filled quantity, in the base asset.")
    price: Decimal = strawberry.field(description="Price, in the quote asset.")
    cost: Decimal = strawberry.field(description="Quantity times price, in the quote asset.")
    fee: Decimal = strawberry.field(description="Fee, in `feeCurrency`.")
    fee_currency: str | None = strawberry.field(description="The asset of the fee; null where the exchange does not tell.")
    roi: Decimal | None = strawberry.field(description="Profit made, in the quote asset, where the fill closed something.")
    roi_pct: Decimal | None = strawberry.field(name="roiPercent", description="The same in percent.")
    time: datetime = strawberry.field(name="tradedAt", description="When it happened.")
    symbol_name: str = batched(trading.symbol_names, name="symbolName", description="Unified name, as `BTC/USD`.")
    symbol: Symbol | None = batched(trading.symbols_of_fills, description="The symbol; null where the catalogue lost it.")

    is_type_of = RowsOf(model.Trade)


@strawberry.type(description="A fill of a dry-run order, made by our own matcher from the live ticker.")
class DryTrade(Node):
    id: strawberry.ID = batched(ids_of("DryTrade", "trade_id"), description="Global id.")
    trade_id: int = strawberry.field(description="The number under which REST knows it.")
    side: Side = strawberry.field(description="BUY or SELL.")
    volume: Decimal = strawberry.field(name="quantity", description="Filled quantity, in the base asset.")
    price: Decimal = strawberry.field(description="Price, in the quote asset.")
    cost: Decimal = strawberry.field(description="Quantity times price, in the quote asset.")
    fee: Decimal = strawberry.field(description="Fee, in the quote asset.")
    roi: Decimal | None = strawberry.field(description="Profit made, in the quote asset, where the fill closed something.")
    roi_pct: Decimal | None = strawberry.field(name="roiPercent", description="The same in percent.")
    reason: str | None = strawberry.field(description="Why it was made.")
    closingtrade: bool = strawberry.field(name="closing", description="Whether it closed a position.")
    created_at: datetime = strawberry.field(name="tradedAt", description="When it happened.")
    symbol_name: str = batched(trading.symbol_names, name="symbolName", description="Unified name, as `BTC/USD`.")
    symbol: Symbol | None = batched(trading.symbols_of_fills, description="The symbol; null where the catalogue lost it.")

    is_type_of = RowsOf(model.DryTrade)


@strawberry.input(description="An order to place.")
class PlaceOrderInput:
    exchange_account_id: strawberry.ID = strawberry.field(description="The account it trades on.")
    symbol: str = strawberry.field(description="Unified name, as `BTC/USD`.")
    side: Side = strawberry.field(description="BUY or SELL.")
    type: OrderType = strawberry.field(description="MARKET or LIMIT.")
    quantity: Decimal = strawberry.field(description="In the base asset, above zero.")
    price: Decimal | None = strawberry.field(default=None, description="Limit price in the quote asset; for LIMIT only.")
    bot_id: strawberry.ID | None = strawberry.field(default=None, description="The bot that it belongs to.")
    client_order_id: str | None = strawberry.field(
        default=None, description="Your own key, at most 64 characters: placing again with it answers the first order."
    )
    dry_run: bool = strawberry.field(
        default=True, description="Only simulate it: it fills from the live ticker and nothing is sent to the exchange."
    )


@strawberry.input(description="An order to cancel.")
class CancelOrderInput:
    id: strawberry.ID = strawberry.field(description="The order's id.")


@strawberry.type(description="The order, or why there is none.")
class OrderPayload:
    order: Order | None = strawberry.field(description="The order as it stands now.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong with the input; empty when all was well.")


@strawberry.type(description="An order as it was when it changed.")
class OrderEvent:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    snapshot: bool = strawberry.field(description="Whether it tells what is, not what changed.")
    order: Order = strawberry.field(description="The order.")


@strawberry.type(description="A fill of an own order; one of the two is there.")
class TradeEvent:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    trade: Trade | None = strawberry.field(description="The fill at the exchange.")
    dry_trade: DryTrade | None = strawberry.field(description="The fill of a dry-run order.")
