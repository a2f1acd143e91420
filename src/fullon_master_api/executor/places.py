"""Places in the answer: where the values of a column stand, worked out only when somebody asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from graphql.pyutils import Path


class Place(Protocol):
    """The places of a column of values."""

    def path(self, position: int) -> Path | None:
        """Where the value at a position of the column stands; None for the root."""


class RootPlace:
    """The answer itself."""

    def path(self, position: int) -> Path | None:
        return None


class FieldPlace:
    """A field of each row."""

    __slots__ = ("key", "rows", "type_name")

    def __init__(self, rows: Place, key: str, type_name: str) -> None:
        self.rows = rows
        self.key = key
        self.type_name = type_name

    def path(self, position: int) -> Path | None:
        return Path(self.rows.path(position), self.key, self.type_name)


class ItemPlace:
    """The items of lists laid end to end; `lengths` are those of the lists of the column."""

    __slots__ = ("lengths", "lists")

    def __init__(self, lists: Place, lengths: Sequence[int]) -> None:
        self.lists = lists
        self.lengths = lengths

    def path(self, position: int) -> Path | None:
        ends = list(accumulate(self.lengths))
        owner = bisect_right(ends, position)
        index = position - (ends[owner - 1] if owner else 0)
        return Path(self.lists.path(owner), index, None)


class PartPlace:
    """Some positions of a column."""

    __slots__ = ("positions", "whole")

    def __init__(self, whole: Place, positions: Sequence[int]) -> None:
        self.whole = whole
        self.positions = positions

    def path(self, position: int) -> Path | None:
        return self.whole.path(self.positions[position])
