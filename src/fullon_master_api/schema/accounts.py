"""Users, their accounts at exchanges, what those hold."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import strawberry

from fullon_master_api import model
from fullon_master_api.executor.fields import RowsOf, batched
from fullon_master_api.model import Role, Scope
from fullon_master_api.resolvers import accounts, bots, trading
from fullon_master_api.resolvers.identity import ids_of
from fullon_master_api.schema.filters import BotFilter, BotSort, OrderFilter, OrderSort, listed
from fullon_master_api.schema.lists import Connection
from fullon_master_api.schema.markets import Exchange, Symbol
from fullon_master_api.schema.node import Node

if TYPE_CHECKING:
    from fullon_master_api.schema.bots import Bot
    from fullon_master_api.schema.trading import Order


@strawberry.type(description="What an account holds of one currency; `total` is `free` and `used` together.")
class Balance:
    currency: str = strawberry.field(description="The asset, as `BTC`.")
    total: Decimal = strawberry.field(description="All of it, in the asset.")
    free: Decimal = strawberry.field(description="What can be spent.")
    used: Decimal = strawberry.field(description="What open orders hold.")
    updated_ns: datetime = strawberry.field(name="updatedAt", description="When we learned it.")


@strawberry.type(description="What an account holds of one symbol.")
class Position:
    symbol_name: str = batched(accounts.names_of_positions, name="symbolName", description="Unified name, as `BTC/USD`.")
    symbol: Symbol | None = batched(accounts.symbols_of_positions, description="The symbol; null where the catalogue lost it.")
    quantity: Decimal = strawberry.field(description="In the base asset; above zero is long, below is short.")
    price: Decimal = strawberry.field(description="Average entry price, in the quote asset.")
    cost: Decimal = strawberry.field(description="What was paid for it, in the quote asset.")
    fee: Decimal = strawberry.field(description="Fees paid for it, in the quote asset.")
    realized_pnl: Decimal = strawberry.field(description="Profit already made, in the quote asset.")
    unrealized_pnl: Decimal | None = batched(
        accounts.unrealized_pnl_of_positions,
        description="Profit at the latest ticker, in the quote asset; null where there is no ticker.",
    )
    updated_ns: datetime = strawberry.field(name="updatedAt", description="When it last changed.")


@strawberry.type(description="A user's account at an exchange.")
class ExchangeAccount(Node):
    id: strawberry.ID = batched(ids_of("ExchangeAccount", "ex_id"), description="Global id.")
    ex_id: int = strawberry.field(name="exchangeAccountId", description="The number under which REST knows it.")
    name: str = strawberry.field(description="The user's own label.")
    test: bool = strawberry.field(description="Whether it is an account at the exchange's test site.")
    active: bool = strawberry.field(description="Whether it is collected.")
    created_at: datetime = strawberry.field(description="When it was added.")
    exchange: Exchange | None = batched(accounts.exchanges_of_accounts, description="The exchange of the catalogue.")
    user: Annotated[User, strawberry.lazy("fullon_master_api.schema.accounts")] | None = batched(
        accounts.users_of_accounts, description="The owner."
    )
    balances: list[Balance] | None = batched(
        accounts.balances_of_accounts, description="What it holds; null where the cache is away."
    )
    positions: list[Position] | None = batched(
        accounts.positions_of_accounts, description="What it holds by symbol; null where the cache is away."
    )
    orders: Connection[Annotated[Order, strawberry.lazy("fullon_master_api.schema.trading")]] = batched(
        trading.orders_of_accounts,
        description="Its orders, newest first.",
        arguments=listed(OrderFilter, OrderSort),
        cost=2,
    )

    is_type_of = RowsOf(model.ExchangeAccount)


@strawberry.type(description="An API key, without its secret: that is shown once, when the key is made.")
class ApiKey(Node):
    id: strawberry.ID = batched(ids_of("ApiKey", "api_key_id"), description="Global id.")
    api_key_id: int = strawberry.field(description="The number under which REST knows it.")
    prefix: str = strawberry.field(description="How the key begins, to tell keys apart.")
    name: str = strawberry.field(description="The user's label.")
    description: str | None = strawberry.field(description="What it is for.")
    scopes: list[Scope] = batched(accounts.scopes_of_keys, description="What it may do.")
    is_active: bool = strawberry.field(description="Whether it still opens anything.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null for never.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute.")

    is_type_of = RowsOf(model.ApiKey)


@strawberry.type(description="A user of the platform.")
class User(Node):
    id: strawberry.ID = batched(ids_of("User", "uid"), description="Global id.")
    uid: int = strawberry.field(name="userId", description="The number under which REST knows them.")
    mail: str = strawberry.field(description="Mail address, with which they log in.")
    role: Role = strawberry.field(description="What they may do.")
    name: str = strawberry.field(description="First name.")
    lastname: str = strawberry.field(name="lastName", description="Family name.")
    phone: str = strawberry.field(description="Phone number.")
    active: bool = strawberry.field(description="Whether they may log in.")
    created_at: datetime = strawberry.field(description="When they were added.")
    exchange_accounts: list[ExchangeAccount] = batched(
        accounts.accounts_of_users, description="Their accounts at exchanges.", cost=2
    )
    api_keys: list[ApiKey] = batched(accounts.keys_of_users, description="Their API keys.", cost=2)
    bots: Connection[Annotated[Bot, strawberry.lazy("fullon_master_api.schema.bots")]] = batched(
        bots.bots_of_users,
        description="Their bots.",
        arguments=listed(BotFilter, BotSort),
        cost=2,
    )

    is_type_of = RowsOf(model.User)
