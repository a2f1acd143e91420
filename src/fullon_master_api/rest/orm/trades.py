"""`/trades`: fills of live orders and of dry runs, and what they won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.dry_trades import DryTradeFilter
from fullon_master_api.apis.orm.statistics import DAYS_MAX, Stats, TradeKind
from fullon_master_api.apis.orm.trades import TradeFilter
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import DryTrade, Principal, Trade
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import NEXT, After, Caller, Id, Limit, Store
from fullon_master_api.rest.orm.bots import must_find
from fullon_master_api.rest.orm.exact import ExactRoute, Number, exact_response
from fullon_master_api.rest.orm.shapes import DRY_TRADE, TRADE

router = APIRouter(prefix="/trades", tags=["trades"], route_class=ExactRoute, responses=ANSWERS)

BodyId = Annotated[int | None, Field(ge=0, le=2**63 - 1)]
BotQuery = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
Kind = Annotated[TradeKind | None, Query(description="dry or live; both, if it is not given")]
Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="days that are counted, up to now")]


class NewTrade(BaseModel):
    """A fill. `cost` is price × volume and `fee` nothing where they are not given."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(max_length=40)
    side: str = Field(max_length=20)
    volume: Number
    price: Number
    bot_id: BodyId = None
    uid: BodyId = None
    ex_id: BodyId = None
    cat_ex_id: BodyId = None
    order_id: BodyId = None
    order_type: str | None = Field(None, max_length=20)
    cost: Number | None = None
    fee: Number | None = None
    fee_currency: str | None = Field(None, max_length=20)
    leverage: Number | None = None
    reason: str | None = Field(None, max_length=200)
    ex_trade_id: str | None = Field(None, max_length=64, description="the exchange's id; makes a live fill safe to repeat")
    ex_order_id: str | None = Field(None, max_length=64)
    time: AwareDatetime | None = None


class TradeChange(BaseModel):
    """A correction of a dry-run fill."""

    model_config = ConfigDict(extra="forbid")

    side: str | None = Field(None, max_length=20)
    volume: Number | None = None
    price: Number | None = None
    cost: Number | None = None
    fee: Number | None = None
    reason: str | None = Field(None, max_length=200)


class AnyTrade(BaseModel):
    """A fill of either kind, with the fields of its kind."""

    model_config = ConfigDict(extra="allow")

    trade_id: int
    trade_type: TradeKind
    symbol: str
    side: str
    volume: Number
    price: Number


class StatsBody(BaseModel):
    """Numbers of fills, as `docs/statistics.md` defines them; money in quote currency."""

    total_trades: int
    closing_trades: int
    winning_trades: int
    losing_trades: int
    total_volume: Number
    total_pnl: Number
    pnl_by_quote: dict[str, Number]
    win_rate: Number | None
    average_pnl: Number | None
    best_trade: Number | None
    worst_trade: Number | None
    profit_factor: Number | None
    sharpe_ratio: Number | None
    max_drawdown: Number
    first_trade: datetime | None
    last_trade: datetime | None


class Summary(BaseModel):
    """Numbers of dry-run and of live fills, and of both."""

    dry: StatsBody
    live: StatsBody
    total: StatsBody


_LIVE_ONLY: Final = ("order_type", "fee_currency", "leverage", "ex_trade_id", "ex_order_id", "time")
_DRY_ONLY: Final = ("reason",)


def live_body(trade: Trade) -> dict[str, Any]:
    return TRADE.body(trade) | {"trade_type": TradeKind.LIVE, "timestamp": trade.time}


def dry_body(trade: DryTrade) -> dict[str, Any]:
    return DRY_TRADE.body(trade) | {"trade_type": TradeKind.DRY, "time": trade.created_at}


def stats_body(stats: Stats) -> dict[str, Any]:
    return {
        "total_trades": stats.trades,
        "closing_trades": stats.closings,
        "winning_trades": stats.wins,
        "losing_trades": stats.losses,
        "total_volume": stats.volume,
        "total_pnl": stats.profit,
        "pnl_by_quote": stats.profit_by_quote,
        "win_rate": stats.win_rate,
        "average_pnl": stats.average_profit,
        "best_trade": stats.best,
        "worst_trade": stats.worst,
        "profit_factor": stats.profit_factor,
        "sharpe_ratio": stats.sharpe_ratio,
        "max_drawdown": stats.max_drawdown,
        "first_trade": stats.first_at,
        "last_trade": stats.last_at,
    }


async def fills(
    orm: Orm,
    caller: Principal,
    live: TradeFilter,
    *,
    kind: TradeKind | None,
    limit: int,
    after: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """(newest fills, cursor of the next page): of one kind in pages, of both without, because each has its own order."""
    if kind is None and after is not None:
        raise BadUserInput("a page after the first is of one kind: name trade_type", path=("trade_type",))
    rows: list[dict[str, Any]] = []
    cursor = None
    if kind is not TradeKind.DRY:
        trades = await orm.trades.page(caller, filters=live, first=limit, after=after)
        rows += [live_body(trade) for trade in trades.rows]
        cursor = trades.cursors[-1] if trades.has_next else None
    if kind is not TradeKind.LIVE:
        dry = DryTradeFilter(bot_id=live.bot_id, symbol=live.symbol, created_from=live.from_time, created_to=live.to_time)
        dry_trades = await orm.dry_trades.page(caller, filters=dry, first=limit, after=after)
        rows += [dry_body(trade) for trade in dry_trades.rows]
        cursor = dry_trades.cursors[-1] if dry_trades.has_next else None
    rows.sort(key=lambda row: (row["time"], row["trade_id"]), reverse=True)
    return rows[:limit], cursor if kind is not None else None


def _answer(found: tuple[Sequence[Mapping[str, Any]], str | None]) -> Response:
    rows, cursor = found
    return exact_response(rows, headers={NEXT: cursor} if cursor else None)


@router.get("/bot", summary="Fills of a bot, newest first", response_model=list[AnyTrade])
async def of_bot(
    bot_id: Annotated[int, Query(ge=0, le=2**63 - 1)],
    caller: Caller,
    orm: Store,
    trade_type: Kind = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    await must_find(orm, bot_id, caller)
    return _answer(await fills(orm, caller, TradeFilter(bot_id=bot_id), kind=trade_type, limit=limit, after=after))


@router.get("/by-bot", summary="The newest fills, by bot", response_model=dict[str, list[AnyTrade]])
async def by_bot(caller: Caller, orm: Store, trade_type: Kind = None, limit: Limit = 100) -> Response:
    rows, _ = await fills(orm, caller, TradeFilter(), kind=trade_type, limit=limit, after=None)
    return exact_response(_grouped(rows, "bot_id"))


@router.get("/by-symbol", summary="The newest fills, by symbol", response_model=dict[str, list[AnyTrade]])
async def by_symbol(
    caller: Caller,
    orm: Store,
    symbol: Annotated[str | None, Query(max_length=40)] = None,
    bot_id: BotQuery = None,
    trade_type: Kind = None,
    limit: Limit = 100,
) -> Response:
    where = TradeFilter(symbol=symbol, bot_id=bot_id)
    rows, _ = await fills(orm, caller, where, kind=trade_type, limit=limit, after=None)
    return exact_response(_grouped(rows, "symbol"))


def _grouped(rows: Sequence[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row[name] is not None:
            found.setdefault(str(row[name]), []).append(row)
    return found


@router.get("/history", summary="Fills of a time, newest first", response_model=list[AnyTrade])
async def history(
    caller: Caller,
    orm: Store,
    symbol: Annotated[str | None, Query(max_length=40)] = None,
    bot_id: BotQuery = None,
    start_date: Annotated[AwareDatetime | None, Query()] = None,
    end_date: Annotated[AwareDatetime | None, Query()] = None,
    trade_type: Kind = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    where = TradeFilter(symbol=symbol, bot_id=bot_id, from_time=start_date, to_time=end_date)
    return _answer(await fills(orm, caller, where, kind=trade_type, limit=limit, after=after))


@router.get("/live", summary="Fills of live orders, newest first", response_model=list[AnyTrade])
async def live(caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    return _answer(await fills(orm, caller, TradeFilter(), kind=TradeKind.LIVE, limit=limit, after=after))


@router.get("/stats", summary="Numbers of the last days", response_model=StatsBody)
async def stats(caller: Caller, orm: Store, bot_id: BotQuery = None, days: Days = 30, trade_type: Kind = None) -> Response:
    return exact_response(stats_body(await orm.statistics.overall(caller, bot_id=bot_id, days=days, kind=trade_type)))


@router.get("/performance", summary="Numbers of the last year", response_model=StatsBody)
async def performance(caller: Caller, orm: Store, bot_id: BotQuery = None, days: Days = 365, trade_type: Kind = None) -> Response:
    return exact_response(stats_body(await orm.statistics.overall(caller, bot_id=bot_id, days=days, kind=trade_type)))


@router.get("/stats/overall", summary="Numbers of all time", response_model=StatsBody)
async def overall(caller: Caller, orm: Store, trade_type: Kind = None) -> Response:
    return exact_response(stats_body(await orm.statistics.overall(caller, days=DAYS_MAX, kind=trade_type)))


@router.get("/summary", summary="Numbers of dry-run and live fills beside each other", response_model=Summary)
async def summary(caller: Caller, orm: Store, days: Days = DAYS_MAX) -> Response:
    body = {
        "dry": stats_body(await orm.statistics.overall(caller, days=days, kind=TradeKind.DRY)),
        "live": stats_body(await orm.statistics.overall(caller, days=days, kind=TradeKind.LIVE)),
        "total": stats_body(await orm.statistics.overall(caller, days=days)),
    }
    return exact_response(body)


@router.get("/symbol-performance", summary="Numbers of each symbol", response_model=dict[str, StatsBody])
async def symbol_performance(caller: Caller, orm: Store, days: Days = DAYS_MAX, trade_type: Kind = None) -> Response:
    found = await orm.statistics.by_symbol(caller, days=days, kind=trade_type)
    return exact_response({symbol: stats_body(stats) for symbol, stats in found.items()})


@router.post("/bot", summary="Store a fill of a bot: dry or live as the bot is", response_model=AnyTrade)
async def add_of_bot(body: NewTrade, caller: Caller, orm: Store) -> Response:
    if body.bot_id is None:
        raise BadUserInput("bot_id is missing", path=("bot_id",))
    bot = await must_find(orm, body.bot_id, caller)
    return await (_add_dry if bot.dry_run else _add_live)(body, caller, orm)


@router.post("/dry", summary="Store a dry-run fill", response_model=AnyTrade)
async def add_dry(body: NewTrade, caller: Caller, orm: Store) -> Response:
    return await _add_dry(body, caller, orm)


@router.post("/live", summary="Store a live fill; it can never be changed", response_model=AnyTrade)
async def add_live(body: NewTrade, caller: Caller, orm: Store) -> Response:
    return await _add_live(body, caller, orm)


async def _add_dry(body: NewTrade, caller: Principal, orm: Orm) -> Response:
    values = body.model_dump(exclude=set(_LIVE_ONLY), exclude_none=True)
    if body.time is not None:
        values["created_at"] = body.time
    return exact_response(dry_body(await orm.dry_trades.save(values, principal=caller)))


async def _add_live(body: NewTrade, caller: Principal, orm: Orm) -> Response:
    """A fill without the exchange's ids gets made-up ones, which say so."""
    values = body.model_dump(exclude={*_DRY_ONLY, "cat_ex_id"}, exclude_none=True)
    values.setdefault("ex_trade_id", f"manual-{uuid4()}")
    values.setdefault("ex_order_id", f"manual-{uuid4()}")
    values.setdefault("time", datetime.now(UTC))
    try:
        trade = await orm.trades.save_trade(values, principal=caller)
    except BadUserInput as error:  # The store names the place in its list; here there is one fill.
        raise BadUserInput(error.message, path=[part for part in error.path if isinstance(part, str)]) from error
    return exact_response(live_body(trade))


@router.patch("/{trade_id}", summary="Correct a dry-run fill", response_model=AnyTrade)
async def modify(trade_id: Id, body: TradeChange, caller: Caller, orm: Store, trade_type: Kind = None) -> Response:
    """Without `trade_type` a number that a live fill has means that one, which never changes: 409 IMMUTABLE."""
    await _refuse_live(orm, trade_id, caller, trade_type)
    return exact_response(dry_body(await orm.dry_trades.modify(trade_id, caller, body.model_dump(exclude_unset=True))))


@router.delete("/{trade_id}", summary="Remove a dry-run fill", response_model=AnyTrade)
async def remove(trade_id: Id, caller: Caller, orm: Store, trade_type: Kind = None) -> Response:
    """Without `trade_type` a number that a live fill has means that one, which never goes: 409 IMMUTABLE."""
    await _refuse_live(orm, trade_id, caller, trade_type)
    return exact_response(dry_body(await orm.dry_trades.remove(trade_id, caller)))


async def _refuse_live(orm: Orm, trade_id: int, caller: Principal, kind: TradeKind | None) -> None:
    if kind is TradeKind.LIVE or (kind is None and (await orm.trades.get_many([trade_id], caller))[0] is not None):
        await orm.trades.refuse_change(trade_id, caller)
