"""Retention: old trades and minutes go, hours and days stay, and a late trade does not bring half an hour back."""

from __future__ import annotations

import asyncpg
import pytest

from fullon_master_api.apis.ohlcv import Interval, OhlcvStore
from fullon_master_api.apis.ohlcv.pruning import Retention, prune
from fullon_master_api.errors import StaleEpoch
from fullon_master_api.model import Fence, MarketTrade, Side, Timeframe

NS = 10**9
DAY = 86400
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z
KEY = ("kraken", "BTC/USD")


def trade(number: int, day: int, price: str) -> MarketTrade:
    event_ns = (DAY_S + day * DAY + number) * NS
    return MarketTrade(trade_id=str(number), event_ns=event_ns, price=price, quantity="1", side=Side.BUY)


async def test_old_trades_and_minutes_go_and_hours_and_days_stay(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(day, day, str(100 + day)) for day in range(60)], covered=(0, (DAY_S + 60 * DAY) * NS))
    hours = await store.candles([KEY], Timeframe.HOUR_1)
    days = await store.candles([KEY], Timeframe.DAY_1)
    now_ns = (DAY_S + 60 * DAY + 5) * NS
    await prune(store, Retention(trades_days=10, minutes_days=20), now_ns=now_ns)
    assert [found.trade_id for found in (await store.trades([KEY]))[0]] == [str(day) for day in range(50, 60)]
    assert len((await store.candles([KEY], Timeframe.MINUTE_1))[0]) == 20
    assert await store.candles([KEY], Timeframe.HOUR_1) == hours
    assert await store.candles([KEY], Timeframe.DAY_1) == days
    assert await store.coverage([KEY]) == [[Interval(start_ns=(DAY_S + 50 * DAY) * NS, end_ns=(DAY_S + 60 * DAY) * NS)]]


async def test_a_late_trade_of_a_pruned_time_leaves_its_hour_as_it_was(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 0, "100"), trade(2, 30, "101")])
    hours = await store.candles([KEY], Timeframe.HOUR_1)
    await prune(store, Retention(trades_days=1, minutes_days=1), now_ns=(DAY_S + 31 * DAY) * NS)
    await store.append_trades(*KEY, [trade(3, 0, "999")])
    assert await store.candles([KEY], Timeframe.HOUR_1) == hours


async def test_minutes_that_outlive_their_trades_are_not_rebuilt_from_a_late_one(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 0, "100"), trade(2, 30, "101")])
    minutes = await store.candles([KEY], Timeframe.MINUTE_1)
    await prune(store, Retention(trades_days=1), now_ns=(DAY_S + 31 * DAY) * NS)
    await store.append_trades(*KEY, [trade(3, 0, "999")])
    assert await store.candles([KEY], Timeframe.MINUTE_1) == minutes


async def test_keeping_all_prunes_nothing_and_a_stale_owner_neither(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 0, "100")], fence=Fence(service="ohlcv", epoch=2))
    now_ns = (DAY_S + 1000 * DAY) * NS
    await prune(store, Retention(), now_ns=now_ns)
    with pytest.raises(StaleEpoch):
        await prune(store, Retention(trades_days=1), now_ns=now_ns, fence=Fence(service="ohlcv", epoch=1))
    assert len((await store.trades([KEY]))[0]) == 1


@pytest.mark.parametrize("ohlcv_url", ["postgres"], indirect=True)
async def test_partitions_without_rows_are_dropped(store: OhlcvStore, ohlcv_url: str) -> None:
    await store.append_trades(*KEY, [trade(day, day, "100") for day in (0, 40, 80)])
    await prune(store, Retention(trades_days=30), now_ns=(DAY_S + 81 * DAY) * NS)
    connection = await asyncpg.connect(ohlcv_url.replace("+asyncpg", ""))
    rows = await connection.fetch("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY relname")
    await connection.close()
    assert [row["relname"] for row in rows] == ["market_trades_2024_02"]
    await store.append_trades(*KEY, [trade(99, 1, "100")])
    assert [found.trade_id for found in (await store.trades([KEY]))[0]] == ["99", "80"]
