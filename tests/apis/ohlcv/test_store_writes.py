"""What the candle store does with what it is given: exactly, once, under a lease, with the bad refused."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fullon_master_api.apis.ohlcv import Fill, Interval, OhlcvStore, open_ohlcv
from fullon_master_api.errors import BadUserInput, ServerShutdown, StaleEpoch, StoreUnavailable, TooLarge
from fullon_master_api.model import Candle, CandleSource, Fence, MarketTrade, Side, Timeframe

NS = 10**9
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z
KEY = ("kraken", "BTC/USD")


def trade(number: int, second: float, price: str = "100", quantity: str = "1") -> MarketTrade:
    return MarketTrade(trade_id=str(number), event_ns=int((DAY_S + second) * NS), price=price, quantity=quantity, side=Side.BUY)


def candle(second: int, *, close: str = "100", final: bool = True, volume: str = "1") -> Candle:
    return Candle(opened_ns=(DAY_S + second) * NS, open=close, high=close, low=close, close=close, volume=volume, final=final)


async def read(store: OhlcvStore, timeframe: Timeframe = Timeframe.MINUTE_1, **asked: Any) -> list[Candle]:
    (found,) = await store.candles([KEY], timeframe, **asked)
    return found


async def test_a_candle_built_from_trades_is_exact_to_the_last_digit(store: OhlcvStore) -> None:
    sizes = ["0.1", "0.2", "437.91552", "0.00000001"]
    done = await store.append_trades(*KEY, [trade(number, number, quantity=size) for number, size in enumerate(sizes)])
    (built,) = done.candles
    assert built.volume == "438.21552001"
    assert (await read(store)) == [built]


async def test_trades_of_one_instant_are_ordered_by_their_number_and_not_by_their_text(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(10, 5, "7"), trade(9, 5, "6"), trade(100, 5, "8")])
    (built,) = await read(store)
    assert (built.open, built.close) == ("6", "8")


async def test_a_trade_that_comes_again_with_another_time_is_a_repeat(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5)])
    again = await store.append_trades(*KEY, [trade(1, 5.25), trade(1, 90_000 * 60)])
    assert (again.stored, again.repeated, again.candles) == (0, 2, [])
    assert (await store.trades([KEY])) == [[trade(1, 5)]]


async def test_a_bar_is_open_until_a_later_trade_or_its_owner_closes_it(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5)])
    assert [bar.final for bar in await read(store)] == [False]
    done = await store.append_trades(*KEY, [trade(2, 65)])
    assert [(bar.opened_ns // NS - DAY_S, bar.final) for bar in done.candles] == [(0, True), (60, False)]
    assert [bar.final for bar in await read(store, Timeframe.HOUR_1)] == [False]
    closed = await store.close_candles(*KEY, (DAY_S + 3600) * NS)
    assert [(bar.opened_ns // NS - DAY_S, bar.final) for bar in closed] == [(60, True)]
    assert [bar.final for bar in await read(store, Timeframe.HOUR_1)] == [True]
    assert await store.close_candles("kraken", "NOT/THERE", DAY_S * NS) == []


async def test_a_late_trade_revises_its_minute_its_hour_and_its_day(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5), trade(2, 90_000)])
    await store.append_trades(*KEY, [trade(3, 7, "250")])
    for timeframe in (
        Timeframe.MINUTE_1,
        Timeframe.MINUTE_5,
        Timeframe.HOUR_1,
        Timeframe.HOUR_4,
        Timeframe.DAY_1,
        Timeframe.WEEK_1,
    ):
        assert (await read(store, timeframe))[0].high == "250", timeframe
    for timeframe in (Timeframe.MINUTE_1, Timeframe.HOUR_1, Timeframe.DAY_1):
        origins = await store.origins(KEY, timeframe, start_ns=DAY_S * NS, end_ns=(DAY_S + 60) * NS)
        assert [(origin.final, origin.revision) for origin in origins] == [(True, 1)], timeframe
        first = (await read(store, timeframe))[0]
        source = CandleSource.TRADES if timeframe is Timeframe.MINUTE_1 else CandleSource.ROLLUP
        assert (first.source, first.revision, first.final) == (source, 1, True), timeframe
    for timeframe in (Timeframe.MINUTE_5, Timeframe.HOUR_4, Timeframe.WEEK_1, Timeframe.MONTH_1):
        assert next((bar.source, bar.revision) for bar in await read(store, timeframe)) == (CandleSource.ROLLUP, 1), timeframe


async def test_what_a_write_answers_is_what_a_read_answers(store: OhlcvStore) -> None:
    """CandleSource and revision too, so that a live candle says what a query would."""
    await store.append_trades(*KEY, [trade(1, 5), trade(2, 90)])
    late = await store.append_trades(*KEY, [trade(3, 7, "250"), trade(4, 8)])
    assert [(bar.source, bar.revision) for bar in late.candles] == [(CandleSource.TRADES, 1)]
    assert late.candles == (await read(store))[:1]
    own = await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0), candle(60, final=False), candle(120, final=False)])
    assert [(bar.source, bar.revision) for bar in own.candles] == [
        (CandleSource.EXCHANGE, 2),
        (CandleSource.EXCHANGE, 0),
        (CandleSource.EXCHANGE, 0),
    ]
    assert own.candles == await read(store)
    again = await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0), candle(60, close="7")])
    assert [(bar.close, bar.revision) for bar in again.candles] == [("7", 0)]
    assert await read(store, limit=2) == [*again.candles, own.candles[2]]


async def test_the_exchanges_own_candle_outranks_what_was_built_or_imported(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "90"), trade(2, 65)])
    for source, close in ((CandleSource.EXCHANGE, "92"), (CandleSource.IMPORT, "91")):
        await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0, close=close)], source=source)
    await store.append_trades(*KEY, [trade(3, 6, "95")])
    assert (await read(store))[0].close == "92"
    assert (await read(store, Timeframe.HOUR_1))[0].open == "92"
    origins = await store.origins(KEY, Timeframe.MINUTE_1, start_ns=DAY_S * NS, end_ns=(DAY_S + 60) * NS)
    assert [origin.source for origin in origins] == [CandleSource.EXCHANGE]


async def test_an_open_candle_changes_until_it_is_final_and_not_after(store: OhlcvStore) -> None:
    for close in ("10", "11"):
        await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0, close=close, final=False)])
        assert [(bar.close, bar.final) for bar in await read(store)] == [(close, False)]
    await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0, close="12")])
    late = await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0, close="13", final=False)])
    assert (late.stored, late.repeated) == (0, 1)
    assert [(bar.close, bar.final) for bar in await read(store)] == [("12", True)]


async def test_a_value_with_more_digits_widens_all_rows_of_its_series(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "100.5", "2.25")], price_decimals=1, quantity_decimals=2)
    await store.upsert_candles(*KEY, Timeframe.HOUR_1, [candle(7200, volume="123456789012345.5", close="2")])
    await store.append_trades(*KEY, [trade(2, 6, "100.123456789", "0.000000000000000001")])
    assert [(kept.price, kept.quantity) for kept in (await store.trades([KEY]))[0]] == [
        ("100.500000000", "2.250000000000000000"),
        ("100.123456789", "0.000000000000000001"),
    ]
    hours = await read(store, Timeframe.HOUR_1)
    assert [Decimal(bar.volume) for bar in hours] == [Decimal("2.250000000000000001"), Decimal("123456789012345.5")]
    assert [Decimal(bar.close) for bar in await read(store, Timeframe.DAY_1)] == [Decimal(2)]


async def test_prices_show_the_decimals_of_their_market(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "105433.6", "1")], price_decimals=2, quantity_decimals=0)
    (kept,) = (await store.trades([KEY]))[0]
    assert (kept.price, kept.quantity) == ("105433.60", "1")


async def test_a_number_too_large_to_be_exact_is_refused_and_nothing_is_stored(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "0.0000000001")])
    with pytest.raises(BadUserInput, match="too large to be kept exactly"):
        await store.append_trades(*KEY, [trade(2, 6, "9" * 12)])
    assert [len(found) for found in await store.trades([KEY])] == [1]


async def test_a_large_price_lowers_an_exponent_that_nobody_uses(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "2.5")])
    await store.append_trades(*KEY, [trade(2, 6, "900000000000000")])
    assert [(bar.open, bar.high) for bar in await read(store)] == [("2.5", "900000000000000.0")]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"price": "NaN"}, "is not a finite number"),
        ({"price": "Infinity"}, "is not a finite number"),
        ({"price": "-1"}, "is not a finite number"),
        ({"price": "0.00"}, "price was 0.00, must be above 0"),
        ({"price": "1,5"}, "is not a decimal number"),
        ({"quantity": "0"}, "quantity was 0, must be above 0"),
        ({"quantity": "1e-30"}, "may have at most 18 decimals"),
        ({"event_ns": -1}, "must be nanoseconds since 1970"),
        ({"trade_id": ""}, "must have 1 to 90 characters"),
        ({"trade_id": "a\x00"}, "must have 1 to 90 characters"),
    ],
)
async def test_bad_market_data_is_refused_at_the_door_and_the_rest_is_stored(
    store: OhlcvStore, changed: dict[str, object], reason: str
) -> None:
    good = {"trade_id": "2", "event_ns": DAY_S * NS, "price": "1E-3", "quantity": "1", "side": Side.SELL}
    done = await store.append_trades(*KEY, [MarketTrade(**(good | changed)), MarketTrade(**(good | {"trade_id": "3"}))])  # type: ignore[arg-type]
    assert [(refused.position, reason in refused.reason) for refused in done.refused] == [(0, True)]
    assert [(kept.trade_id, kept.price) for kept in (await store.trades([KEY]))[0]] == [("3", "0.001")]


async def test_a_candle_that_cannot_be_is_refused(store: OhlcvStore) -> None:
    wrong = Candle(opened_ns=DAY_S * NS, open="10", high="9", low="8", close="8.5", volume="1")
    skewed = Candle(opened_ns=(DAY_S + 1) * NS, open="1", high="1", low="1", close="1", volume="1")
    done = await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [wrong, candle(60), skewed])
    assert (done.stored, [refused.position for refused in done.refused]) == (1, [0, 2])
    with pytest.raises(BadUserInput, match="candles of 5m are not stored"):
        await store.upsert_candles(*KEY, Timeframe.MINUTE_5, [candle(0)])


async def test_a_writer_whose_lease_passed_on_changes_nothing(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5)], fence=Fence(service="ohlcv", epoch=1))
    await store.append_trades(*KEY, [trade(2, 6)], fence=Fence(service="ohlcv", epoch=2))
    stale = Fence(service="ohlcv", epoch=1)
    with pytest.raises(StaleEpoch):
        await store.append_trades(*KEY, [trade(3, 7)], fence=stale)
    with pytest.raises(StaleEpoch):
        await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0)], fence=stale)
    with pytest.raises(StaleEpoch):
        await store.cover(*KEY, 0, NS, fence=stale)
    with pytest.raises(StaleEpoch):
        await store.close_candles(*KEY, (DAY_S + 60) * NS, fence=stale)
    await store.append_trades(*KEY, [trade(4, 8)], fence=Fence(service="ticker", epoch=1))
    assert [kept.trade_id for kept in (await store.trades([KEY]))[0]] == ["1", "2", "4"]
    assert await store.coverage([KEY]) == [[]]


async def test_gaps_are_filled_with_the_previous_close_and_flagged(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "7"), trade(2, 185, "8"), trade(3, 365, "9")])
    filled = await read(store, fill=Fill.PREVIOUS_CLOSE)
    assert [(bar.close, bar.volume, bar.filled, bar.trades) for bar in filled] == [
        ("7", "1", False, 1),
        ("7", "0", True, 0),
        ("7", "0", True, 0),
        ("8", "1", False, 1),
        ("8", "0", True, 0),
        ("8", "0", True, 0),
        ("9", "1", False, 1),
    ]
    assert [bar.opened_ns // NS - DAY_S for bar in filled] == list(range(0, 361, 60))
    assert await read(store, fill=Fill.PREVIOUS_CLOSE, limit=2) == filled[-2:]
    inside: dict[str, Any] = {"start_ns": (DAY_S + 60) * NS, "end_ns": (DAY_S + 180) * NS, "fill": Fill.PREVIOUS_CLOSE}
    assert await read(store, **inside) == filled[1:3]
    assert await read(store, **inside, limit=1) == filled[1:2]
    assert await read(store, **inside, limit=1, newest=True) == filled[2:3]
    assert await read(store, start_ns=(DAY_S + 300) * NS, end_ns=(DAY_S + 9000) * NS, fill=Fill.PREVIOUS_CLOSE) == filled[5:]
    assert await read(store, start_ns=0, end_ns=(DAY_S + 120) * NS, fill=Fill.PREVIOUS_CLOSE) == filled[:2]
    assert await read(store, start_ns=0, end_ns=DAY_S * NS, fill=Fill.PREVIOUS_CLOSE) == []


async def test_years_without_trades_are_filled_no_further_than_asked(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 0), trade(2, 10 * 365 * 86400)])
    filled = await read(store, fill=Fill.PREVIOUS_CLOSE, limit=3)
    assert [bar.filled for bar in filled] == [True, True, False]
    oldest = await read(store, fill=Fill.PREVIOUS_CLOSE, limit=3, start_ns=DAY_S * NS)
    assert [bar.filled for bar in oldest] == [False, True, True]


async def test_coverage_joins_spans_that_touch(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5)], covered=(100, 200))
    await store.cover(*KEY, 300, 400)
    assert await store.coverage([KEY, ("x", "y")]) == [
        [Interval(start_ns=100, end_ns=200), Interval(start_ns=300, end_ns=400)],
        [],
    ]
    await store.cover(*KEY, 200, 300)
    assert await store.coverage([KEY]) == [[Interval(start_ns=100, end_ns=400)]]
    await store.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0), candle(60), candle(180), candle(240, final=False)])
    assert await store.coverage([KEY], Timeframe.MINUTE_1) == [
        [
            Interval(start_ns=DAY_S * NS, end_ns=(DAY_S + 120) * NS),
            Interval(start_ns=(DAY_S + 180) * NS, end_ns=(DAY_S + 240) * NS),
        ]
    ]


async def test_a_read_makes_nothing(store: OhlcvStore) -> None:
    key = ("nowhere", "NOT/THERE")
    assert await store.candles([key], Timeframe.DAY_1, fill=Fill.PREVIOUS_CLOSE) == [[]]
    assert await store.trades([key, ("a\x1fb", "\x00")]) == [[], []]
    assert await store.last_trades([key]) == [None]
    assert await store.last_candles([key], Timeframe.MINUTE_1) == [None]
    assert (await store.columns([key], Timeframe.HOUR_1))[0].open == []
    assert await store.coverage([key]) == [[]]
    assert await store.series() == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"limit": 0}, "limit was 0, must be 1 to 5000"),
        ({"limit": 10**9}, "limit was 1000000000, must be 1 to 5000"),
        ({"start_ns": 5, "end_ns": 4}, "must not lie before its start"),
        ({"start_ns": -1}, "must be nanoseconds"),
        ({"end_ns": 10**30}, "must be nanoseconds"),
        ({"zone": "Mars/Olympus"}, "must be a name of the IANA database"),
        ({"zone": "../../etc/passwd"}, "must be a name of the IANA database"),
    ],
)
async def test_a_question_without_bounds_is_refused(store: OhlcvStore, asked: dict[str, object], message: str) -> None:
    with pytest.raises(BadUserInput, match=message):
        await read(store, Timeframe.HOUR_1, **asked)


async def test_too_many_rows_at_once_are_refused(store: OhlcvStore) -> None:
    with pytest.raises(TooLarge):
        await store.candles([("kraken", f"S{number}") for number in range(101)], Timeframe.MINUTE_1, limit=5000)


async def test_columns_hold_the_nearest_floats(store: OhlcvStore) -> None:
    await store.append_trades(*KEY, [trade(1, 5, "0.1", "0.3"), trade(2, 6, "0.3", "437.61552")])
    (columns,) = await store.columns([KEY], Timeframe.MINUTE_1)
    assert (columns.opened_ms, columns.open, columns.close, columns.volume) == ([DAY_S * 1000], [0.1], [0.3], [437.91552])


async def test_what_is_stored_is_there_when_the_store_is_opened_again(ohlcv_url: str) -> None:
    async with open_ohlcv(ohlcv_url) as first:
        await first.append_trades(*KEY, [trade(1, 5)])
        async with open_ohlcv(ohlcv_url, migrate=False) as second:
            assert await read(second) == await read(first)
    async with open_ohlcv(ohlcv_url) as third:
        assert len(await read(third)) == 1


async def test_two_processes_that_write_the_same_trades_store_each_once(ohlcv_url: str) -> None:
    trades = [trade(number, number) for number in range(240)]
    async with open_ohlcv(ohlcv_url) as one, open_ohlcv(ohlcv_url) as other, asyncio.TaskGroup() as tasks:
        done = [
            tasks.create_task(store.append_trades(*KEY, trades[start : start + 30]))
            for start in range(0, 240, 15)
            for store in (one, other)
        ]
    assert sum(task.result().stored for task in done) == 240
    async with open_ohlcv(ohlcv_url) as store:
        assert [bar.volume for bar in await read(store)] == ["60", "60", "60", "60"]
        assert [bar.trades for bar in await read(store, Timeframe.DAY_1)] == [240]


async def test_a_store_without_tables_is_not_made_by_who_only_reads(ohlcv_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="fullon migrate"):
        async with open_ohlcv(ohlcv_url, migrate=False):
            pass


async def test_a_store_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'newer.db'}"
    async with open_ohlcv(url):
        pass
    with sqlite3.connect(tmp_path / "newer.db") as file:
        file.execute("UPDATE market_schema SET version = 99")
    file.close()
    with pytest.raises(StoreUnavailable, match="schema is 99"):
        async with open_ohlcv(url):
            pass


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("these are words, not pages of a database" * 100)
    with pytest.raises(StoreUnavailable):
        async with open_ohlcv(f"sqlite+aiosqlite:///{tmp_path / 'text.db'}"):
            pass


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        async with open_ohlcv("postgresql+asyncpg://postgres@127.0.0.1:1/none", timeout_s=2):
            pass


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///:memory:", "sqlite://", "mysql://desk@host/market"])
async def test_a_url_that_names_no_file_and_no_server_is_refused(url: str) -> None:
    with pytest.raises(BadUserInput, match="must be sqlite"):
        async with open_ohlcv(url):
            pass


async def test_a_request_that_outlives_the_store_is_told_so(ohlcv_url: str) -> None:
    async with open_ohlcv(ohlcv_url) as store:
        pass
    with pytest.raises((ServerShutdown, StoreUnavailable)):
        await store.last_trades([KEY])
    with pytest.raises((ServerShutdown, StoreUnavailable)):
        await store.append_trades(*KEY, [trade(1, 1)])
