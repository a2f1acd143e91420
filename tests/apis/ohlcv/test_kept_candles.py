"""Candles that are kept are those of the rows, however these change, and their number is bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.apis.ohlcv import OhlcvStore, open_ohlcv, reading
from fullon_master_api.apis.ohlcv.kept import KeptCandles
from fullon_master_api.apis.ohlcv.pruning import Retention, prune
from fullon_master_api.apis.ohlcv.reading import Row
from fullon_master_api.model import Candle, Timeframe
from fullon_master_api.tracing import noted_statements
from tests.apis.ohlcv.test_store_writes import DAY_S, KEY, NS, candle, read, trade

SCALE = 2 + 100 * 3 + 10_000 * 2 + 1_000_000 * 3


def rows_of(closes: list[int]) -> list[Row]:
    return [(0, SCALE, n * 60, 100, 900, 1, close, 5, 0, None, 1) for n, close in enumerate(closes)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 3), max_size=6)), max_size=20))
def test_what_is_kept_changes_no_answer(asked: list[tuple[str, list[int]]]) -> None:
    kept = KeptCandles(rows_max=8)
    for key, closes in asked:
        assert kept.candles(key, rows_of(closes), 1) == reading.candles(rows_of(closes))
        assert len(kept) <= 8


def test_the_same_rows_are_the_same_records_but_for_the_last() -> None:
    kept = KeptCandles()
    first = kept.candles("a", rows_of([1, 2, 3]), 1)
    again = kept.candles("a", rows_of([1, 2, 9]), 1)
    assert [before is after for before, after in zip(first, again, strict=True)] == [True, True, False]
    longer = kept.candles("a", rows_of([1, 2, 9, 4]), 1)
    assert [before is after for before, after in zip(again, longer, strict=False)] == [True, True, True]


async def test_what_a_series_counts_as_unchanged_is_answered_without_reading_it(store: OhlcvStore) -> None:
    other = ("kraken", "ETH/USD")
    for key in (KEY, other):
        await store.upsert_candles(*key, Timeframe.MINUTE_1, [candle(second) for second in range(0, 600, 60)])
    first = await store.candles([KEY, other], Timeframe.MINUTE_1)
    with noted_statements() as notes:
        assert await store.candles([KEY, other, ("kraken", "no such")], Timeframe.MINUTE_1) == [*first, []]
    assert [note.rows for note in notes] == [2]

    await store.upsert_candles(*other, Timeframe.MINUTE_1, [candle(0, close="7")])
    with noted_statements() as notes:
        again = await store.candles([KEY, other], Timeframe.MINUTE_1)
    assert [note.rows for note in notes] == [2, 10]
    assert again[0] == first[0]
    assert (again[1][0].close, again[1][0].revision, again[1][1:]) == ("7", 1, first[1][1:])


async def test_whatever_another_process_writes_is_seen_by_the_next_read(ohlcv_url: str) -> None:
    now_ns = (DAY_S + 40 * 86_400) * NS
    async with open_ohlcv(ohlcv_url, pool_size=2) as here, open_ohlcv(ohlcv_url, pool_size=2) as there:
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: there.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(0), candle(60, final=False)]),
            lambda: there.upsert_candles(*KEY, Timeframe.MINUTE_1, [candle(60, close="101")]),
            lambda: there.append_trades(*KEY, [trade(1, 125, "7")]),
            lambda: there.append_trades(*KEY, [trade(2, 126, "7.123456789012")]),  # All prices get more digits.
            lambda: there.close_candles(*KEY, (DAY_S + 180) * NS),
            lambda: prune(there, Retention(minutes_days=1), now_ns=now_ns),
        ]
        seen: list[list[Candle]] = [await read(here)]
        for write in writes:
            await write()
            found = await read(here)
            async with open_ohlcv(ohlcv_url, pool_size=2) as fresh:
                assert found == await read(fresh)
            assert found != seen[-1]
            assert await read(here) == found
            seen.append(found)
