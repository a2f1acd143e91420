"""Candles made of rows that were read before: the same rows are the same records."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

from fullon_master_api.apis.ohlcv import reading
from fullon_master_api.apis.ohlcv.reading import Row
from fullon_master_api.model import Candle

ROWS_MAX: Final = 50_000


class KeptCandles:
    """The candles of the spans asked last, with the rows they were made of; at most `rows_max` of them.

    What is kept is answered for rows that equal the kept ones, and for no others. Of a span that is asked again it is mostly the
    last candle that is made anew, and those that came since.
    """

    def __init__(self, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._count = 0
        self._kept: OrderedDict[Hashable, tuple[Sequence[Row], list[Candle]]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def candles(self, key: Hashable, rows: Sequence[Row]) -> list[Candle]:
        """The rows of one series as records; `key` names what was asked."""
        rows = list(rows)
        known, made = self._kept.pop(key, ((), []))
        self._count -= len(known)
        same = _same(known, rows)
        found = made[:same] + reading.candles(rows[same:])
        if len(rows) <= self._rows_max:
            self._kept[key] = (rows, found)
            self._count += len(rows)
        while self._count > self._rows_max:
            self._count -= len(self._kept.popitem(last=False)[1][0])
        return list(found)


def _same(known: Sequence[Row], rows: Sequence[Row]) -> int:
    """How many rows from the first on are those that are known."""
    if len(known) == len(rows):
        if known == rows:
            return len(rows)
        if known[:-1] == rows[:-1]:  # The candle that is still open.
            return len(rows) - 1
    elif known and len(known) < len(rows) and known == rows[: len(known)]:
        return len(known)
    return 0
