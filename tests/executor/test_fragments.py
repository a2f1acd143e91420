"""Answers kept as JSON: what is the same comes from memory, what was revised never does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st

from fullon_master_api.errors import Forbidden
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.fields import batched, rooted
from fullon_master_api.executor.fragments import Fragment, Fragments, Lasting
from fullon_master_api.executor.limits import Limits


class Bar(msgspec.Struct, frozen=True):
    at: int
    close: str | None


@dataclass
class Ctx:
    bars: list[list[Any]]
    request_id: str = "r"
    principal: None = None
    loaders: dict[Any, Any] = field(default_factory=dict)


async def get_owners(ctx: Ctx) -> list[int]:
    return list(range(len(ctx.bars)))


async def bars_of(parents: Sequence[int], ctx: Ctx) -> list[Lasting]:
    return [Lasting(ctx.bars[parent], parent) for parent in parents]


async def twice(parents: Sequence[Bar], ctx: Ctx) -> list[int]:
    return [2 * parent.at for parent in parents]


@strawberry.type
class BarType:
    at: int
    close: str | None
    sure: str = strawberry.field(resolver=lambda self: self.close)
    double: int = batched(twice, description="twice its time")


@strawberry.type
class SureBar:
    at: int
    close: str


@strawberry.type
class Owner:
    bars: list[BarType | None] | None = batched(bars_of, description="its bars")
    sure_bars: list[SureBar] | None = batched(bars_of, description="its bars, each with a close")


@strawberry.type
class Query:
    owners: list[Owner] = rooted(get_owners, description="all")


schema = strawberry.Schema(Query)
QUERIES = ("{ owners { bars { at close } } }", "{ owners { sureBars { close at } } }", "{ owners { bars { double at } } }")


async def ask(engine: Engine, query: str, bars: list[list[Any]]) -> bytes:
    return (await engine.execute(engine.prepare(query), None, Ctx(bars))).body


bar = st.builds(Bar, at=st.integers(0, 3), close=st.sampled_from(["1", "2", "x\ud800", None]))
rows = st.lists(st.one_of(bar, bar, bar, st.none(), st.builds(Forbidden, st.just("no bar"))), max_size=5)


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(st.tuples(st.sampled_from(QUERIES), st.lists(rows, min_size=1, max_size=2)), max_size=12))
async def test_whatever_was_asked_before_the_answer_is_that_of_an_engine_that_keeps_nothing(
    asked: list[tuple[str, list[list[Any]]]],
) -> None:
    keeps = Engine(schema)

    for query, bars in asked:
        for _ in range(3):
            assert await ask(keeps, query, bars) == await ask(Engine(schema, Limits(fragments_bytes_max=0)), query, bars)


async def test_a_revised_bar_is_written_anew_and_its_neighbours_are_not() -> None:
    engine = Engine(schema)
    bars = [Bar(n, str(n)) for n in range(100)]
    for _ in range(3):
        await ask(engine, QUERIES[0], [bars])

    revised = [*bars[1:50], Bar(50, "revised"), *bars[51:], Bar(100, "new")]
    answer = orjson.loads(await ask(engine, QUERIES[0], [revised]))

    assert answer["data"]["owners"][0]["bars"] == [{"at": row.at, "close": row.close} for row in revised]


def test_the_window_of_the_newest_bars_moves_over_what_is_kept() -> None:
    bars = [Bar(n, str(n)) for n in range(10)]
    kept = Fragment(bars[:8], [b"%d" % n for n in range(8)])

    assert kept.common(bars[:8]) == (0, 8)
    assert kept.common(bars[3:10]) == (3, 5)
    assert kept.common([*bars[:7], Bar(7, "open")]) == (0, 7)
    assert kept.common([bars[0], Bar(1, "revised"), *bars[2:8]]) == (0, 1)
    assert kept.common([Bar(20, "20")]) == (0, 0)
    assert kept.common([]) == (0, 0)


def test_rows_are_kept_from_the_second_time_on_and_the_oldest_give_way() -> None:
    shape = ("Bar", (("at", "at"),))
    fragments = Fragments(10_000)

    assert fragments.find(shape, "a") is None
    assert len(fragments) == 0
    for key in "abcdefghijklmnopqrst":
        fragments.find(shape, key)
        found = fragments.find(shape, key)
        assert found is not None
        assert found.rows == []
        fragments.put(shape, key, Fragment([Bar(1, "1")], [b"1"]))

    assert 5 < len(fragments) < 20
    newest, oldest = fragments.find(shape, "t"), fragments.find(shape, "a")
    assert newest is not None
    assert newest.rows == [Bar(1, "1")]
    assert oldest is None
