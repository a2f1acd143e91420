"""What can be asked."""

from __future__ import annotations

from typing import Annotated

import strawberry

from fullon_master_api.executor.fields import rooted
from fullon_master_api.resolvers import accounts as account_answers
from fullon_master_api.resolvers import bots as bot_answers
from fullon_master_api.resolvers import markets as market_answers
from fullon_master_api.resolvers import nodes as node_answers
from fullon_master_api.resolvers import services as service_answers
from fullon_master_api.resolvers import trading as trading_answers
from fullon_master_api.schema.accounts import ExchangeAccount, User
from fullon_master_api.schema.bots import Bot, StrategyTemplate
from fullon_master_api.schema.filters import (
    AuditFilter,
    AuditSort,
    BotFilter,
    BotSort,
    ExchangeAccountFilter,
    ExchangeAccountSort,
    OrderFilter,
    OrderSort,
    SymbolFilter,
    SymbolSort,
    TradeFilter,
    TradeSort,
    UserFilter,
    UserSort,
    listed,
)
from fullon_master_api.schema.lists import Connection
from fullon_master_api.schema.markets import PAGE_ARGUMENTS, Exchange, Symbol, Ticker
from fullon_master_api.schema.node import Node
from fullon_master_api.schema.services import AuditEntry, Process, Service
from fullon_master_api.schema.trading import Order, Trade

EXCHANGE = "Name of the exchange, as `kraken`."
SYMBOL = "Unified name, as `BTC/USD`."
ID = Annotated[strawberry.ID, strawberry.argument(description="Its global id, or the number under which REST knows it.")]


@strawberry.type(description="What can be asked. Everything needs a signed-in caller; a user sees what is theirs, an admin all.")
class Query:
    me: User | None = rooted(account_answers.me, description="The signed-in user.")
    node: Node | None = rooted(
        node_answers.node,
        description="Anything by its global id; null where there is no such thing for the caller.",
        arguments={"id": ID},
    )
    exchange: Exchange | None = rooted(
        market_answers.exchange, description="An exchange of the catalogue.", arguments={"name": EXCHANGE}
    )
    exchanges: Connection[Exchange] | None = rooted(
        market_answers.exchanges, description="The catalogue of exchanges.", arguments=PAGE_ARGUMENTS, cost=2
    )
    symbol: Symbol | None = rooted(
        market_answers.symbol,
        description="A symbol by its names; NOT_FOUND where the catalogue has none.",
        arguments={"exchange": EXCHANGE, "symbol": SYMBOL},
    )
    symbols: Connection[Symbol] | None = rooted(
        market_answers.symbols,
        description="Symbols of one exchange, or of all.",
        arguments=listed(SymbolFilter, SymbolSort, exchange=EXCHANGE),
        cost=2,
    )
    ticker: Ticker | None = rooted(
        market_answers.ticker,
        description="The latest ticker of a symbol; null where none was seen yet.",
        arguments={"exchange": EXCHANGE, "symbol": SYMBOL},
    )
    tickers: list[Ticker] | None = rooted(
        market_answers.tickers,
        description="Latest tickers of an exchange.",
        arguments={"exchange": EXCHANGE, "symbols": "Only these, at most 500; all of the exchange where none are named."},
        cost=2,
    )
    bot: Bot | None = rooted(bot_answers.bot, description="A bot.", arguments={"id": ID})
    bots: Connection[Bot] | None = rooted(
        bot_answers.bots,
        description="The caller's bots; an admin sees all.",
        arguments=listed(BotFilter, BotSort),
        cost=2,
    )
    order: Order | None = rooted(trading_answers.order, description="An order.", arguments={"id": ID})
    orders: Connection[Order] | None = rooted(
        trading_answers.orders,
        description="The caller's orders, newest first; an admin sees all.",
        arguments=listed(OrderFilter, OrderSort),
        cost=2,
    )
    trades: Connection[Trade] | None = rooted(
        trading_answers.trades,
        description="Fills of the caller's orders at the exchange, newest first; an admin sees all.",
        arguments=listed(TradeFilter, TradeSort),
        cost=2,
    )
    strategies: Connection[StrategyTemplate] | None = rooted(
        bot_answers.strategies, description="The catalogue of strategies.", arguments=PAGE_ARGUMENTS, cost=2
    )
    exchange_accounts: Connection[ExchangeAccount] | None = rooted(
        account_answers.exchange_accounts,
        description="All accounts at exchanges. Admins only.",
        arguments=listed(ExchangeAccountFilter, ExchangeAccountSort),
        cost=2,
    )
    users: Connection[User] | None = rooted(
        account_answers.users, description="All users. Admins only.", arguments=listed(UserFilter, UserSort), cost=2
    )
    services: list[Service] | None = rooted(service_answers.services, description="The collecting services. Admins only.", cost=2)
    service: Service | None = rooted(
        service_answers.service, description="One collecting service. Admins only.", arguments={"name": "Which one."}
    )
    processes: list[Process] | None = rooted(
        service_answers.processes, description="Running parts of the platform, by their heartbeats. Admins only.", cost=2
    )
    audit_trail: Connection[AuditEntry] | None = rooted(
        service_answers.audit_trail,
        description="What admins and users changed, newest first. Admins only.",
        arguments=listed(AuditFilter, AuditSort),
        cost=2,
    )
