"""`/views`: what dashboards show of a user's trading, as `docs/statistics.md` defines it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from fullon_master_api.apis.cache import Cache
from fullon_master_api.apis.orm import Orm
from fullon_master_api.model import Principal
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import Caller, Id, Latest, Store
from fullon_master_api.rest.orm.exact import ExactRoute, Number, exact_response

router = APIRouter(prefix="/views", tags=["views"], route_class=ExactRoute, responses=ANSWERS)

UserQuery = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="the caller, if it is not given; another for an admin")]
CASH: Final = frozenset({"USD", "USDT", "USDC", "DAI"})
ZERO: Final = Decimal(0)


class Dashboard(BaseModel):
    user_id: int
    total_bots: int
    active_bots: int
    dry_run_bots: int
    total_trades: int
    live_trades: int
    dry_trades: int
    open_orders: int
    profit: Number


class Overview(BaseModel):
    total_volume: Number
    active_pairs: int
    success_rate: Number | None
    total_trades: int


class Performance(BaseModel):
    win_rate: Number | None
    profit_factor: Number | None
    sharpe_ratio: Number | None
    total_pnl: Number
    closing_trades: int


class UserSummary(BaseModel):
    account_balance: Number
    total_value: Number
    daily_pnl: Number
    unpriced_assets: list[str]


class Portfolio(BaseModel):
    total_assets: int
    total_cost: Number
    asset_allocation: dict[str, Number]
    diversification_score: Number


class Risk(BaseModel):
    value_at_risk: Number | None
    max_drawdown: Number
    risk_score: Number


@router.get("/bot-dashboard/{user_id}", summary="Counts of a user's bots and trades", response_model=Dashboard)
async def bot_dashboard(user_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(msgspec.structs.asdict(await orm.views.bot_dashboard(user_id, caller)))


@router.get("/trading-overview", summary="How much is traded", response_model=Overview)
async def trading_overview(caller: Caller, orm: Store, user_id: UserQuery = None) -> Response:
    return exact_response(msgspec.structs.asdict(await orm.views.trading_overview(_uid(caller, user_id), caller)))


@router.get("/performance-metrics", summary="How well it goes", response_model=Performance)
async def performance_metrics(caller: Caller, orm: Store, user_id: UserQuery = None) -> Response:
    stats = await orm.views.stats(_uid(caller, user_id), caller)
    body = {
        "win_rate": stats.win_rate,
        "profit_factor": stats.profit_factor,
        "sharpe_ratio": stats.sharpe_ratio,
        "total_pnl": stats.profit,
        "closing_trades": stats.closings,
    }
    return exact_response(body)


@router.get("/user-summary", summary="What the accounts hold, in dollars", response_model=UserSummary)
async def user_summary(caller: Caller, orm: Store, cache: Latest, user_id: UserQuery = None) -> Response:
    uid = _uid(caller, user_id)
    daily = await orm.views.daily_profit(uid, caller)
    cash, value, unpriced = await _valued(orm, cache, uid, caller)
    body = {"account_balance": cash, "total_value": value, "daily_pnl": daily, "unpriced_assets": unpriced}
    return exact_response(body)


@router.get("/portfolio-stats", summary="What is held, and how it is spread", response_model=Portfolio)
async def portfolio_stats(caller: Caller, orm: Store, user_id: UserQuery = None) -> Response:
    return exact_response(msgspec.structs.asdict(await orm.views.portfolio(_uid(caller, user_id), caller)))


@router.get("/risk-metrics", summary="How much may be lost", response_model=Risk)
async def risk_metrics(caller: Caller, orm: Store, user_id: UserQuery = None) -> Response:
    stats = await orm.views.stats(_uid(caller, user_id), caller)
    body = {"value_at_risk": stats.value_at_risk, "max_drawdown": stats.max_drawdown, "risk_score": stats.risk_score}
    return exact_response(body)


def _uid(caller: Principal, user_id: int | None) -> int:
    return caller.uid if user_id is None else user_id


async def _valued(orm: Orm, cache: Cache, uid: int, caller: Principal) -> tuple[Decimal, Decimal, list[str]]:
    """(dollars held, everything held in dollars, what has no price): the newest balances of the user's accounts, each
    currency at the last price of its dollar symbol on that exchange; a dollar coin counts as a dollar.
    """
    (accounts,) = await orm.accounts.of_users([uid], caller)
    balances = await cache.accounts.get_balances([account.ex_id for account in accounts])
    held = [(account.exchange, row.currency, row.total) for account, few in zip(accounts, balances, strict=True) for row in few]
    wanted = sorted({(exchange, f"{currency}/USD") for exchange, currency, _ in held if currency not in CASH})
    tickers = await cache.tickers.get_many(wanted)
    prices = {key: Decimal(ticker.last) for key, ticker in zip(wanted, tickers, strict=True) if ticker and ticker.last}
    cash = sum((total for _, currency, total in held if currency in CASH), ZERO)
    priced = [(total, prices.get((exchange, f"{currency}/USD"))) for exchange, currency, total in held if currency not in CASH]
    value = cash + sum((total * price for total, price in priced if price is not None), ZERO)
    unpriced = {currency for exchange, currency, total in held if total and currency not in CASH} - {
        symbol.removesuffix("/USD") for _, symbol in prices
    }
    return cash, value, sorted(unpriced)
