"""Bots, their strategies and feeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.statistics import Stats, TradeKind
from fullon_master_api.model import Bot, BotLog, BotStatus, Feed, Simulation, Strategy, StrategyTemplate, Symbol, User
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of
from fullon_master_api.resolvers.identity import number_of


async def bot(ctx: Context, *, id: str) -> Bot | None:
    return (await ctx.stores.orm.bots.get_many([number_of("Bot", id, argument="id")], ctx.user))[0]


async def bots(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
) -> Page[Bot]:
    """The caller's own; an admin sees all."""
    return await ctx.stores.orm.bots.page(
        ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after
    )


async def strategies(ctx: Context, *, first: int = 50, after: str | None = None) -> Page[StrategyTemplate]:
    """The catalogue."""
    return await ctx.stores.orm.templates.page(ctx.user, first=first, after=after)


async def bots_of_users(
    users: Sequence[User],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
) -> list[Page[Bot]]:
    uids = [user.uid for user in users]
    return await ctx.stores.orm.bots.of_users(
        uids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after
    )


async def users_of_bots(bots: Sequence[Bot], ctx: Context) -> list[User | None]:
    return await ctx.stores.orm.users.get_many([bot.uid for bot in bots], ctx.user)


async def strategies_of_bots(bots: Sequence[Bot], ctx: Context) -> list[list[Strategy]]:
    return await ctx.stores.orm.strategies.of_bots([bot.bot_id for bot in bots], ctx.user)


async def feeds_of_bots(bots: Sequence[Bot], ctx: Context) -> list[list[Feed]]:
    return await ctx.stores.orm.feeds.of_bots([bot.bot_id for bot in bots], ctx.user)


async def logs_of_bots(bots: Sequence[Bot], ctx: Context, *, first: int = 50, after: str | None = None) -> list[Page[BotLog]]:
    return await ctx.stores.orm.logs.of_bots([bot.bot_id for bot in bots], ctx.user, first=first, after=after)


async def stats_of_bots(bots: Sequence[Bot], ctx: Context, *, days: int = 30, kind: TradeKind | None = None) -> list[Stats]:
    return await ctx.stores.orm.statistics.of_bots([bot.bot_id for bot in bots], ctx.user, days=days, kind=kind)


async def statuses_of_bots(bots: Sequence[Bot], ctx: Context) -> list[BotStatus | None]:
    """Whoever sees a bot may see what it says of itself."""
    return await ctx.stores.cache.bots.get_many([bot.bot_id for bot in bots])


async def simulations_of_bots(
    bots: Sequence[Bot], ctx: Context, *, first: int = 50, after: str | None = None
) -> list[Page[Simulation]]:
    return await ctx.stores.orm.simulations.of_bots([bot.bot_id for bot in bots], ctx.user, first=first, after=after)


async def params_of_strategies(strategies: Sequence[Strategy], ctx: Context) -> list[dict[str, str]]:
    return await ctx.stores.orm.strategies.params_of([strategy.str_id for strategy in strategies], ctx.user)


async def params_of_templates(templates: Sequence[StrategyTemplate], ctx: Context) -> list[dict[str, str]]:
    return await ctx.stores.orm.templates.params_of([template.cat_str_id for template in templates])


async def templates_of_strategies(strategies: Sequence[Strategy], ctx: Context) -> list[StrategyTemplate | None]:
    return await ctx.stores.orm.templates.get_many([strategy.cat_str_id for strategy in strategies])


async def bots_of_strategies(strategies: Sequence[Strategy], ctx: Context) -> list[Bot | None]:
    return await ctx.stores.orm.bots.get_many([strategy.bot_id for strategy in strategies], ctx.user)


async def feeds_of_strategies(strategies: Sequence[Strategy], ctx: Context) -> list[list[Feed]]:
    return await ctx.stores.orm.feeds.of_strategies([strategy.str_id for strategy in strategies], ctx.user)


async def symbols_of_feeds(feeds: Sequence[Feed], ctx: Context) -> list[Symbol | None]:
    return await ctx.stores.orm.symbols.get_many([feed.symbol_id for feed in feeds])
