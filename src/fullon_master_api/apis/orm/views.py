"""The six views of a user's trading, as `docs/statistics.md` defines them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, Final

from sqlalchemy import Select, case, func, select, union_all

from fullon_master_api.apis.orm.database import Database, sees_all
from fullon_master_api.apis.orm.profit import PRECISION, ZERO, rounded
from fullon_master_api.apis.orm.statistics import DAYS_DEFAULT, DAYS_MAX, Statistics, Stats
from fullon_master_api.apis.orm.tables import bots
from fullon_master_api.apis.orm.tables_trading import dry_trades, orders, trades
from fullon_master_api.errors import NotFound
from fullon_master_api.model import OPEN_STATUSES, Principal, Record

MEASURED_DAYS: Final = DAYS_MAX


class BotDashboard(Record, frozen=True, kw_only=True):
    user_id: int
    total_bots: int
    active_bots: int
    dry_run_bots: int
    total_trades: int
    live_trades: int
    dry_trades: int
    open_orders: int
    profit: Decimal


class TradingOverview(Record, frozen=True, kw_only=True):
    total_volume: Decimal
    active_pairs: int
    success_rate: Decimal | None
    total_trades: int


class PortfolioStats(Record, frozen=True, kw_only=True):
    """Shares of what is held, by cost."""

    total_assets: int
    total_cost: Decimal
    asset_allocation: dict[str, Decimal]
    diversification_score: Decimal


class Views:
    """Each is of one user: the caller, or for an admin any. What is asked of somebody else is not found."""

    def __init__(self, database: Database, statistics: Statistics) -> None:
        self._database = database
        self._statistics = statistics

    async def bot_dashboard(self, uid: int, principal: Principal | None) -> BotDashboard:
        _must_see(uid, principal)
        counts = select(
            func.count(), func.sum(case((bots.c.active, 1), else_=0)), func.sum(case((bots.c.dry_run, 1), else_=0))
        ).where(bots.c.uid == uid)
        open_orders = select(func.count()).where(orders.c.uid == uid, orders.c.status.in_(OPEN_STATUSES))
        live = select(func.count()).where(trades.c.uid == uid)
        dry = select(func.count()).where(dry_trades.c.uid == uid)
        async with self._database.read() as connection:
            total, active, dry_run = (await connection.execute(counts)).one()
            row = (
                await connection.execute(select(live.scalar_subquery(), dry.scalar_subquery(), open_orders.scalar_subquery()))
            ).one()
        stats = await self._statistics.overall(None, uid=uid, days=MEASURED_DAYS)
        return BotDashboard(
            user_id=uid,
            total_bots=total,
            active_bots=active or 0,
            dry_run_bots=dry_run or 0,
            total_trades=row[0] + row[1],
            live_trades=row[0],
            dry_trades=row[1],
            open_orders=row[2],
            profit=stats.profit,
        )

    async def trading_overview(self, uid: int, principal: Principal | None) -> TradingOverview:
        _must_see(uid, principal)
        fills = await self._statistics.fills(None, uid=uid)
        recent = datetime.now(UTC) - timedelta(days=DAYS_DEFAULT)
        closed = [fill.roi for fill in fills if fill.roi is not None]
        return TradingOverview(
            total_volume=rounded(sum((fill.cost for fill in fills), ZERO)),
            active_pairs=len({fill.symbol for fill in fills if fill.time >= recent}),
            success_rate=rounded(Decimal(sum(roi > 0 for roi in closed)) / len(closed)) if closed else None,
            total_trades=len(fills),
        )

    async def stats(self, uid: int, principal: Principal | None) -> Stats:
        """What the views of performance and of risk show."""
        _must_see(uid, principal)
        return await self._statistics.overall(None, uid=uid, days=MEASURED_DAYS)

    async def daily_profit(self, uid: int, principal: Principal | None) -> Decimal:
        """Profit of the UTC day that is running."""
        _must_see(uid, principal)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        fills = await self._statistics.fills(None, uid=uid, days=1)
        return sum((fill.roi for fill in fills if fill.roi is not None and fill.time >= today), ZERO)

    async def portfolio(self, uid: int, principal: Principal | None) -> PortfolioStats:
        """What is held by the fills: of each account (for dry runs also each bot) and symbol the position after the newest
        fill, at the price of that fill. Short positions count with their size.
        """
        _must_see(uid, principal)
        newest = union_all(_newest_live(uid), _newest_dry(uid)).subquery()
        held: dict[str, Decimal] = defaultdict(lambda: ZERO)
        async with self._database.read() as connection:
            for row in await connection.execute(select(newest)):
                if row.cur_volume:
                    held[row.symbol.partition("/")[0]] += abs(row.cur_volume) * row.price
        with localcontext(prec=PRECISION, rounding=ROUND_HALF_EVEN):
            total = sum(held.values(), ZERO)
            shares = {asset: rounded(cost / total) for asset, cost in sorted(held.items())}
            squares = sum((share * share for share in shares.values()), ZERO)
        return PortfolioStats(
            total_assets=len(shares),
            total_cost=rounded(total),
            asset_allocation=shares,
            diversification_score=rounded(1 - squares) if shares else ZERO,
        )


def _must_see(uid: int, principal: Principal | None) -> None:
    if principal is not None and not sees_all(principal) and principal.uid != uid:
        raise NotFound(f"no user {uid}", path=("user_id",))


def _newest_live(uid: int) -> Select[Any]:
    last = select(func.max(trades.c.trade_id)).where(trades.c.uid == uid).group_by(trades.c.ex_id, trades.c.symbol)
    columns = select(trades.c.symbol, trades.c.price, trades.c.cur_volume)
    return columns.where(trades.c.trade_id.in_(last))


def _newest_dry(uid: int) -> Select[Any]:
    series = (dry_trades.c.bot_id, dry_trades.c.ex_id, dry_trades.c.symbol)
    last = select(func.max(dry_trades.c.trade_id)).where(dry_trades.c.uid == uid).group_by(*series)
    columns = select(dry_trades.c.symbol, dry_trades.c.price, dry_trades.c.cur_volume)
    return columns.where(dry_trades.c.trade_id.in_(last))
