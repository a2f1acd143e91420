"""Statistics of fills, as `docs/statistics.md` defines them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Select, false, literal, select, true, union_all

from fullon_master_api.apis.orm.database import Database, sees_all
from fullon_master_api.apis.orm.paging import checked_first
from fullon_master_api.apis.orm.profit import PRECISION, ZERO, rounded
from fullon_master_api.apis.orm.tables_trading import dry_trades, trades
from fullon_master_api.model import Principal, Record

K = TypeVar("K", bound=Hashable)

ROWS_MAX: Final = 100_000
DAYS_MAX: Final = 3_650
DAYS_DEFAULT: Final = 30
DAYS_OF_YEAR: Final = 365
TAIL: Final = Decimal("0.05")


class TradeKind(StrEnum):
    DRY = "dry"
    LIVE = "live"


class FillRow(Record, frozen=True, kw_only=True):
    """What statistics need of a fill; `roi` only where it closed something."""

    bot_id: int | None
    symbol: str
    time: datetime
    cost: Decimal
    roi: Decimal | None


class Stats(Record, frozen=True, kw_only=True):
    """Numbers of some fills. Money in quote currency; None where a number is not defined, as a rate of nothing."""

    trades: int
    closings: int
    wins: int
    losses: int
    volume: Decimal
    profit: Decimal
    profit_by_quote: dict[str, Decimal]
    win_rate: Decimal | None
    average_profit: Decimal | None
    best: Decimal | None
    worst: Decimal | None
    profit_factor: Decimal | None
    sharpe_ratio: Decimal | None
    max_drawdown: Decimal
    value_at_risk: Decimal | None
    risk_score: Decimal
    first_at: datetime | None
    last_at: datetime | None


class Statistics:
    """At most the newest 100,000 fills are read for any of these."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_bots(
        self, bot_ids: Sequence[int], principal: Principal | None, *, days: int = DAYS_MAX, kind: TradeKind | None = None
    ) -> list[Stats]:
        """Statistics of each bot, aligned, of the last days; of nothing where the bot is not the caller's. One statement."""
        fills = await self.fills(principal, bot_ids=bot_ids, days=days, kind=kind)
        found = _grouped(fills, lambda fill: fill.bot_id)
        return [compute_stats(found.get(bot_id, ())) for bot_id in bot_ids]

    async def by_symbol(
        self, principal: Principal | None, *, uid: int | None = None, days: int = DAYS_MAX, kind: TradeKind | None = None
    ) -> dict[str, Stats]:
        fills = await self.fills(principal, uid=uid, days=days, kind=kind)
        return {symbol: compute_stats(rows) for symbol, rows in sorted(_grouped(fills, lambda fill: fill.symbol).items())}

    async def overall(
        self,
        principal: Principal | None,
        *,
        uid: int | None = None,
        bot_id: int | None = None,
        symbol: str | None = None,
        days: int = DAYS_DEFAULT,
        kind: TradeKind | None = None,
    ) -> Stats:
        """Statistics of all that the caller sees, narrowed by what is given."""
        bot_ids = None if bot_id is None else [bot_id]
        return compute_stats(await self.fills(principal, uid=uid, bot_ids=bot_ids, symbol=symbol, days=days, kind=kind))

    async def fills(
        self,
        principal: Principal | None,
        *,
        uid: int | None = None,
        bot_ids: Sequence[int] | None = None,
        symbol: str | None = None,
        days: int = DAYS_MAX,
        kind: TradeKind | None = None,
    ) -> list[FillRow]:
        """Fills of the last days, oldest first, of those that the caller may see. Raises: BadUserInput for bad `days`."""
        checked_first(days, most=DAYS_MAX, name="days")
        since = datetime.now(UTC) - timedelta(days=days)
        parts: list[Select[Any]] = []
        for name, table, time in ((TradeKind.LIVE, trades, trades.c.time), (TradeKind.DRY, dry_trades, dry_trades.c.created_at)):
            where: list[ColumnElement[bool]] = [time >= since, true() if sees_all(principal) else table.c.uid == _uid(principal)]
            where.append(true() if kind in (None, name) else false())
            if uid is not None:
                where.append(table.c.uid == uid)
            if bot_ids is not None:
                where.append(table.c.bot_id.in_(bot_ids))
            if symbol is not None:
                where.append(table.c.symbol == symbol)
            columns = (
                table.c.bot_id,
                table.c.symbol,
                time.label("time"),
                table.c.cost,
                table.c.roi,
                literal(name.value).label("kind"),
            )
            parts.append(select(*columns, table.c.trade_id).where(*where))
        both = union_all(*parts).subquery()
        statement = select(both).order_by(both.c.time.desc(), both.c.kind, both.c.trade_id.desc()).limit(ROWS_MAX)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            FillRow(bot_id=row.bot_id, symbol=row.symbol, time=row.time, cost=row.cost, roi=row.roi) for row in reversed(rows)
        ]


def _uid(principal: Principal | None) -> int:
    assert principal is not None, "the platform sees all"
    return principal.uid


def _grouped(fills: Iterable[FillRow], key: Callable[[FillRow], K]) -> dict[K, list[FillRow]]:
    found: dict[K, list[FillRow]] = defaultdict(list)
    for fill in fills:
        found[key(fill)].append(fill)
    return found


def compute_stats(fills: Sequence[FillRow]) -> Stats:
    """Numbers of some fills, oldest first."""
    with localcontext(prec=PRECISION, rounding=ROUND_HALF_EVEN):
        closed = [(fill, fill.roi) for fill in fills if fill.roi is not None]
        rois = [roi for _, roi in closed]
        won = sum((roi for roi in rois if roi > 0), ZERO)
        lost = -sum((roi for roi in rois if roi < 0), ZERO)
        wins = sum(roi > 0 for roi in rois)
        by_quote: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for fill, roi in closed:
            by_quote[quote_of(fill.symbol)] += roi
        daily = compute_daily(closed)
        drawdown = compute_drawdown(rois)
        return Stats(
            trades=len(fills),
            closings=len(rois),
            wins=wins,
            losses=sum(roi < 0 for roi in rois),
            volume=rounded(sum((fill.cost for fill in fills), ZERO)),
            profit=won - lost,
            profit_by_quote=dict(sorted(by_quote.items())),
            win_rate=rounded(Decimal(wins) / len(rois)) if rois else None,
            average_profit=rounded((won - lost) / len(rois)) if rois else None,
            best=max(rois, default=None),
            worst=min(rois, default=None),
            profit_factor=rounded(won / lost) if lost else None,
            sharpe_ratio=compute_sharpe(daily),
            max_drawdown=drawdown,
            value_at_risk=compute_percentile(daily, TAIL),
            risk_score=rounded(100 * drawdown / (drawdown + won)) if drawdown else ZERO,
            first_at=fills[0].time if fills else None,
            last_at=fills[-1].time if fills else None,
        )


def quote_of(symbol: str) -> str:
    """`BTC/USDC:USDC` is priced in USDC."""
    return symbol.partition("/")[2].partition(":")[0] or symbol


def compute_daily(closed: Sequence[tuple[FillRow, Decimal]]) -> list[Decimal]:
    """Profit of each UTC day from the first closing to the last, days without one as 0."""
    if not closed:
        return []
    days: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for fill, roi in closed:
        days[fill.time.astimezone(UTC).date()] += roi
    first, last = min(days), max(days)
    return [days.get(first + timedelta(days=number), ZERO) for number in range((last - first).days + 1)]


def compute_drawdown(rois: Iterable[Decimal]) -> Decimal:
    """The deepest fall of the running sum below its highest point so far, the start at 0 included; 0 or more."""
    total = peak = deepest = ZERO
    for roi in rois:
        total += roi
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def compute_sharpe(daily: Sequence[Decimal]) -> Decimal | None:
    """Mean by sample deviation of the daily profits, for a year of 365 days; None under two days or without deviation."""
    if len(daily) < 2:
        return None
    mean = sum(daily, ZERO) / len(daily)
    variance = sum(((day - mean) ** 2 for day in daily), ZERO) / (len(daily) - 1)
    return rounded(mean / variance.sqrt() * Decimal(DAYS_OF_YEAR).sqrt()) if variance else None


def compute_percentile(values: Sequence[Decimal], part: Decimal) -> Decimal | None:
    """The value below which that part lies, between neighbours in proportion; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return rounded(ordered[low] + (ordered[high] - ordered[low]) * (place - low))
