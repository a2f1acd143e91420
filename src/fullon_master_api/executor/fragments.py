"""The JSON of rows that are asked for again and again, kept beside the rows that it was written from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from operator import eq
from typing import Any, Final

import msgspec

SEEN_MAX: Final = 4_096
"""Keys that were asked once: their rows are not kept before they are asked again."""
ROW_BYTES: Final = 700
"""What a kept row is counted as beside its JSON, which is kept twice: as lines and in one piece."""

Shape = tuple[str, tuple[tuple[str, str], ...]]
"""A type, with `!` where its rows may not be null, and the fields selected on it: (response key, name)."""


class Lasting(list[Any]):
    """Rows of which most will be the same when the field is asked under the same key again, as closed candles are.

    A row must be a value that never changes, of text, integers and booleans, and equal to another only where each attribute is.
    What is kept is answered for rows that equal the kept ones and for no others: a row that was revised is written anew.
    """

    __slots__ = ("key",)

    def __init__(self, rows: Iterable[Any], key: Hashable) -> None:
        super().__init__(rows)
        self.key = key


class Fragment:
    """Rows of one answer with the JSON of each, and that of the list."""

    __slots__ = ("bytes", "json", "lines", "rows")

    def __init__(self, rows: Sequence[Any], lines: list[bytes]) -> None:
        self.rows = list(rows)
        self.lines = lines
        self.json = joined(lines)
        self.bytes = 2 * len(bytes(self.json)) + ROW_BYTES * len(lines)

    def common(self, rows: Sequence[Any]) -> tuple[int, int]:
        """Where the first of these rows is kept, and how many from there on are the same."""
        kept = self.rows
        if not rows or not kept:
            return 0, 0
        if rows == kept:
            return 0, len(kept)
        first = 0
        if rows[0] != kept[0]:  # Where the newest rows are asked, the oldest ones fall out as new ones come.
            if rows[0] not in kept:
                return 0, 0
            first = kept.index(rows[0])
            kept = kept[first:]
        most = min(len(rows), len(kept))
        if rows[: most - 1] == kept[: most - 1]:  # It is the last candle that changes.
            return first, most - (rows[most - 1] != kept[most - 1])
        return first, next(count for count, same in enumerate(map(eq, rows, kept)) if not same)


def joined(lines: Iterable[bytes]) -> msgspec.Raw:
    """The JSON of a list from that of its items."""
    return msgspec.Raw(b"[" + b",".join(lines) + b"]")


class Fragments:
    """The fragments used last, at most `bytes_max` of them."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._kept: OrderedDict[Hashable, Fragment] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, shape: Shape, key: Hashable) -> Fragment | None:
        """What is kept of these rows; one without rows where they are asked for the second time, None for the first."""
        place = (shape, key)
        found = self._kept.get(place)
        if found is not None:
            self._kept.move_to_end(place)
            return found
        if place in self._seen:
            return Fragment((), [])
        self._seen[place] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return None

    def put(self, shape: Shape, key: Hashable, fragment: Fragment) -> None:
        """Keep a fragment in the place of the last one of its key; those used longest ago give way."""
        place = (shape, key)
        self._seen.pop(place, None)
        last = self._kept.pop(place, None)
        self._bytes += fragment.bytes - (last.bytes if last else 0)
        self._kept[place] = fragment
        while self._bytes > self._bytes_max:
            _place, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.bytes
