"""Candles that were read before: those of a series that nobody has written since, and records of the same rows."""

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

    What is kept is answered while the series counts no other change (`statements.READ_CHANGES`), without reading a row; after
    one for the rows that equal the kept ones, and for no others: it is mostly the last candle that is made anew.
    """

    def __init__(self, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._count = 0
        self._kept: OrderedDict[Hashable, tuple[int, Sequence[Row], list[Candle]]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def find(self, key: Hashable, changes: int) -> list[Candle] | None:
        """What was asked under the key, if the series still counts so many changes."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != changes:
            return None
        self._kept.move_to_end(key)
        return list(kept[2])

    def candles(self, key: Hashable, rows: Sequence[Row], changes: int) -> list[Candle]:
        """The rows of one series as records; `key` names what was asked, `changes` were counted before the rows were read."""
        rows = list(rows)
        _changes, known, made = self._kept.pop(key, (0, (), []))
        self._count -= len(known)
        same = _same(known, rows)
        found = made[:same] + reading.candles(rows[same:])
        if len(rows) <= self._rows_max:
            self._kept[key] = (changes, rows, found)
            self._count += len(rows)
        while self._count > self._rows_max:
            self._count -= len(self._kept.popitem(last=False)[1][1])
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
