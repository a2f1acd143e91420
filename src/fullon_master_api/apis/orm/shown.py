"""Columns that are only shown, read as their text: no decimal, no datetime and no member of an enum is made of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Dialect, LargeBinary, Text, cast, func, type_coerce
from sqlalchemy.types import TypeDecorator

from fullon_master_api.apis.orm.columns import EnumText, Money, UtcTime

SHOWN_AS_TEXT: Final = (Money, UtcTime, EnumText)
TEXTS_MAX: Final = 32_768
DAY_US: Final = 86_400_000_000
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts its microseconds."""
INFINITIES: Final = {2**63 - 1: datetime.max, -(2**63): datetime.min}  # noqa: DTZ901  what its driver makes of them
SQLITE_LENGTH: Final = len("2025-11-10 12:00:00.000000")

_MINUTES: Final = tuple(f"{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60))
_TWO: Final = tuple(f"{number:02d}" for number in range(60))
_read_int64: Final = Struct(">q").unpack

Stored = TypeVar("Stored")


class Texts(dict[Stored, Any]):
    """Texts of stored values that were made before: the same instants are shown again and again. At most `TEXTS_MAX`."""

    def __init__(self, make: Callable[[Stored], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, stored: Stored) -> Any:
        if stored is None:
            return None
        if len(self) >= TEXTS_MAX:
            self.clear()
        text = self[stored] = self._make(stored)
        return text


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    """The day so many days after that of 2000, up to where its time begins."""
    return (EPOCH + timedelta(days)).isoformat()[:11]


def text_of_binary(stored: bytes) -> Any:
    """RFC 3339 in UTC of what PostgreSQL sends for an instant. Raises OverflowError beyond the calendar, as its driver does."""
    instant_us = _read_int64(stored)[0]
    if instant_us in INFINITIES:
        return INFINITIES[instant_us]
    days, rest = divmod(instant_us, DAY_US)
    seconds, us = divmod(rest, 1_000_000)
    text = f"{_day_text(days)}{_MINUTES[seconds // 60]}{_TWO[seconds % 60]}"
    if not us:
        return text + "Z"
    return f"{text}.{us:06d}Z" if us % 1000 else f"{text}.{us // 1000:03d}Z"


def text_of_sqlite(stored: str) -> str:
    """The same of the text that SQLAlchemy keeps on SQLite."""
    if len(stored) != SQLITE_LENGTH:  # Not written by us: whatever it is, it is read as ever.
        stored = f"{datetime.fromisoformat(stored):%Y-%m-%d %H:%M:%S.%f}"
    day, time, us = stored[:10], stored[11:19], stored[20:]
    if us == "000000":
        return f"{day}T{time}Z"
    return f"{day}T{time}.{us.removesuffix('000')}Z"


_OF_BINARY: Final = Texts(text_of_binary)
_OF_SQLITE: Final = Texts(text_of_sqlite)


class InstantText(TypeDecorator[str]):
    """An instant that comes as its text."""

    impl = LargeBinary
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return (_OF_BINARY if dialect.name == "postgresql" else _OF_SQLITE).__getitem__


def as_text(dialect: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column of `SHOWN_AS_TEXT` as text: enums by their stored words, the others as they leave.

    Money: plain notation, which PostgreSQL writes as SQLite keeps it. Instants: PostgreSQL sends its own eight bytes, which say
    the same as its text and cost it nothing; its driver would make a datetime of them, which costs more than all else of a row.
    """
    if isinstance(column.type, UtcTime):
        return type_coerce(func.timestamptz_send(column) if dialect == "postgresql" else column, InstantText())
    if isinstance(column.type, Money) and dialect == "postgresql":
        return cast(column, Text())
    return type_coerce(column, Text())
