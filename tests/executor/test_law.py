"""The executor's law: for any valid operation its answer is the answer of graphql-core."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import warnings
from collections import Counter
from typing import Any

import pytest
from graphql import GraphQLError
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from strawberry import Schema

from fullon_master_api.executor import core
from fullon_master_api.executor.answers import DocumentError, encode
from fullon_master_api.executor.core import SteadyExecution, close_unstarted
from fullon_master_api.executor.emission import Objects
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.limits import Limits
from fullon_master_api.executor.plan import Plan, Planner, Plans
from fullon_master_api.executor.run import Frame
from tests.executor.law_operations import Writer
from tests.executor.law_schema import BookRow, Ctx, row_of, schema

EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "20000" if os.environ.get("PROFILE") == "ci" else "2000"))

engine = Engine(schema, Limits(cost_max=10**9, aliases_max=10_000, reading_burst_s=10**9))
planner = Planner(schema)
seen: Counter[str] = Counter()

Told = tuple[str, tuple[str | int, ...], tuple[tuple[int, int], ...]]


def told(errors: list[GraphQLError]) -> list[Told]:
    """Errors as what a client could see of them."""
    return [
        (error.message, tuple(error.path or ()), tuple((place.line, place.column) for place in error.locations or ()))
        for error in errors
    ]


async def by_core(
    schema: Schema,
    prepared: Any,
    variables: dict[str, Any],
    ctx: Any,
    root: Any,
    *,
    propagate: bool = True,
) -> tuple[Any, list[Told]]:
    executor = SteadyExecution.build(
        schema._schema, prepared.document, root, ctx, variables, prepared.name, operation_extensions=None
    )
    assert isinstance(executor, SteadyExecution)
    executor.error_propagation = propagate
    result: Any = executor.execute_operation()
    if hasattr(result, "__await__"):
        result = await result
    return result.data, told(result.errors or [])


def null_position(data: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where on the way to `path` the data is null first."""
    here = data
    for depth, key in enumerate(path):
        if here is None:
            return path[:depth]
        here = here[key]
    assert here is None, path
    return path


def same_errors(data: Any, ours: list[Told], theirs: list[Told], possible: list[Told]) -> None:
    """An error at a position that may be null must be the same; where several could null a position, each may name its own.

    graphql-core names the one that failed first in time and cancels the rest (GraphQL spec 6.4.4 leaves it open), so
    errors that went up to one null are compared with all that could have.
    """
    assert set(ours) <= set(possible)
    at_ours: dict[tuple[str | int, ...], set[Told]] = {}
    at_core: dict[tuple[str | int, ...], set[Told]] = {}
    for errors, at in ((ours, at_ours), (theirs, at_core)):
        for error in errors:
            at.setdefault(null_position(data, error[1]), set()).add(error)
    assert at_ours.keys() == at_core.keys()
    for position, named in at_core.items():
        here = [error for error in possible if error[1][: len(position)] == position]
        if len(here) == 1 or all(error[1] == position for error in named):
            assert at_ours[position] == named
    assert len(ours) == len(set(ours))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**62))
@example(seed=6896)  # One list under two fields, of which one may hold null and the other may not.
@pytest.mark.timeout(3000)
async def test_any_operation_has_the_answer_of_graphql_core(seed: int) -> None:
    chance = random.Random(seed)
    kind = chance.choice(["query"] * 6 + ["mutation", "subscription"])
    text, variables = Writer(schema._schema, chance).operation(kind)
    fault = chance.choice([0.0, 0.0, 0.01, 0.05, 0.3])
    try:
        prepared = engine.prepare(text)
    except DocumentError as error:
        seen[error.codes[0]] += 1
        return

    def ctx() -> Ctx:
        return Ctx(seed=seed, fault=fault, waits=bool(seed % 2))

    def event(of: Ctx) -> Any:
        return row_of(of, "event", [BookRow]) if kind == "subscription" else None

    note(f"{text}\n{json.dumps(variables)} fault={fault}")
    core_ctx, our_ctx, free_ctx = ctx(), ctx(), ctx()
    data, errors = await by_core(schema, prepared, variables, core_ctx, event(core_ctx))
    values = engine._values(prepared, variables)
    plans = Plans(planner, prepared.document, prepared.operation)
    plan = plans.get(values)
    assert isinstance(plan, Plan), plans.unsupported
    expected = json.loads(encode(data))
    objects = Objects(1_000_000)
    for run in range(3):  # The first run answers value by value, the second by generated code, the third what was kept.
        our_ctx = ctx()
        frame = Frame(schema, planner, objects, plan, values, our_ctx, event(our_ctx))
        answer = json.loads(encode(await frame.run()))
        assert json.dumps(answer) == json.dumps(expected), run
        assert our_ctx.log == core_ctx.log
        if errors or frame.errors:
            _free, possible = await by_core(schema, prepared, variables, free_ctx, event(free_ctx), propagate=False)
            same_errors(expected, told(frame.errors), errors, possible)
    seen["errors" if errors else "clean"] += 1


def test_the_generated_operations_were_mostly_valid_and_often_faulty() -> None:
    total = sum(seen.values())

    assert seen["clean"] > total * 0.2, seen
    assert seen["errors"] > total * 0.2, seen


async def test_graphql_core_leaves_no_coroutine_behind_when_it_cancels_the_siblings_of_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = engine.prepare(
        "{ things(count: 5) { books(limit: 4) { sure { id books { thing { id } } } twins { sure { id } } } } }"
    )
    closed: list[int] = []
    monkeypatch.setattr(core, "close_unstarted", lambda made: closed.append(close_unstarted(made)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(20):
            await by_core(schema, prepared, {}, Ctx(seed=seed, fault=0.1, waits=True), None)
        gc.collect()

    assert caught == []
    assert len(asyncio.all_tasks()) == 1
    assert sum(closed) > 0
