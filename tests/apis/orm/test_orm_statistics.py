"""Statistics and views, against numbers reckoned by hand from `docs/statistics.md`."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.statistics import FillRow, TradeKind, compute_drawdown, compute_percentile, compute_stats
from fullon_master_api.errors import BadUserInput, NotFound
from tests.apis.orm.conftest import World

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def closing(roi: int, day: int, symbol: str = "BTC/USD") -> FillRow:
    return FillRow(bot_id=1, symbol=symbol, time=START + timedelta(days=day), cost=Decimal(100), roi=Decimal(roi))


def test_numbers_by_hand() -> None:
    opening = FillRow(bot_id=1, symbol="BTC/USD", time=START, cost=Decimal(50), roi=None)
    stats = compute_stats([opening, closing(10, 0), closing(-4, 0), closing(-6, 2), closing(20, 3, "ETH/BTC"), closing(0, 3)])
    assert (stats.trades, stats.closings, stats.wins, stats.losses) == (6, 5, 2, 2)
    assert [stats.volume, stats.profit, stats.best, stats.worst] == [550, 20, 20, -6]
    assert stats.profit_by_quote == {"BTC": 20, "USD": 0}
    assert [stats.win_rate, stats.average_profit, stats.profit_factor] == [Decimal("0.4"), 4, 3]
    # The sum runs 10, 6, 0, 20, 20: the deepest fall is from 10 to 0.
    assert [stats.max_drawdown, stats.risk_score] == [10, 25]
    daily = [6, 0, -6, 20]
    expected = statistics.mean(daily) / statistics.stdev(daily) * math.sqrt(365)
    assert stats.sharpe_ratio is not None
    assert float(stats.sharpe_ratio) == pytest.approx(expected, abs=1e-8)
    # 0.15 of the way from -6 to 0.
    assert stats.value_at_risk == Decimal("-5.1")


def test_numbers_of_nothing_are_null_and_not_zero() -> None:
    stats = compute_stats([])
    undefined = (stats.win_rate, stats.profit_factor, stats.sharpe_ratio, stats.value_at_risk, stats.average_profit, stats.best)
    assert undefined == (None,) * 6
    assert [stats.trades, stats.profit, stats.max_drawdown, stats.risk_score] == [0, 0, 0, 0]


@given(st.lists(st.integers(-100, 100)))
def test_the_drawdown_is_the_greatest_fall_between_any_two_points(rois: list[int]) -> None:
    sums = [sum(rois[:number]) for number in range(len(rois) + 1)]
    greatest = max(high - low for place, high in enumerate(sums) for low in sums[place:])
    assert compute_drawdown(map(Decimal, rois)) == greatest


@given(st.lists(st.integers(-100, 100), min_size=2))
def test_the_percentile_is_the_one_of_the_standard_library(values: list[int]) -> None:
    expected = statistics.quantiles(values, n=20, method="inclusive")[0]
    found = compute_percentile([Decimal(value) for value in values], Decimal("0.05"))
    assert found is not None
    assert float(found) == pytest.approx(expected, abs=1e-7)


async def trade(orm: Orm, world: World, **values: object) -> None:
    given = {"bot_id": world.ana_bot.bot_id, "symbol": "BTC/USD", "volume": 1, "created_at": datetime.now(UTC)}
    await orm.dry_trades.save(given | values, principal=world.ana)


async def test_statistics_are_of_the_callers_own_fills_of_the_kind_and_days_asked(orm: Orm, world: World) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    await trade(orm, world, side="buy", price=100, created_at=old)
    await trade(orm, world, side="sell", price=110, created_at=old)
    await trade(orm, world, side="buy", price=100)
    await trade(orm, world, side="sell", price=95)
    assert (await orm.statistics.overall(world.ana, days=3650)).profit == 5
    assert (await orm.statistics.overall(world.ana)).profit == -5
    assert (await orm.statistics.overall(world.ana, kind=TradeKind.LIVE)).trades == 0
    assert (await orm.statistics.overall(world.ben, days=3650)).trades == 0
    assert (await orm.statistics.overall(world.ben, uid=world.ana.uid, days=3650)).trades == 0
    assert (await orm.statistics.overall(world.admin, days=3650)).trades == 4
    mine, none, theirs = await orm.statistics.of_bots([world.ana_bot.bot_id, 999, world.ben_bot.bot_id], world.ana)
    assert [mine.trades, none.trades, theirs.trades] == [4, 0, 0]
    (hidden,) = await orm.statistics.of_bots([world.ana_bot.bot_id], world.ben)
    assert hidden.trades == 0
    assert list(await orm.statistics.by_symbol(world.ana)) == ["BTC/USD"]
    for days in (0, 3651):
        with pytest.raises(BadUserInput):
            await orm.statistics.overall(world.ana, days=days)


async def test_the_views_count_what_is_held_and_are_nobody_elses(orm: Orm, world: World) -> None:
    await trade(orm, world, side="buy", price=100, volume=3)
    await trade(orm, world, side="sell", price=200, volume=1)
    await trade(orm, world, side="sell", price=50, volume=2, symbol="ETH/USD")
    uid = world.ana.uid
    portfolio = await orm.views.portfolio(uid, world.ana)
    # 2 BTC at the newest price of 200, and 2 ETH short at 50.
    assert (portfolio.total_assets, portfolio.asset_allocation) == (2, {"BTC": Decimal("0.8"), "ETH": Decimal("0.2")})
    assert [portfolio.total_cost, portfolio.diversification_score] == [500, Decimal("0.32")]
    dashboard = await orm.views.bot_dashboard(uid, world.ana)
    assert [dashboard.total_bots, dashboard.active_bots, dashboard.total_trades, dashboard.profit] == [1, 1, 3, 100]
    overview = await orm.views.trading_overview(uid, world.ana)
    assert [overview.total_volume, overview.active_pairs, overview.success_rate] == [600, 2, 1]
    assert await orm.views.daily_profit(uid, world.ana) == 100
    empty = await orm.views.portfolio(world.ben.uid, world.ben)
    assert (empty.total_assets, empty.diversification_score) == (0, Decimal(0))
    for ask in (
        orm.views.portfolio,
        orm.views.bot_dashboard,
        orm.views.trading_overview,
        orm.views.daily_profit,
        orm.views.stats,
    ):
        with pytest.raises(NotFound):
            await ask(uid, world.ben)
