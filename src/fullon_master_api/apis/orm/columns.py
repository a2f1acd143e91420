"""How values are kept in SQL: exact money, aware UTC instants, enums, words and JSON, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Integer,
    Numeric,
    String,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Scope

DIGITS_MAX: Final = 38
ID_MAX: Final = 2**63 - 1

Id: Final = BigInteger().with_variant(Integer(), "sqlite")
"""Integer key; SQLite numbers rows by itself only in a column of type INTEGER."""


def canonical(value: Decimal) -> Decimal:
    """The same number with no trailing zeros, no exponent and no minus before zero, so that equal values have equal text.

    Raises: BadUserInput for NaN, Infinity and more than 38 digits.
    """
    if not value.is_finite():
        raise BadUserInput(f"number was {value}, must be finite")
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if max(len(digits), len(digits) + exponent, -exponent) > DIGITS_MAX:
        raise BadUserInput(f"number has more than {DIGITS_MAX} digits")
    if not value:
        return Decimal(0)
    text = format(value, "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


class Money(TypeDecorator[Decimal]):
    """Exact decimal: NUMERIC on PostgreSQL, canonical text on SQLite, whose numbers are floats.

    Do not compare or sum it in SQL: on SQLite that would compare text. Equality works on both.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(Numeric(asdecimal=True))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        number = canonical(value)
        return format(number, "f") if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """PostgreSQL's driver gives decimals already; the call that would leave them as they are is spared for each value."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


class UtcTime(TypeDecorator[datetime]):
    """An instant: aware UTC in and out; a naive one is our own mistake."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, f"instant {value!r} has no time zone"
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """PostgreSQL's driver gives aware UTC already."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


class EnumText(TypeDecorator[StrEnum]):
    """A word of a closed list, kept as its text; `one_of` makes the check that goes with it."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[StrEnum], length: int = 20) -> None:
        super().__init__(length)
        self.enum = enum

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """A look-up in place of two calls for each value; a word that is not of the list is an error as ever."""
        members: dict[str | None, StrEnum | None] = {member.value: member for member in self.enum}
        return {None: None, **members}.__getitem__


class Scopes(TypeDecorator[frozenset[Scope]]):
    """Scopes as words between commas."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Iterable[Scope] | None, dialect: Dialect) -> str | None:
        return None if value is None else ",".join(sorted(scope.value for scope in value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[Scope] | None:
        return None if value is None else frozenset(Scope(word) for word in value.split(",") if word)


class JsonText(TypeDecorator[Any]):
    """Plain JSON values as text, decoded on read; `kind` names a type to decode to."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any = Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value, type=self.kind)


class now_ms(FunctionElement[int]):  # noqa: N801 (reads as the SQL function that it is)
    """The database's own clock: UTC milliseconds since 1970, so that hosts with wrong clocks agree on leases."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _now_ms_sqlite(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(now_ms, "postgresql")
def _now_ms_postgresql(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """Check that a column of `EnumText` holds one of the enum's words."""
    words = ", ".join(f"'{member.value}'" for member in enum)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


def positive(column: str) -> CheckConstraint:
    """Check that money is above zero; the cast reads text on SQLite and changes nothing on PostgreSQL."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) > 0", name=f"{column}_positive")


def not_negative(column: str) -> CheckConstraint:
    """Check that money is not below zero; null passes."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) >= 0", name=f"{column}_not_negative")
