"""Both stores answer what the model in memory answers, whatever comes in, in whatever order and however often."""

from __future__ import annotations

import itertools
import os
import random
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullon_master_api.apis.ohlcv import OhlcvStore
from fullon_master_api.apis.ohlcv.frames import WIDTH_S
from fullon_master_api.model import Candle, CandleSource, MarketTrade, OrderType, Side, Timeframe
from tests.apis.ohlcv.judge import NS, Judge, Judged

pytestmark = pytest.mark.timeout(900)  # Hundreds of generated cases against two databases.

SYMBOLS = (f"S{number}/USD" for number in itertools.count())
LAWS = settings(
    max_examples=150 if os.environ.get("PROFILE") == "ci" else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FROM_S = 1_698_500_000  # 2023-10-28, the night before Europe's clocks go back
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")

prices = st.integers(1, 99_999).map(lambda value: format(Decimal(value) / 100, "f"))
quantities = st.integers(1, 10**9).map(lambda value: format(Decimal(value) / 10**8, "f"))
instants = st.one_of(st.integers(0, 600), st.integers(0, 4 * 86400), st.sampled_from([0, 59, 60, 3599, 3600, 86399, 86400])).map(
    lambda offset_s: (FROM_S + offset_s) * NS
)


@st.composite
def trade_lists(draw: st.DrawFn) -> list[MarketTrade]:
    times = draw(st.lists(st.tuples(instants, prices, quantities), min_size=1, max_size=30))
    forms = st.sampled_from(["{}", "T{}", "0{}", "t-{}-x"])
    ids = [draw(forms).format(97 + number) for number in range(len(times))]
    return [
        MarketTrade(
            trade_id=ids[number],
            event_ns=event_ns,
            price=price,
            quantity=quantity,
            side=Side.BUY if number % 2 else Side.SELL,
            order_type=OrderType.LIMIT,
        )
        for number, (event_ns, price, quantity) in enumerate(times)
    ]


@st.composite
def candle_lists(draw: st.DrawFn, timeframe: Timeframe) -> list[Candle]:
    width_ns = WIDTH_S[timeframe] * NS
    rows = draw(st.lists(st.tuples(instants, prices, prices, quantities), max_size=6))
    return [
        Candle(
            opened_ns=instant - instant % width_ns,
            open=one,
            high=max(one, other, key=Decimal),
            low=min(one, other, key=Decimal),
            close=other,
            volume=volume,
            trades=None,
        )
        for instant, one, other, volume in rows
    ]


async def judged(store: OhlcvStore, symbol: str, timeframe: Timeframe, zone: str) -> list[Judged]:
    (found,) = await store.candles([("kraken", symbol)], timeframe, limit=400, zone=zone)
    return [Judged.of(candle) for candle in found]


@LAWS
@given(trades=trade_lists(), seed=st.integers(0, 2**32))
async def test_any_order_and_repetition_of_trades_gives_the_candles_of_the_model(
    store: OhlcvStore, trades: list[MarketTrade], seed: int
) -> None:
    symbol, judge, chance = next(SYMBOLS), Judge(), random.Random(seed)
    arriving = [*trades, *chance.sample(trades, len(trades) // 2)]
    chance.shuffle(arriving)
    while arriving:
        batch = [arriving.pop() for _ in range(min(len(arriving), chance.randint(1, 8)))]
        await store.append_trades("kraken", symbol, batch)
        judge.append_trades(batch)
    (stored,) = await store.trades([("kraken", symbol)], limit=1000)
    assert [(trade.trade_id, Decimal(trade.price), Decimal(trade.quantity), trade.side) for trade in stored] == [
        (trade.trade_id, Decimal(trade.price), Decimal(trade.quantity), trade.side) for trade in judge.trades()
    ]
    for timeframe in Timeframe:
        assert await judged(store, symbol, timeframe, "UTC") == judge.candles(timeframe), timeframe
    zone = chance.choice(ZONES)
    for timeframe in (Timeframe.HOUR_1, Timeframe.HOUR_4, Timeframe.DAY_1, Timeframe.DAY_3, Timeframe.WEEK_1, Timeframe.MONTH_1):
        assert await judged(store, symbol, timeframe, zone) == judge.candles(timeframe, zone), (timeframe, zone)


@LAWS
@given(data=st.data(), trades=trade_lists(), seed=st.integers(0, 2**32))
async def test_candles_of_every_source_reach_every_rollup_as_in_the_model(
    store: OhlcvStore, data: st.DataObject, trades: list[MarketTrade], seed: int
) -> None:
    symbol, judge, chance = next(SYMBOLS), Judge(), random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        timeframe = chance.choice([Timeframe.MINUTE_1, Timeframe.MINUTE_1, Timeframe.HOUR_1])
        candles = data.draw(candle_lists(timeframe))
        source = chance.choice([CandleSource.IMPORT, CandleSource.EXCHANGE])
        batch = chance.sample(trades, chance.randint(0, len(trades)))
        await store.upsert_candles("kraken", symbol, timeframe, candles, source=source)
        await store.append_trades("kraken", symbol, batch)
        judge.upsert_candles(timeframe, candles, source)
        judge.append_trades(batch)
    for timeframe in Timeframe:
        found, expected = await judged(store, symbol, timeframe, "UTC"), judge.candles(timeframe)
        # A rollup that closed once stays final; the model, which knows no history, may see it open again.
        assert [row._replace(final=True) for row in found] == [row._replace(final=True) for row in expected], timeframe


@LAWS
@given(trades=trade_lists(), start=instants, length_s=st.integers(0, 200_000), limit=st.integers(1, 20), newest=st.booleans())
async def test_a_range_is_the_part_of_the_whole_that_opens_in_it(
    store: OhlcvStore, trades: list[MarketTrade], start: int, length_s: int, limit: int, newest: bool
) -> None:
    symbol = next(SYMBOLS)
    await store.append_trades("kraken", symbol, trades)
    end = start + length_s * NS
    for timeframe in Timeframe:
        for zone in ("UTC", "Europe/Madrid"):
            (whole,) = await store.candles([("kraken", symbol)], timeframe, limit=400, zone=zone)
            (part,) = await store.candles(
                [("kraken", symbol)], timeframe, start_ns=start, end_ns=end, limit=limit, newest=newest, zone=zone
            )
            inside = [candle for candle in whole if start <= candle.opened_ns < end]
            assert part == (inside[-limit:] if newest else inside[:limit]), (timeframe, zone)


@LAWS
@given(lists=st.lists(trade_lists(), min_size=1, max_size=3))
async def test_asking_for_many_symbols_equals_asking_one_by_one(store: OhlcvStore, lists: list[list[MarketTrade]]) -> None:
    keys = [("kraken", next(SYMBOLS)) for _ in lists]
    for (exchange, symbol), trades in zip(keys, lists, strict=True):
        await store.append_trades(exchange, symbol, trades)
    asked = [*keys, ("kraken", "not/there"), keys[0]]
    for timeframe in (Timeframe.MINUTE_1, Timeframe.MINUTE_5, Timeframe.DAY_1, Timeframe.MONTH_1):
        together = await store.candles(asked, timeframe, limit=7)
        assert together == [(await store.candles([key], timeframe, limit=7))[0] for key in asked]
    assert await store.trades(asked, limit=3) == [(await store.trades([key], limit=3))[0] for key in asked]
