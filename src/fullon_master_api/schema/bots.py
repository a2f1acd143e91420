"""Bots, their strategies and the feeds of those."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from fullon_master_api import model
from fullon_master_api.executor.fields import RowsOf, batched
from fullon_master_api.resolvers import bots, trading
from fullon_master_api.resolvers.identity import ids_of
from fullon_master_api.schema.accounts import User
from fullon_master_api.schema.filters import (
    DryTradeFilter,
    DryTradeSort,
    OrderFilter,
    OrderSort,
    TradeFilter,
    TradeSort,
    listed,
)
from fullon_master_api.schema.lists import Connection
from fullon_master_api.schema.markets import PAGE_ARGUMENTS, Symbol
from fullon_master_api.schema.node import Node

if TYPE_CHECKING:
    from fullon_master_api.schema.trading import DryTrade, Order, Trade


@strawberry.type(description="A strategy of the catalogue. Risk values are in percent.")
class StrategyTemplate(Node):
    id: strawberry.ID = batched(ids_of("StrategyTemplate", "cat_str_id"), description="Global id.")
    cat_str_id: int = strawberry.field(name="strategyTemplateId", description="The number under which REST knows it.")
    name: str = strawberry.field(description="Unique name, as `rsi_hayden_long`.")
    description: str | None = strawberry.field(description="What it does.")
    take_profit: Decimal | None = strawberry.field(description="Closes at this profit, in percent.")
    stop_loss: Decimal | None = strawberry.field(description="Closes at this loss, in percent.")
    trailing_stop: Decimal | None = strawberry.field(description="Closes this far below the best price, in percent.")
    pre_load_bars: int = strawberry.field(description="Candles it needs before it starts.")
    feeds: int = strawberry.field(name="feedsNeeded", description="How many feeds it reads.")
    pairs: bool = strawberry.field(description="Whether it trades two symbols against each other.")
    params: JSON = batched(bots.params_of_templates, description="Its parameters, name to value.")

    is_type_of = RowsOf(model.StrategyTemplate)


@strawberry.type(description="What a strategy reads: candles or ticks of a symbol.")
class Feed(Node):
    id: strawberry.ID = batched(ids_of("Feed", "feed_id"), description="Global id.")
    feed_id: int = strawberry.field(description="The number under which REST knows it.")
    order: int = strawberry.field(name="number", description="Its number in the strategy, from 1.")
    period: str = strawberry.field(description="Unit of a bar: `Ticks`, `Minutes`, `Days`.")
    compression: int = strawberry.field(description="How many units make a bar.")
    symbol: Symbol | None = batched(bots.symbols_of_feeds, description="What is read.")

    is_type_of = RowsOf(model.Feed)


@strawberry.type(description="A strategy of the catalogue, attached to a bot. Risk values are in percent.")
class Strategy(Node):
    id: strawberry.ID = batched(ids_of("Strategy", "str_id"), description="Global id.")
    str_id: int = strawberry.field(name="strategyId", description="The number under which REST knows it.")
    name: str | None = strawberry.field(description="The user's own label.")
    active: bool = strawberry.field(description="Whether the bot uses it.")
    take_profit: Decimal | None = strawberry.field(description="Closes at this profit, in percent.")
    stop_loss: Decimal | None = strawberry.field(description="Closes at this loss, in percent.")
    trailing_stop: Decimal | None = strawberry.field(description="Closes this far below the best price, in percent.")
    leverage: Decimal = strawberry.field(description="How many times its own funds it trades with.")
    size_pct: Decimal | None = strawberry.field(name="sizePercent", description="Size of an order in percent of the funds.")
    size: Decimal | None = strawberry.field(description="Size of an order in `sizeCurrency`.")
    size_currency: str | None = strawberry.field(description="The asset of `size`.")
    template: StrategyTemplate | None = batched(bots.templates_of_strategies, description="Its entry in the catalogue.")
    bot: Annotated[Bot, strawberry.lazy("fullon_master_api.schema.bots")] | None = batched(
        bots.bots_of_strategies, description="The bot it belongs to."
    )
    params: JSON = batched(bots.params_of_strategies, description="Its parameters, name to value.")
    feeds: list[Feed] = batched(bots.feeds_of_strategies, description="What it reads, by number.")

    is_type_of = RowsOf(model.Strategy)


@strawberry.type(description="A line of a bot's log.")
class BotLog:
    level: str = strawberry.field(description="ERROR, WARNING or INFO.")
    message: str = strawberry.field(description="What it said.")
    symbol: str = strawberry.field(name="symbolName", description="The symbol it spoke of.")
    position: Decimal = strawberry.field(description="Signed position at that moment, in the base asset.")
    created_at: datetime = strawberry.field(description="When it was written.")


@strawberry.type(description="Numbers of a bot's fills. Money is in the quote asset; null where a number is not defined.")
class Stats:
    trades: int = strawberry.field(description="How many fills.")
    closings: int = strawberry.field(description="How many of them closed something.")
    wins: int = strawberry.field(description="How many closed with a profit.")
    losses: int = strawberry.field(description="How many closed with a loss.")
    volume: Decimal = strawberry.field(description="Sum of their costs.")
    profit: Decimal = strawberry.field(description="Sum of their profits.")
    win_rate: Decimal | None = strawberry.field(description="Wins among the closings, 0 to 1.")
    average_profit: Decimal | None = strawberry.field(description="Profit per closing.")
    best: Decimal | None = strawberry.field(description="Largest profit of one closing.")
    worst: Decimal | None = strawberry.field(description="Largest loss of one closing.")
    profit_factor: Decimal | None = strawberry.field(description="Sum of the profits by the sum of the losses.")
    sharpe_ratio: Decimal | None = strawberry.field(description="Mean by deviation of the daily profits.")
    max_drawdown: Decimal = strawberry.field(description="Deepest fall of the summed profit.")
    first_at: datetime | None = strawberry.field(description="When the first of them happened.")
    last_at: datetime | None = strawberry.field(description="When the last of them happened.")


@strawberry.type(description="What a running bot says of itself.")
class BotStatus:
    feeds: JSON = strawberry.field(description="One free-form object for each of its feeds, `feed_1` on.")
    updated_ns: datetime = strawberry.field(name="updatedAt", description="When it last said something.")


@strawberry.type(description="The kept result of a simulation of a bot.")
class Simulation:
    num: int = strawberry.field(name="number", description="The number under which REST knows it.")
    name: str = strawberry.field(description="Its name, unique per bot.")
    json: JSON = strawberry.field(name="result", description="What it found, free-form.")


@strawberry.type(description="A bot: strategies that trade for its owner.")
class Bot(Node):
    id: strawberry.ID = batched(ids_of("Bot", "bot_id"), description="Global id.")
    bot_id: int = strawberry.field(description="The number under which REST knows it.")
    name: str = strawberry.field(description="The owner's label.")
    dry_run: bool = strawberry.field(description="Whether its orders are only simulated.")
    active: bool = strawberry.field(description="Whether it should run.")
    test: bool = strawberry.field(description="Whether it is in test mode.")
    created_at: datetime = strawberry.field(description="When it was added.")
    user: User | None = batched(bots.users_of_bots, description="The owner.")
    strategies: list[Strategy] = batched(bots.strategies_of_bots, description="Its strategies.", cost=2)
    feeds: list[Feed] = batched(bots.feeds_of_bots, description="All feeds of its strategies.", cost=2)
    orders: Connection[Annotated[Order, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.orders_of_bots, description="Its orders, newest first.", arguments=listed(OrderFilter, OrderSort), cost=2
    )
    trades: Connection[Annotated[Trade, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.trades_of_bots,
        description="Its fills at the exchange, newest first.",
        arguments=listed(TradeFilter, TradeSort),
        cost=2,
    )
    dry_trades: Connection[Annotated[DryTrade, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.dry_trades_of_bots,
        description="Its dry-run fills, newest first.",
        arguments=listed(DryTradeFilter, DryTradeSort),
        cost=2,
    )
    stats: Stats | None = batched(
        bots.stats_of_bots,
        description="Numbers of its fills.",
        arguments={"days": "Of how many days back, at least 1.", "kind": "Only live or only dry-run fills; both by default."},
        cost=5,
    )
    status: BotStatus | None = batched(
        bots.statuses_of_bots, description="What it says of itself; null where it said nothing for a day, or the cache is away."
    )
    simulations: Connection[Simulation] = batched(
        bots.simulations_of_bots, description="Its kept simulations.", arguments=PAGE_ARGUMENTS, cost=2
    )
    logs: Connection[BotLog] = batched(
        bots.logs_of_bots, description="What it logged, newest first.", arguments=PAGE_ARGUMENTS, cost=2
    )

    is_type_of = RowsOf(model.Bot)
