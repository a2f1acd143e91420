"""Every kind of value in every kind of leaf: the generated code, the slow path and graphql-core agree."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import strawberry
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.executor.answers import encode
from fullon_master_api.executor.core import run_core
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.fields import rooted
from fullon_master_api.executor.scalars import SCALARS, BigInt


@strawberry.enum
class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Text(str):
    __slots__ = ()


class Name(enum.StrEnum):
    RED = "red"


@dataclass
class Ctx:
    request_id: str = "request-1"
    loaders: dict[Any, Any] = field(default_factory=dict)
    values: Sequence[Any] = ()


class Row:
    """Every attribute is the same value."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._value


async def get_rows(ctx: Ctx) -> list[Row]:
    return [Row(value) for value in ctx.values]


@strawberry.type
class Leaves:
    text: str | None
    number: int | None
    ratio: float | None
    flag: bool | None
    key: strawberry.ID | None
    colour: Colour | None
    price: Decimal | None
    at: dt.datetime | None
    day: dt.date | None
    uuid: UUID | None
    big: BigInt | None
    anything: JSON | None
    texts: list[str | None] | None
    numbers: list[int | None] | None
    ratios: list[float | None] | None
    colours: list[Colour | None] | None
    prices: list[Decimal | None] | None
    ats: list[dt.datetime | None] | None


@strawberry.type
class Query:
    rows: list[Leaves] = rooted(get_rows, description="rows")


schema = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))
engine = Engine(schema)
names = [name for name in schema._schema.type_map["Leaves"].fields if name != "anything"]  # type: ignore[attr-defined]
query = engine.prepare("{ rows { " + " ".join(names) + " } }")

PLAIN: list[Any] = [
    *(None, "", "text", "12", 'q"\\\n\x00', "\u2028", Text("sub"), Name.RED, "RED", "red"),
    *(0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, 2**80, True, False),
    *(0.0, -0.0, 1.5, 1e22, 1e-7, float("nan"), float("inf"), float("-inf"), 3.0),
    *(Decimal("1E-7"), Decimal("1.50"), Decimal("NaN"), Decimal("-Infinity"), Decimal("1E+5"), Decimal(0)),
    *(Colour.RED, Colour.BLUE, 2, object(), b"bytes", [], ["a", None, 1], (1, 2), {"a": 1}, {1}, ValueError("returned")),
    *([1.5, float("nan")], [1e308, 1e308], [2**31], [Colour.RED, Colour.BLUE], [Decimal(1), "2"], [1_700_000_000_000_000_000]),
    *(dt.datetime(2025, 1, 2, tzinfo=dt.UTC), dt.datetime(2025, 1, 2), dt.date(2025, 1, 2), UUID(int=5)),  # noqa: DTZ001
]


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Thousands of faults are logged here, each with its traceback."""
    with structlog.testing.capture_logs():
        yield


async def agree(values: Sequence[Any]) -> None:
    data, errors = await run_core(schema, query, {}, Ctx(values=values), None)
    expected = sorted((error.message, error.path or []) for error in errors)
    for _ in range(2):
        answer = json.loads((await engine.execute(query, None, Ctx(values=values))).body)
        assert json.dumps(answer["data"]) == json.dumps(json.loads(encode(data)))
        assert sorted(error["path"] for error in answer.get("errors", ())) == sorted(path for _message, path in expected)


@pytest.mark.parametrize("position", range(len(PLAIN)), ids=lambda position: repr(PLAIN[position])[:20])
async def test_one_value_leaves_as_graphql_core_lets_it_leave(position: int) -> None:
    await agree([PLAIN[position]])


async def test_many_values_of_many_kinds_leave_as_graphql_core_lets_them_leave() -> None:
    await agree(PLAIN)


scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.booleans(),
    st.none(),
    st.decimals(),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.one_of(scalars, st.lists(scalars, max_size=3)), min_size=1, max_size=40))
async def test_any_values_leave_as_graphql_core_lets_them_leave(values: list[Any]) -> None:
    await agree(values)
