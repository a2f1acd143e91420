"""The bots socket: what the caller's bots say of themselves, and who holds a symbol of his accounts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from time import time

from fullon_master_api.bus import bot_topic
from fullon_master_api.model import Principal
from fullon_master_api.rest.cache.desk import Action, Desk, Endpoint, Json, Name, Params, Refused, Stream, own_accounts, patiently


class OneBot(Params, frozen=True):
    bot_id: Name | int


class SomeBots(Params, frozen=True):
    bot_id: Name | int | None = None


class OneHolding(Params, frozen=True):
    """`exchange`: the id or the name of one of the caller's accounts."""

    exchange: Name | int
    symbol: Name


async def own(desk: Desk, principal: Principal, bot_id: str | int | None) -> list[int]:
    """The caller's bots, or the one of them that is meant."""
    bots = [bot.bot_id for bot in await desk.get_bots(principal)]
    found = [bot for bot in bots if bot_id is None or str(bot) == str(bot_id)]
    if bot_id is not None and not found:
        raise Refused("BOT_NOT_FOUND", f"no bot {bot_id!r} of yours")
    return found


async def get_bot_status(desk: Desk, principal: Principal, params: OneBot) -> Json:
    status = (await desk.cache.bots.get_many(await own(desk, principal, params.bot_id)))[0]
    feeds = {} if status is None else status.feeds
    first = next(iter(feeds.values()), {})
    return {
        "bot_id": params.bot_id,
        "status": first.get("status", "unknown"),
        "data": feeds,
        "timestamp": time() if status is None else status.updated_ns / 1e9,
    }


async def is_blocked(desk: Desk, principal: Principal, params: OneHolding) -> Json:
    accounts = own_accounts(await desk.get_accounts(principal), params.exchange)
    if not accounts:
        raise Refused("INVALID_PARAMS", f"you have no account {params.exchange!r}")
    blocks = await desk.cache.bots.get_blocks([(account.ex_id, params.symbol) for account in accounts])
    holder = next((block.bot_id for block in blocks if block is not None), None)
    held = {"is_blocked": holder is not None, "blocked_by": holder}
    return {"exchange": params.exchange, "symbol": params.symbol, **held, "timestamp": time()}


async def get_bots(desk: Desk, principal: Principal, _params: Params) -> Json:
    return {"bots": await _read(desk, await own(desk, principal, None))}


async def stream_bot_status(desk: Desk, principal: Principal, params: SomeBots) -> AsyncGenerator[Json]:
    return _watch(desk, await own(desk, principal, params.bot_id))


async def _watch(desk: Desk, bot_ids: Sequence[int]) -> AsyncGenerator[Json]:
    async with desk.bus.subscribe([bot_topic(bot_id) for bot_id in bot_ids]) as mailbox:
        bots = await _read(desk, bot_ids)
        yield {"bots": bots, "timestamp": time()}
        async for _topic, _message in mailbox:
            now = await patiently(lambda: _read(desk, bot_ids))
            if now != bots:
                bots = now
                yield {"bots": bots, "timestamp": time()}


async def _read(desk: Desk, bot_ids: Sequence[int]) -> Json:
    found = await desk.cache.bots.get_many(bot_ids)
    return {str(status.bot_id): status.feeds for status in found if status is not None}


ENDPOINT = Endpoint(
    actions={
        "get_bot_status": Action(OneBot, get_bot_status),
        "is_blocked": Action(OneHolding, is_blocked),
        "get_bots": Action(Params, get_bots),
    },
    streams={"stream_bot_status": Stream(SomeBots, stream_bot_status, "bot_update")},
)
