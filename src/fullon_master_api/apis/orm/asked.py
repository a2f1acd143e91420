"""The keys of a batch in SQL: one parameter that carries them all, so that the statement is the same whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    String,
    Text,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias

from fullon_master_api.apis.orm.columns import ID_MAX

ASKED: Final = "asked"
"""The parameter that carries the keys."""
WORDS: Final = ("first_word", "second_word")
"""Those that carry the parts of keys of two words."""


def as_list(dialect: str, values: Sequence[Any]) -> Any:
    """Values as the one parameter that carries them, whatever their number: an array, or JSON for SQLite."""
    return list(values) if dialect == "postgresql" else msgspec.json.encode(values).decode()


def listed(dialect: str, name: str, type_: Any) -> BindParameter[Any]:
    """That parameter."""
    return bindparam(name, type_=ARRAY(type_) if dialect == "postgresql" else Text())


def among(dialect: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a column has one of the values asked for."""
    parameter = listed(dialect, ASKED, column.type)
    if dialect == "postgresql":
        return column == any_(parameter)
    return column.in_(select(func.json_each(parameter).table_valued("value").c.value))


def asked_keys(dialect: str, parent: ColumnElement[Any]) -> TableValuedAlias:
    """The values asked for as a table of one column `value`."""
    parameter = listed(dialect, ASKED, parent.type)
    if dialect == "postgresql":
        return func.unnest(parameter).table_valued(column("value", parent.type)).render_derived(name="asked")
    return func.json_each(parameter).table_valued(column("value", parent.type), name="asked")


def asked_pairs(dialect: str) -> FromClause:
    """The pairs of words asked for as a table of two columns."""
    if dialect == "postgresql":
        lists = [listed(dialect, word, String()) for word in WORDS]
        return func.unnest(*lists).table_valued(*(column(word, String()) for word in WORDS)).render_derived(name="asked")
    pairs = func.json_each(listed(dialect, ASKED, String())).table_valued(column("value", Text()))
    parts = (func.json_extract(pairs.c.value, literal_column(f"'$[{place}]'")).label(word) for place, word in enumerate(WORDS))
    return select(*parts).subquery("asked")


def number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=Integer())


def exactly(count: int) -> ColumnElement[int]:
    """A number of rows that is part of the statement's text: of a LIMIT that is a parameter PostgreSQL assumes a tenth of all
    rows, finds each time that the true plan is better, and plans each time anew."""
    return literal_column(str(int(count)), Integer())


def possible_keys(keys: Sequence[Any]) -> list[Any]:
    """The keys once each, without numbers that no row can have and no driver takes."""
    return [key for key in dict.fromkeys(keys) if not isinstance(key, int) or 0 <= key <= ID_MAX]
