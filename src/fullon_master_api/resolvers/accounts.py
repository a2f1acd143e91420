"""Users, their exchange accounts, and what those hold."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.executor.fields import reads
from fullon_master_api.model import ApiKey, Balance, Exchange, ExchangeAccount, Position, Scope, Symbol, User
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of


async def me(ctx: Context, *, wanted: Wanted = None) -> User | None:
    return (await ctx.stores.orm.users.get_many([ctx.user.uid], ctx.user, wanted=wanted))[0]


async def users(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[User]:
    return await ctx.stores.orm.users.page(
        ctx.admin, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


async def exchange_accounts(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[ExchangeAccount]:
    """All accounts, for admins; a user finds their own under `me`."""
    return await ctx.stores.orm.accounts.page(
        ctx.admin, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("uid")
async def accounts_of_users(users: Sequence[User], ctx: Context, *, wanted: Wanted = None) -> list[list[ExchangeAccount]]:
    return await ctx.stores.orm.accounts.of_users([user.uid for user in users], ctx.user, wanted=wanted)


@reads("uid")
async def keys_of_users(users: Sequence[User], ctx: Context, *, wanted: Wanted = None) -> list[list[ApiKey]]:
    return await ctx.stores.orm.api_keys.of_users([user.uid for user in users], ctx.user, wanted=wanted)


@reads("scopes")
def scopes_of_keys(keys: Sequence[ApiKey], _ctx: Context) -> list[list[Scope]]:
    return [sorted(key.scopes) for key in keys]


@reads("uid")
async def users_of_accounts(accounts: Sequence[ExchangeAccount], ctx: Context, *, wanted: Wanted = None) -> list[User | None]:
    return await ctx.stores.orm.users.get_many([account.uid for account in accounts], ctx.user, wanted=wanted)


@reads("cat_ex_id")
async def exchanges_of_accounts(
    accounts: Sequence[ExchangeAccount], ctx: Context, *, wanted: Wanted = None
) -> list[Exchange | None]:
    return await ctx.stores.orm.exchanges.get_many([account.cat_ex_id for account in accounts], wanted=wanted)


@reads("ex_id")
async def balances_of_accounts(accounts: Sequence[ExchangeAccount], ctx: Context) -> list[list[Balance]]:
    return await ctx.stores.cache.accounts.get_balances([account.ex_id for account in accounts])


@reads("ex_id")
async def positions_of_accounts(accounts: Sequence[ExchangeAccount], ctx: Context) -> list[list[Position]]:
    return await ctx.stores.cache.accounts.get_positions([account.ex_id for account in accounts])


def names_of_positions(positions: Sequence[Position], _ctx: Context) -> list[str]:
    return [position.symbol for position in positions]


async def symbols_of_positions(positions: Sequence[Position], ctx: Context, *, wanted: Wanted = None) -> list[Symbol | None]:
    return await ctx.stores.orm.symbols.by_names(await _names(positions, ctx), wanted=wanted)


async def unrealized_pnl_of_positions(positions: Sequence[Position], ctx: Context) -> list[Decimal | None]:
    """(last - average entry) × quantity, exactly; None where no ticker was seen."""
    tickers = await ctx.stores.cache.tickers.get_many(await _names(positions, ctx))
    return [
        None if ticker is None or ticker.last is None else (Decimal(ticker.last) - position.price) * position.quantity
        for position, ticker in zip(positions, tickers, strict=True)
    ]


async def _names(positions: Sequence[Position], ctx: Context) -> list[tuple[str, str]]:
    """(exchange, symbol) of each position. Whoever sees a position may see its account, so the platform itself asks."""
    accounts = await ctx.stores.orm.accounts.get_many([position.ex_id for position in positions], None)
    return [
        ("" if account is None else account.exchange, position.symbol)
        for position, account in zip(positions, accounts, strict=True)
    ]
