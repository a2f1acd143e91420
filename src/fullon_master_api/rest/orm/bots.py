"""`/bots`: bots with what hangs on them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.model import Bot, Feed, Principal
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import After, Caller, Id, Limit, QueryId, Store, found, page_response
from fullon_master_api.rest.orm.exact import ExactRoute, Number, exact_response
from fullon_master_api.rest.orm.shapes import ACCOUNT, BOT, BOT_LOG, FEED, STRATEGY

router = APIRouter(prefix="/bots", tags=["bots"], route_class=ExactRoute, responses=ANSWERS)


class BotChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=50)
    active: bool | None = None
    dry_run: bool | None = None
    test: bool | None = None


class NewBot(BotChange):
    """`uid` is the caller where it is not given; only an admin may give another."""

    uid: int | None = Field(None, ge=0, le=2**63 - 1)
    ex_ids: list[int] | None = Field(None, max_length=50, description="accounts that the bot trades on")


class BotDetails(BOT.model):  # type: ignore[name-defined,misc]
    """A bot with its accounts, strategies and feeds."""

    exchanges: list[ACCOUNT.model]  # type: ignore[name-defined]
    strategies: list[STRATEGY.model]  # type: ignore[name-defined]
    feeds: list[FEED.model]  # type: ignore[name-defined]


class BotStats(BaseModel):
    """Numbers of the bot's fills, as `docs/statistics.md` defines them; money in quote currency."""

    bot_id: int
    total_trades: int
    closing_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: Number | None
    profit: Number
    volume: Number
    profit_factor: Number | None
    sharpe_ratio: Number | None
    max_drawdown: Number
    open_orders: int
    uptime_seconds: int
    first_trade: datetime | None
    last_trade: datetime | None


class LastLog(BaseModel):
    """When the bot last wrote a line, and the line; null where it never did."""

    bot_id: int
    timestamp: datetime | None
    log: BOT_LOG.model | None  # type: ignore[name-defined]


async def must_find(orm: Orm, bot_id: int, caller: Principal) -> Bot:
    """Raises: NotFound."""
    return found(await orm.bots.get_many([bot_id], caller), f"no bot {bot_id}")


async def feed_bodies(orm: Orm, feeds: list[Feed]) -> list[dict[str, Any]]:
    """Feeds with the name of their symbol."""
    symbols = await orm.symbols.get_many([feed.symbol_id for feed in feeds])
    return [FEED.body(feed) | {"symbol": symbol and symbol.symbol} for feed, symbol in zip(feeds, symbols, strict=True)]


@router.post("/", summary="Add a bot", response_model=BOT.model)
async def add(body: NewBot, caller: Caller, orm: Store) -> Response:
    values = {name: value for name, value in body.model_dump(exclude_unset=True, exclude={"ex_ids"}).items() if value is not None}
    bot = await orm.bots.add(caller, values)
    if body.ex_ids:
        await orm.bots.set_accounts(bot.bot_id, caller, body.ex_ids)
    return exact_response(BOT.body(bot))


@router.get("/by-user", summary="Bots of a user", response_model=BOT.many)
async def by_user(user_id: QueryId, caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    return page_response((await orm.bots.of_users([user_id], caller, first=limit, after=after))[0], BOT.body)


@router.get("/{bot_id}/details", summary="A bot with accounts, strategies and feeds", response_model=BotDetails)
async def details(bot_id: Id, caller: Caller, orm: Store) -> Response:
    bot = await must_find(orm, bot_id, caller)
    (accounts,) = await orm.accounts.of_bots([bot_id], caller)
    (strategies,) = await orm.strategies.of_bots([bot_id], caller)
    (feeds,) = await orm.feeds.of_bots([bot_id], caller)
    body = BOT.body(bot) | {
        "exchanges": [ACCOUNT.body(account) for account in accounts],
        "strategies": [STRATEGY.body(strategy) for strategy in strategies],
        "feeds": await feed_bodies(orm, feeds),
    }
    return exact_response(body)


@router.get("/{bot_id}/feeds", summary="Feeds of all strategies of a bot", response_model=FEED.many)
async def feeds(bot_id: Id, caller: Caller, orm: Store) -> Response:
    await must_find(orm, bot_id, caller)
    return exact_response(await feed_bodies(orm, (await orm.feeds.of_bots([bot_id], caller))[0]))


@router.get("/{bot_id}/strategies", summary="Strategies of a bot", response_model=STRATEGY.many)
async def strategies(bot_id: Id, caller: Caller, orm: Store) -> Response:
    await must_find(orm, bot_id, caller)
    return exact_response([STRATEGY.body(row) for row in (await orm.strategies.of_bots([bot_id], caller))[0]])


@router.get("/{bot_id}/stats", summary="Numbers of a bot's fills", response_model=BotStats)
async def stats(bot_id: Id, caller: Caller, orm: Store) -> Response:
    bot = await must_find(orm, bot_id, caller)
    (numbers,) = await orm.statistics.of_bots([bot_id], caller)
    (open_orders,) = await orm.orders.count_open([bot_id], caller)
    body = {
        "bot_id": bot_id,
        "total_trades": numbers.trades,
        "closing_trades": numbers.closings,
        "winning_trades": numbers.wins,
        "losing_trades": numbers.losses,
        "win_rate": numbers.win_rate,
        "profit": numbers.profit,
        "volume": numbers.volume,
        "profit_factor": numbers.profit_factor,
        "sharpe_ratio": numbers.sharpe_ratio,
        "max_drawdown": numbers.max_drawdown,
        "open_orders": open_orders,
        "uptime_seconds": uptime_s(bot),
        "first_trade": numbers.first_at,
        "last_trade": numbers.last_at,
    }
    return exact_response(body)


@router.get("/{bot_id}/actions", summary="What a bot did last, newest first", response_model=BOT_LOG.many)
async def actions(
    bot_id: Id,
    caller: Caller,
    orm: Store,
    limit: Annotated[int, Query(ge=1, le=500)] = 10,
    after: After = None,
) -> Response:
    await must_find(orm, bot_id, caller)
    return page_response((await orm.logs.of_bots([bot_id], caller, first=limit, after=after))[0], BOT_LOG.body)


@router.get("/{bot_id}/exchanges", summary="Accounts that a bot trades on", response_model=ACCOUNT.many)
async def exchanges(bot_id: Id, caller: Caller, orm: Store) -> Response:
    await must_find(orm, bot_id, caller)
    return exact_response([ACCOUNT.body(row) for row in (await orm.accounts.of_bots([bot_id], caller))[0]])


@router.get("/{bot_id}/last-log", summary="A bot's last line", response_model=LastLog)
async def last_log(bot_id: Id, caller: Caller, orm: Store) -> Response:
    await must_find(orm, bot_id, caller)
    (page,) = await orm.logs.of_bots([bot_id], caller, first=1)
    log = page.rows[0] if page.rows else None
    return exact_response({"bot_id": bot_id, "timestamp": log and log.created_at, "log": log and BOT_LOG.body(log)})


@router.patch("/{bot_id}", summary="Change a bot", response_model=BOT.model)
async def modify(bot_id: Id, body: BotChange, caller: Caller, orm: Store) -> Response:
    return exact_response(BOT.body(await orm.bots.modify(bot_id, caller, body.model_dump(exclude_unset=True))))


@router.delete("/{bot_id}", summary="Remove a bot; its orders and live trades stay", response_model=BOT.model)
async def remove(bot_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(BOT.body(await orm.bots.remove(bot_id, caller)))


def uptime_s(bot: Bot) -> int:
    """Seconds since an active bot was made; 0 for one that is switched off."""
    return int((utc_now() - bot.created_at).total_seconds()) if bot.active else 0
