"""Orders, the fills of orders, placing and canceling."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.errors import BadUserInput
from fullon_master_api.executor.fields import reads
from fullon_master_api.model import (
    Bot,
    DryTrade,
    ExchangeAccount,
    Order,
    OrderType,
    Record,
    Side,
    Symbol,
    Trade,
    User,
)
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.faults import EXPECTED, UserErrorRow, user_error
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of
from fullon_master_api.resolvers.identity import number_of


class NewOrder(Protocol):
    exchange_account_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    bot_id: str | None
    client_order_id: str | None
    dry_run: bool


class CancelWish(Protocol):
    id: str


class OrderPayloadRow(Record, frozen=True, kw_only=True):
    order: Order | None
    user_errors: list[UserErrorRow] = []


# ---- root fields -------------------------------------------------------------------------------------------------------


async def order(ctx: Context, *, id: str, wanted: Wanted = None) -> Order | None:
    return (await ctx.stores.orm.orders.get_many([number_of("Order", id, argument="id")], ctx.user, wanted=wanted))[0]


async def orders(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[Order]:
    return await ctx.stores.orm.orders.page(
        ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


async def trades(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[Trade]:
    return await ctx.stores.orm.trades.page(
        ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


async def place_order(ctx: Context, *, input: NewOrder) -> OrderPayloadRow:
    """Store the order and the command that has the account service execute it, in one transaction."""
    caller = ctx.writer
    try:
        if input.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise BadUserInput(f"type was {input.type.name}, must be MARKET or LIMIT", path=("type",))
        values: dict[str, object] = {
            "ex_id": number_of("ExchangeAccount", input.exchange_account_id, argument="exchangeAccountId"),
            "symbol": input.symbol,
            "side": input.side,
            "order_type": input.type,
            "volume": input.quantity,
            "dry_run": input.dry_run,
        }
        if input.price is not None:
            values["price"] = input.price
        if input.bot_id is not None:
            values["bot_id"] = number_of("Bot", input.bot_id, argument="botId")
        if input.client_order_id is not None:
            values["client_order_id"] = input.client_order_id
        return OrderPayloadRow(order=await ctx.stores.orm.orders.place(caller, values))
    except EXPECTED as error:
        return OrderPayloadRow(order=None, user_errors=[user_error(error)])


async def cancel_order(ctx: Context, *, input: CancelWish) -> OrderPayloadRow:
    caller = ctx.writer
    try:
        number = number_of("Order", input.id, argument="id")
        return OrderPayloadRow(order=await ctx.stores.orm.orders.cancel(number, caller))
    except EXPECTED as error:
        return OrderPayloadRow(order=None, user_errors=[user_error(error)])


# ---- fields ------------------------------------------------------------------------------------------------------------


@reads("bot_id")
async def orders_of_bots(
    bots: Sequence[Bot],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[Order]]:
    ids = [bot.bot_id for bot in bots]
    return await ctx.stores.orm.orders.of_bots(
        ids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("ex_id")
async def orders_of_accounts(
    accounts: Sequence[ExchangeAccount],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[Order]]:
    ids = [account.ex_id for account in accounts]
    return await ctx.stores.orm.orders.of_accounts(
        ids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("bot_id")
async def trades_of_bots(
    bots: Sequence[Bot],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[Trade]]:
    ids = [bot.bot_id for bot in bots]
    return await ctx.stores.orm.trades.of_bots(
        ids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("bot_id")
async def dry_trades_of_bots(
    bots: Sequence[Bot],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[DryTrade]]:
    ids = [bot.bot_id for bot in bots]
    return await ctx.stores.orm.dry_trades.of_bots(
        ids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("order_id")
async def trades_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[list[Trade]]:
    return await ctx.stores.orm.trades.of_orders([order.order_id for order in orders], ctx.user, wanted=wanted)


@reads("order_id")
async def dry_trades_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[list[DryTrade]]:
    return await ctx.stores.orm.dry_trades.of_orders([order.order_id for order in orders], ctx.user, wanted=wanted)


@reads("symbol")
def symbol_names(rows: Sequence[Order | Trade | DryTrade], _ctx: Context) -> list[str]:
    return [row.symbol for row in rows]


@reads("exchange", "symbol")
async def symbols_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[Symbol | None]:
    return await ctx.stores.orm.symbols.by_names([(order.exchange, order.symbol) for order in orders], wanted=wanted)


@reads("ex_id", "symbol")
async def symbols_of_fills(fills: Sequence[Trade | DryTrade], ctx: Context, *, wanted: Wanted = None) -> list[Symbol | None]:
    """Whoever sees a fill may know the exchange of its account, so the platform itself asks for that."""
    accounts = await ctx.stores.orm.accounts.get_many([fill.ex_id for fill in fills], None)
    names = [("" if account is None else account.exchange, fill.symbol) for account, fill in zip(accounts, fills, strict=True)]
    return await ctx.stores.orm.symbols.by_names(names, wanted=wanted)


@reads("bot_id")
async def bots_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[Bot | None]:
    bot_ids = [order.bot_id for order in orders if order.bot_id is not None]
    bots = dict(zip(bot_ids, await ctx.stores.orm.bots.get_many(bot_ids, ctx.user, wanted=wanted), strict=True))
    return [None if order.bot_id is None else bots[order.bot_id] for order in orders]


@reads("ex_id")
async def accounts_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[ExchangeAccount | None]:
    return await ctx.stores.orm.accounts.get_many([order.ex_id for order in orders], ctx.user, wanted=wanted)


@reads("uid")
async def users_of_orders(orders: Sequence[Order], ctx: Context, *, wanted: Wanted = None) -> list[User | None]:
    return await ctx.stores.orm.users.get_many([order.uid for order in orders], ctx.user, wanted=wanted)
