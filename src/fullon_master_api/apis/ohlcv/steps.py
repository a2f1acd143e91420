"""What a transaction asks of its database: the same generator runs on a thread with SQLite and awaits PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Run:
    """One statement; it answers its rows. A list among the arguments belongs to KEYS, INTS or WORDS."""

    sql: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class InsertMany:
    """Many rows into one table; `conflict` is the rest of the statement. It answers no rows."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class KeepPartitions:
    """Trades of these days (counted from 1970) are about to be written: PostgreSQL makes their months, SQLite has none."""

    days: frozenset[int]


@dataclass(frozen=True, slots=True)
class DropPartitions:
    """Months that end by this instant hold nothing any more: PostgreSQL drops their partitions."""

    before_ns: int


Step = Run | InsertMany | KeepPartitions | DropPartitions
Transaction = Generator[Step, Rows, T]


class Driver(Protocol):
    """One database: bounded pools, one transaction for a write, a snapshot for a read."""

    async def read(self, sql: str, *args: Any) -> Rows: ...
    async def write(self, begin: Callable[[], Transaction[T]]) -> T: ...
    async def compute(self, work: Callable[[], T]) -> T:
        """Run work of the processor beside the event loop."""
        ...

    async def aclose(self) -> None: ...
