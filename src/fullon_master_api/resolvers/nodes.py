"""Anything by its global id or, for a supergraph's router, by one of its keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.errors import BadUserInput, GatewayError
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.identity import read_global_id

REPRESENTATIONS_MAX: Final = 5_000

WantedOf = Callable[[str], Wanted]
"""What will be read of rows of a type, by its name."""
Finder = Callable[[Context, list[Any], Wanted], Awaitable[list[Any]]]
"""Records of many keys in one call: as many answers as keys, in their order, None where the caller sees nothing."""

FINDERS: Final[dict[str, Finder]] = {
    "User": lambda ctx, numbers, wanted: ctx.stores.orm.users.get_many(numbers, ctx.user, wanted=wanted),
    "ApiKey": lambda ctx, numbers, wanted: ctx.stores.orm.api_keys.get_many(numbers, ctx.user, wanted=wanted),
    "Exchange": lambda ctx, numbers, wanted: ctx.stores.orm.exchanges.get_many(numbers, wanted=wanted),
    "ExchangeAccount": lambda ctx, numbers, wanted: ctx.stores.orm.accounts.get_many(numbers, ctx.user, wanted=wanted),
    "Symbol": lambda ctx, numbers, wanted: ctx.stores.orm.symbols.get_many(numbers, wanted=wanted),
    "Bot": lambda ctx, numbers, wanted: ctx.stores.orm.bots.get_many(numbers, ctx.user, wanted=wanted),
    "StrategyTemplate": lambda ctx, numbers, wanted: ctx.stores.orm.templates.get_many(numbers, wanted=wanted),
    "Strategy": lambda ctx, numbers, wanted: ctx.stores.orm.strategies.get_many(numbers, ctx.user, wanted=wanted),
    "Feed": lambda ctx, numbers, wanted: ctx.stores.orm.feeds.get_many(numbers, ctx.user, wanted=wanted),
    "Order": lambda ctx, numbers, wanted: ctx.stores.orm.orders.get_many(numbers, ctx.user, wanted=wanted),
    "Trade": lambda ctx, numbers, wanted: ctx.stores.orm.trades.get_many(numbers, ctx.user, wanted=wanted),
    "DryTrade": lambda ctx, numbers, wanted: ctx.stores.orm.dry_trades.get_many(numbers, ctx.user, wanted=wanted),
}


async def node(ctx: Context, *, id: str, wanted: WantedOf | None = None) -> Any:
    """The record behind the id; None where it is not this server's, names nothing, or names what the caller may not see."""
    ctx.require_user()
    found = read_global_id(id)
    if found is None or found[0] not in FINDERS:
        return None
    kind, number = found
    return (await FINDERS[kind](ctx, [number], None if wanted is None else wanted(kind)))[0]


async def entities(ctx: Context, *, representations: list[Any], wanted: WantedOf | None = None) -> list[Any]:
    """The record of each representation, in their order; one call for all of one type and key.

    None where there is nothing for this caller; an exception in place of what cannot be read or is unavailable.
    """
    ctx.require_user()
    if len(representations) > REPRESENTATIONS_MAX:
        raise BadUserInput(f"{len(representations)} representations, at most {REPRESENTATIONS_MAX} are answered")
    answers: list[Any] = [None] * len(representations)
    asked: dict[tuple[str, Finder], list[tuple[int, Any]]] = {}
    for position, representation in enumerate(representations):
        try:
            kind, finder, key = read_representation(representation)
        except BadUserInput as error:
            answers[position] = error
        else:
            asked.setdefault((kind, finder), []).append((position, key))
    for (kind, finder), places in asked.items():
        rows = await _find(finder, ctx, [key for _, key in places], None if wanted is None else wanted(kind))
        for (position, _), found in zip(places, rows, strict=True):
            answers[position] = found
    return answers


async def _find(finder: Finder, ctx: Context, keys: list[Any], wanted: Wanted) -> Sequence[Any]:
    """What the finder answers; a store that is away takes its own entities and no others."""
    try:
        return await finder(ctx, keys, wanted)
    except GatewayError as error:
        return [error] * len(keys)


def _exchanges_by_name(ctx: Context, names: list[Any], wanted: Wanted) -> Awaitable[list[Any]]:
    return ctx.stores.orm.exchanges.by_names(names, wanted=wanted)


def _symbols_by_name(ctx: Context, names: list[Any], wanted: Wanted) -> Awaitable[list[Any]]:
    return ctx.stores.orm.symbols.by_names(names, wanted=wanted)


async def _nothing(_ctx: Context, keys: list[Any], _wanted: Wanted) -> list[Any]:
    """An id that was never given: there is no such thing."""
    return [None] * len(keys)


def read_representation(representation: Any) -> tuple[str, Finder, Any]:
    """An entity's type, how it is found, and by which key. Raises BadUserInput for what names no entity of this graph."""
    match representation:
        case {"__typename": str(kind), "id": str(text)} if kind in FINDERS:
            found = read_global_id(text)
            return (kind, FINDERS[kind], found[1]) if found is not None and found[0] == kind else (kind, _nothing, text)
        case {"__typename": "Symbol", "symbol": str(symbol), "exchange": {"name": str(exchange)}}:
            return "Symbol", _symbols_by_name, (exchange, symbol)
        case {"__typename": "Exchange", "name": str(name)}:
            return "Exchange", _exchanges_by_name, name
    raise BadUserInput("a representation must have the __typename of an entity and one of its keys", path=("representations",))
