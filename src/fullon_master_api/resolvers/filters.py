"""Filter and order inputs of any noun as what the stores take."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, Final, Protocol

from fullon_master_api.apis.orm.conditions import AllOf, AnyOf, Compare, Condition, Not


class Direction(Enum):
    ASC = ""
    DESC = "-"


class OrderWish(Protocol):
    """`field`'s value is the store's name of the sort."""

    field: Enum
    direction: Direction


OPERATORS: Final = {"in_": "in"}
"""Python's spelling of operators that are words of its own."""


def order_of(order_by: OrderWish | None) -> str | None:
    """The store's name of the sort, with - for descending; None leaves the list's own order."""
    return None if order_by is None else f"{order_by.direction.value}{order_by.field.value}"


def condition_of(wish: Any) -> Condition | None:
    """The condition that a filter input means: all that it says must hold. None for an empty one."""
    if wish is None:
        return None
    terms: list[Condition] = []
    for field in dataclasses.fields(wish):
        value = getattr(wish, field.name)
        if value is None:
            continue
        if field.name == "and_":
            terms.append(AllOf(terms=_conditions(value)))
        elif field.name == "or_":
            terms.append(AnyOf(terms=_conditions(value)))
        elif field.name == "not_":
            inner = condition_of(value)
            terms += [] if inner is None else [Not(term=inner)]
        elif dataclasses.is_dataclass(value):
            terms += _comparisons(field.name, value)
        else:
            terms.append(Compare(field=field.name, operator="eq", value=value))
    return AllOf(terms=terms) if terms else None


def _conditions(wishes: list[Any]) -> list[Condition]:
    """An empty filter among them asks nothing, so it holds for every row."""
    return [condition_of(wish) or AllOf(terms=[]) for wish in wishes]


def _comparisons(name: str, wish: Any) -> list[Condition]:
    return [
        Compare(field=name, operator=OPERATORS.get(field.name, field.name), value=getattr(wish, field.name))
        for field in dataclasses.fields(wish)
        if getattr(wish, field.name) is not None
    ]
