"""Candles that are kept are those of the rows, however these change, and their number is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.apis.ohlcv import reading
from fullon_master_api.apis.ohlcv.kept import KeptCandles
from fullon_master_api.apis.ohlcv.reading import Row

SCALE = 2 + 100 * 3 + 10_000 * 2 + 1_000_000 * 3


def rows_of(closes: list[int]) -> list[Row]:
    return [(0, SCALE, n * 60, 100, 900, 1, close, 5, 0, None, 1) for n, close in enumerate(closes)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 3), max_size=6)), max_size=20))
def test_what_is_kept_changes_no_answer(asked: list[tuple[str, list[int]]]) -> None:
    kept = KeptCandles(rows_max=8)
    for key, closes in asked:
        assert kept.candles(key, rows_of(closes)) == reading.candles(rows_of(closes))
        assert len(kept) <= 8


def test_the_same_rows_are_the_same_records_but_for_the_last() -> None:
    kept = KeptCandles()
    first = kept.candles("a", rows_of([1, 2, 3]))
    again = kept.candles("a", rows_of([1, 2, 9]))
    assert [before is after for before, after in zip(first, again, strict=True)] == [True, True, False]
    longer = kept.candles("a", rows_of([1, 2, 9, 4]))
    assert [before is after for before, after in zip(again, longer, strict=False)] == [True, True, True]
