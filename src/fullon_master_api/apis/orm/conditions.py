"""Conditions that a caller puts on a list: comparisons of fields, joined by and, or and not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, not_, or_, true

from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Record

DEPTH_MAX: Final = 5
TERMS_MAX: Final = 50
VALUES_MAX: Final = 500


class Compare(Record, frozen=True, kw_only=True):
    """`field` is a name of the record; `operator` is one of `OPERATORS`."""

    field: str
    operator: str
    value: Any


class AllOf(Record, frozen=True, kw_only=True):
    terms: Sequence[Condition]


class AnyOf(Record, frozen=True, kw_only=True):
    terms: Sequence[Condition]


class Not(Record, frozen=True, kw_only=True):
    term: Condition


Condition = Compare | AllOf | AnyOf | Not

OPERATORS: Final[Mapping[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]]] = {
    "eq": lambda column, value: column == value,
    "in": lambda column, value: column.in_(value),
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "contains": lambda column, value: column.icontains(value, autoescape=True),
    "starts_with": lambda column, value: column.istartswith(value, autoescape=True),
    "is_null": lambda column, value: column.is_(None) if value else column.is_not(None),
}


def to_sql(condition: Condition, columns: Mapping[str, ColumnElement[Any]], depth: int = 0) -> ColumnElement[bool]:
    """The condition on these columns. Raises BadUserInput where it is deeper or longer than one may be."""
    if depth > DEPTH_MAX:
        raise BadUserInput(f"the filter nests deeper than {DEPTH_MAX}: write it flatter", path=("filter",))
    if isinstance(condition, Compare):
        if condition.operator == "in" and len(condition.value) > VALUES_MAX:
            raise BadUserInput(f"the filter lists {len(condition.value)} values, must be at most {VALUES_MAX}", path=("filter",))
        return OPERATORS[condition.operator](columns[condition.field], condition.value)
    if isinstance(condition, Not):
        return not_(to_sql(condition.term, columns, depth + 1))
    if len(condition.terms) > TERMS_MAX:
        raise BadUserInput(f"the filter joins {len(condition.terms)} terms, must be at most {TERMS_MAX}", path=("filter",))
    terms = [to_sql(term, columns, depth + 1) for term in condition.terms]
    if isinstance(condition, AllOf):
        return and_(true(), *terms)
    return or_(false(), *terms)
