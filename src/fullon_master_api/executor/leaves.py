"""Leaf values on their way out: the test that lets a value pass unchanged, and the conversion of every other."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from types import GeneratorType
from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
)
from graphql.pyutils import UndefinedType
from strawberry.schema.schema_converter import CustomGraphQLEnumType

from fullon_master_api.executor.scalars import datetime_text, decimal_text, nanosecond_text, serialize_decimal, serialize_instant

INT_MIN, INT_MAX = -(2**31), 2**31 - 1

Column = Callable[[list[Any]], list[Any] | None]
"""Values of one leaf, none of them null, as they leave; None when some value needs a look of its own."""


class Surprise(Exception):
    """A value that the fast path does not know; the same rows are then answered value by value."""


@lru_cache(maxsize=4096)
def is_plain(kind: Hashable) -> bool:
    """Whether values of this class are values: no error, nothing to await, not graphql-core's Undefined."""
    assert isinstance(kind, type)
    return not issubclass(kind, (BaseException, GeneratorType, UndefinedType)) and not hasattr(kind, "__await__")


@dataclass(frozen=True, slots=True)
class Leaf:
    """How values of one leaf type leave.

    `lines` are Python statements over `{v}` (the variable), `{c}` (the converter) and the names of `names`; they let a
    value of the usual class pass without a call. Nothing of an operation's text is ever part of them.
    """

    coerce: Callable[[Any], Any]
    lines: tuple[str, ...]
    column: Column
    names: dict[str, Any] = field(default_factory=dict)

    def converter(self, nullable: bool) -> Callable[[Any], Any]:
        """What the fast path calls for a value that did not pass: graphql-core's own conversion, or Surprise."""
        coerce = self.coerce

        def convert(value: Any) -> Any:
            if value is None and nullable:
                return None
            if value is None or not is_plain(type(value)):  # type: ignore[arg-type]
                raise Surprise
            done = coerce(value)
            if done is None or done is Undefined:
                raise Surprise
            return done

        return convert


def leaf_of(type_: GraphQLLeafType) -> Leaf:
    """The way out of a scalar or an enum of the schema."""
    coerce = type_.coerce_output_value
    lines: tuple[str, ...]
    if isinstance(type_, GraphQLEnumType):
        return _enum_leaf(type_)
    if type_ is GraphQLString:
        return Leaf(coerce, TEXT_LINES, _column_of(str))
    if type_ is GraphQLID:
        lines = ("if type({v}) is int: {v} = str({v})", "elif type({v}) is not str: {v} = {c}({v})")
        return Leaf(coerce, lines, _column_of(str))
    if type_ is GraphQLBoolean:
        return Leaf(coerce, ("if type({v}) is not bool: {v} = {c}({v})",), _column_of(bool))
    if type_ is GraphQLInt:
        lines = (f"if type({{v}}) is not int or not {INT_MIN} <= {{v}} <= {INT_MAX}: {{v}} = {{c}}({{v}})",)
        return Leaf(coerce, lines, _int_column)
    if type_ is GraphQLFloat:
        # x - x is 0.0 for every float but NaN and the infinities.
        return Leaf(coerce, ("if type({v}) is not float or {v} - {v} != 0.0: {v} = {c}({v})",), _float_column)
    serialize = getattr(type_, "serialize", None)
    if serialize is serialize_decimal:
        return Leaf(coerce, DECIMAL_LINES, _column_of(str), {"decimal_text": decimal_text})
    if serialize is serialize_instant:
        return _instant_leaf(coerce)
    return Leaf(coerce, ("{v} = {c}({v})",), lambda _values: None)


TEXT_LINES: Final = ("if type({v}) is not str: {v} = {c}({v})",)


# decimal_text() without the call: what has an exponent or no finite value is not plain yet.
DECIMAL_LINES: Final = (
    "kind = type({v})",
    "if kind is Decimal:",
    "    text = str({v})",
    "    {v} = decimal_text({v}) if 'E' in text or not {v}.is_finite() else text",
    "elif kind is not str: {v} = {c}({v})",
)


def _enum_leaf(type_: GraphQLEnumType) -> Leaf:
    if not isinstance(type_, CustomGraphQLEnumType):
        return Leaf(type_.coerce_output_value, ("{v} = {c}({v})",), lambda _values: None)
    members: list[Any] = list(type_.wrapped_cls)
    # Members live as long as their class, which `members` holds: an id in here never belongs to anything else.
    by_id = {id(member): type_.coerce_output_value(member) for member in members}
    found = by_id.get
    # The text of a member is one too, as stores keep it; members themselves hash slowly.
    words = {member.value: type_.coerce_output_value(member.value) for member in members if type(member.value) is str}

    def column(values: list[Any]) -> list[Any] | None:
        names = [found(id(value)) for value in values]
        return None if None in names else names

    coerce = type_.coerce_output_value
    lines = ("{v} = ({e}_words({v}) if type({v}) is str else {e}(id({v}))) or {c}({v})",)
    return Leaf(coerce, lines, column, {"{e}": found, "{e}_members": members, "{e}_words": words.get})


INSTANTS_MAX: Final = 32_768
"""Instants whose text is remembered. Candles of all symbols open at the same ones."""


def _instant_leaf(coerce: Callable[[Any], Any]) -> Leaf:
    known: dict[int, str] = {}

    def text(value: int) -> str:
        if len(known) >= INSTANTS_MAX:
            known.clear()
        done = known[value] = nanosecond_text(value)
        return done

    def column(values: list[Any]) -> list[Any] | None:
        if not set(map(type, values)) <= {int}:
            return None
        try:
            return [known.get(value) or text(value) for value in values]
        except (ValueError, OverflowError, OSError):  # An instant beyond the calendar: which one it is, is found value by value.
            return None

    # The encoder writes an instant in UTC as datetime_text() does, except that it never leaves out the last three decimals.
    lines = (
        "kind = type({v})",
        "if kind is datetime:",
        "    if {v}.tzinfo is not UTC or ({v}.microsecond and {v}.microsecond % 1000 == 0): {v} = datetime_text({v})",
        "elif kind is int: {v} = {e}_known({v}) or {e}_text({v})",
        "elif kind is not str: {v} = {c}({v})",
    )
    names = {"{e}_known": known.get, "{e}_text": text, "datetime": datetime, "datetime_text": datetime_text, "UTC": UTC}
    return Leaf(coerce, lines, column, names)


def _column_of(kind: type) -> Column:
    only = {kind}

    def column(values: list[Any]) -> list[Any] | None:
        return values if set(map(type, values)) <= only else None

    return column


def _int_column(values: list[Any]) -> list[Any] | None:
    if not values:
        return values
    return values if set(map(type, values)) == {int} and min(values) >= INT_MIN and max(values) <= INT_MAX else None


def _float_column(values: list[Any]) -> list[Any] | None:
    # A sum is finite only if every value is; one that overflows is looked at value by value.
    return values if set(map(type, values)) <= {float} and isfinite(sum(values)) else None
