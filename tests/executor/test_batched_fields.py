"""Fields answered in batches, under Strawberry's own execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

import pytest
import strawberry

from fullon_master_api.executor.fields import answered, batched, rooted
from fullon_master_api.executor.loading import load_batched


@strawberry.enum
class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@strawberry.input
class Range:
    low: int = 0
    high: int = 9


@dataclass
class Ctx:
    request_id: str = "r1"
    loaders: dict[Any, Any] = field(default_factory=dict)
    principal: None = None
    calls: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Leaf:
    number: int


async def leaves(parents: Sequence[Any], ctx: Ctx, *, size: Size = Size.SMALL, limit: int = 3) -> list[Leaf | Exception | None]:
    ctx.calls.append(("leaves", len(parents), {"size": size, "limit": limit}))
    return [ValueError("seven") if p == 7 else None if p == 8 else Leaf(p * limit) for p in parents]


async def branches(parents: Sequence[Any], ctx: Ctx, *, range: Range | None = None) -> list[list[int]]:  # noqa: A002
    ctx.calls.append(("branches", len(parents), {"range": range}))
    # Branches of very different lengths reach the next level some turns of the loop apart.
    return [list(builtin_range(parent % 4)) for parent in parents]


builtin_range = range


async def few(parents: Sequence[Any], ctx: Ctx) -> list[int]:
    return [1]


async def stuck(parents: Sequence[Any], ctx: Ctx) -> list[int]:
    ctx.entered.set()
    try:
        await ctx.release.wait()
    except asyncio.CancelledError:
        ctx.calls.append(("cancelled", len(parents), {}))
        raise
    return [1 for _ in parents]


async def failing(ctx: Ctx) -> int:
    await ctx.entered.wait()
    raise ValueError("required")


async def numbers(ctx: Ctx, *, count: int = 4) -> list[int]:
    return list(range(count))


@strawberry.type
class LeafType:
    number: int


@strawberry.type
class Twig:
    leaf: LeafType | None = batched(leaves, description="its leaf")


@strawberry.type
class Number:
    leaf: LeafType | None = batched(leaves, description="its leaf", arguments={"limit": "a factor"}, cost=3)
    renamed: LeafType | None = batched(leaves, description="again", name="other", deprecation_reason="use leaf")
    branches: list[Twig] = batched(
        branches,
        description="smaller ones",
        arguments={"range": Annotated[Range | None, strawberry.argument(description="which")]},
    )
    few: int | None = batched(few, description="one answer whatever is asked")
    stuck: int | None = batched(stuck, description="waits")


@strawberry.type
class Query:
    numbers: list[Number] = rooted(numbers, description="the first integers")
    failing: int = rooted(failing, description="fails")


schema = strawberry.Schema(Query)


async def test_a_level_of_rows_is_one_call() -> None:
    ctx = Ctx()

    result = await schema.execute("{ numbers { leaf(limit: 2) { number } } }", context_value=ctx)

    assert result.errors is None
    assert result.data == {"numbers": [{"leaf": {"number": n * 2}} for n in range(4)]}
    assert ctx.calls == [("leaves", 4, {"size": Size.SMALL, "limit": 2})]


async def test_rows_below_lists_of_unequal_length_are_still_one_call_a_level() -> None:
    ctx = Ctx()

    result = await schema.execute("{ numbers(count: 9) { branches { leaf { number } } leaf { number } } }", context_value=ctx)

    assert [call[:2] for call in ctx.calls] == [("branches", 9), ("leaves", 9), ("leaves", 12)]
    assert result.data is not None
    assert result.data["numbers"][3]["branches"] == [{"leaf": {"number": n * 3}} for n in range(3)]


async def test_different_arguments_are_different_calls_and_enums_arrive_as_members() -> None:
    ctx = Ctx()

    await schema.execute("{ numbers { leaf { number } b: leaf(size: LARGE) { number } } }", context_value=ctx)

    assert [call[2]["size"] for call in ctx.calls] == [Size.SMALL, Size.LARGE]


async def test_an_input_object_replaces_the_annotation_and_arrives_built() -> None:
    ctx = Ctx()

    await schema.execute("{ numbers { branches(range: { high: 5 }) { __typename } } }", context_value=ctx)

    assert ctx.calls == [("branches", 4, {"range": Range(low=0, high=5)})]


async def test_an_exception_among_the_answers_is_the_error_of_its_row_alone(capsys: pytest.CaptureFixture[str]) -> None:
    result = await schema.execute("{ numbers(count: 10) { leaf { number } } }", context_value=Ctx())

    assert result.data is not None
    assert [row["leaf"] for row in result.data["numbers"][6:]] == [{"number": 18}, None, None, {"number": 27}]
    assert result.errors is not None
    assert [(error.message, error.path) for error in result.errors] == [("seven", ["numbers", 7, "leaf"])]


async def test_a_list_of_the_wrong_length_is_an_error_of_every_row() -> None:
    result = await schema.execute("{ numbers { few } }", context_value=Ctx())

    assert result.data == {"numbers": [{"few": None}] * 4}
    assert result.errors is not None
    assert [error.message for error in result.errors] == ["few returned 1 answers for 4 parents"] * 4


async def test_nothing_is_kept_between_levels_and_a_second_run_asks_again() -> None:
    ctx = Ctx()

    await schema.execute("{ numbers { leaf { number } } }", context_value=ctx)
    await schema.execute("{ numbers { leaf { number } } }", context_value=ctx)

    assert len(ctx.calls) == 2
    assert ctx.loaders == {}


async def test_a_failing_sibling_cancels_the_batch_that_nobody_waits_for_any_more() -> None:
    ctx = Ctx()

    result = await schema.execute("{ numbers { stuck } failing }", context_value=ctx)
    await asyncio.sleep(0)

    assert result.data is None
    assert result.errors is not None
    assert [error.message for error in result.errors] == ["required"]
    assert ctx.calls == [("cancelled", 4, {})]


@pytest.mark.parametrize("turns", range(8))
async def test_a_row_that_comes_after_all_others_were_canceled_is_answered(turns: int) -> None:
    """Also while the call that they wanted is still put together, or has just been given up."""
    ctx = Ctx()
    node = object()
    first = [asyncio.create_task(load_batched(leaves, number, ctx, node, {})) for number in (1, 2)]
    for _turn in range(turns):
        await asyncio.sleep(0)
    for task in first:
        task.cancel()
    late = [asyncio.create_task(load_batched(leaves, number, ctx, node, {})) for number in (3, 4)]

    async with asyncio.timeout(30):
        assert await asyncio.gather(*late) == [Leaf(9), Leaf(12)]
    await asyncio.wait(first)
    assert ctx.loaders == {}


def test_the_printed_schema_shows_arguments_descriptions_and_names() -> None:
    printed = schema.as_str()

    assert 'other(size: Size! = SMALL, limit: Int! = 3): LeafType @deprecated(reason: "use leaf")' in printed
    assert '"""a factor"""\n    limit: Int! = 3' in printed
    assert '"""which"""\n    range: Range = null' in printed
    assert '"""its leaf"""' in printed


def test_the_cost_and_the_resolver_can_be_read_back() -> None:
    number = schema.get_type_by_name("Number")
    record = answered(number.fields[0])  # type: ignore[union-attr]

    assert record is not None
    assert (record.resolver, record.rooted, record.cost) == (leaves, False, 3)


def test_an_argument_that_the_resolver_does_not_have_is_refused_when_the_schema_is_built() -> None:
    with pytest.raises(AssertionError, match=r"leaves has no keyword-only parameter named \['colour'\]"):
        batched(leaves, description="its leaf", arguments={"colour": "of it"})
