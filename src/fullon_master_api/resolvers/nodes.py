"""Anything by its global id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.identity import read_global_id

FINDERS: Final[dict[str, Callable[[Context, int], Awaitable[list[Any]]]]] = {
    "User": lambda ctx, number: ctx.stores.orm.users.get_many([number], ctx.user),
    "ApiKey": lambda ctx, number: ctx.stores.orm.api_keys.get_many([number], ctx.user),
    "Exchange": lambda ctx, number: ctx.stores.orm.exchanges.get_many([number]),
    "ExchangeAccount": lambda ctx, number: ctx.stores.orm.accounts.get_many([number], ctx.user),
    "Symbol": lambda ctx, number: ctx.stores.orm.symbols.get_many([number]),
    "Bot": lambda ctx, number: ctx.stores.orm.bots.get_many([number], ctx.user),
    "StrategyTemplate": lambda ctx, number: ctx.stores.orm.templates.get_many([number]),
    "Strategy": lambda ctx, number: ctx.stores.orm.strategies.get_many([number], ctx.user),
    "Feed": lambda ctx, number: ctx.stores.orm.feeds.get_many([number], ctx.user),
    "Order": lambda ctx, number: ctx.stores.orm.orders.get_many([number], ctx.user),
    "Trade": lambda ctx, number: ctx.stores.orm.trades.get_many([number], ctx.user),
    "DryTrade": lambda ctx, number: ctx.stores.orm.dry_trades.get_many([number], ctx.user),
}


async def node(ctx: Context, *, id: str) -> Any:
    """The record behind the id; None where it is not this server's, names nothing, or names what the caller may not see."""
    ctx.require_user()
    found = read_global_id(id)
    if found is None or found[0] not in FINDERS:
        return None
    return (await FINDERS[found[0]](ctx, found[1]))[0]
