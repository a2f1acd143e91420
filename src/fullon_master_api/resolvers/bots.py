"""Bots, their strategies and feeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.statistics import Stats, TradeKind
from fullon_master_api.executor.fields import reads
from fullon_master_api.model import Bot, BotLog, BotStatus, Feed, Simulation, Strategy, StrategyTemplate, Symbol, User
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of
from fullon_master_api.resolvers.identity import number_of


async def bot(ctx: Context, *, id: str, wanted: Wanted = None) -> Bot | None:
    return (await ctx.stores.orm.bots.get_many([number_of("Bot", id, argument="id")], ctx.user, wanted=wanted))[0]


async def bots(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[Bot]:
    """The caller's own; an admin sees all."""
    return await ctx.stores.orm.bots.page(
        ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


async def strategies(ctx: Context, *, first: int = 50, after: str | None = None, wanted: Wanted = None) -> Page[StrategyTemplate]:
    """The catalogue."""
    return await ctx.stores.orm.templates.page(ctx.user, first=first, after=after, wanted=wanted)


@reads("uid")
async def bots_of_users(
    users: Sequence[User],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[Bot]]:
    uids = [user.uid for user in users]
    return await ctx.stores.orm.bots.of_users(
        uids, ctx.user, matching=condition_of(filter), order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("uid")
async def users_of_bots(bots: Sequence[Bot], ctx: Context, *, wanted: Wanted = None) -> list[User | None]:
    return await ctx.stores.orm.users.get_many([bot.uid for bot in bots], ctx.user, wanted=wanted)


@reads("bot_id")
async def strategies_of_bots(bots: Sequence[Bot], ctx: Context, *, wanted: Wanted = None) -> list[list[Strategy]]:
    return await ctx.stores.orm.strategies.of_bots([bot.bot_id for bot in bots], ctx.user, wanted=wanted)


@reads("bot_id")
async def feeds_of_bots(bots: Sequence[Bot], ctx: Context, *, wanted: Wanted = None) -> list[list[Feed]]:
    return await ctx.stores.orm.feeds.of_bots([bot.bot_id for bot in bots], ctx.user, wanted=wanted)


@reads("bot_id")
async def logs_of_bots(
    bots: Sequence[Bot], ctx: Context, *, first: int = 50, after: str | None = None, wanted: Wanted = None
) -> list[Page[BotLog]]:
    return await ctx.stores.orm.logs.of_bots([bot.bot_id for bot in bots], ctx.user, first=first, after=after, wanted=wanted)


@reads("bot_id")
async def stats_of_bots(bots: Sequence[Bot], ctx: Context, *, days: int = 30, kind: TradeKind | None = None) -> list[Stats]:
    return await ctx.stores.orm.statistics.of_bots([bot.bot_id for bot in bots], ctx.user, days=days, kind=kind)


@reads("bot_id")
async def statuses_of_bots(bots: Sequence[Bot], ctx: Context) -> list[BotStatus | None]:
    """Whoever sees a bot may see what it says of itself."""
    return await ctx.stores.cache.bots.get_many([bot.bot_id for bot in bots])


@reads("bot_id")
async def simulations_of_bots(
    bots: Sequence[Bot], ctx: Context, *, first: int = 50, after: str | None = None, wanted: Wanted = None
) -> list[Page[Simulation]]:
    return await ctx.stores.orm.simulations.of_bots(
        [bot.bot_id for bot in bots], ctx.user, first=first, after=after, wanted=wanted
    )


@reads("str_id")
async def params_of_strategies(strategies: Sequence[Strategy], ctx: Context) -> list[dict[str, str]]:
    return await ctx.stores.orm.strategies.params_of([strategy.str_id for strategy in strategies], ctx.user)


@reads("cat_str_id")
async def params_of_templates(templates: Sequence[StrategyTemplate], ctx: Context) -> list[dict[str, str]]:
    return await ctx.stores.orm.templates.params_of([template.cat_str_id for template in templates])


@reads("cat_str_id")
async def templates_of_strategies(
    strategies: Sequence[Strategy], ctx: Context, *, wanted: Wanted = None
) -> list[StrategyTemplate | None]:
    return await ctx.stores.orm.templates.get_many([strategy.cat_str_id for strategy in strategies], wanted=wanted)


@reads("bot_id")
async def bots_of_strategies(strategies: Sequence[Strategy], ctx: Context, *, wanted: Wanted = None) -> list[Bot | None]:
    return await ctx.stores.orm.bots.get_many([strategy.bot_id for strategy in strategies], ctx.user, wanted=wanted)


@reads("str_id")
async def feeds_of_strategies(strategies: Sequence[Strategy], ctx: Context, *, wanted: Wanted = None) -> list[list[Feed]]:
    return await ctx.stores.orm.feeds.of_strategies([strategy.str_id for strategy in strategies], ctx.user, wanted=wanted)


@reads("symbol_id")
async def symbols_of_feeds(feeds: Sequence[Feed], ctx: Context, *, wanted: Wanted = None) -> list[Symbol | None]:
    return await ctx.stores.orm.symbols.get_many([feed.symbol_id for feed in feeds], wanted=wanted)
