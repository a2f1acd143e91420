"""Plans at work: how often resolvers are called, in what order, what a fault takes with it and what ends a run."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
import pytest
import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.federation.schema_directives import Shareable
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.errors import Forbidden
from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.fields import RowsOf, batched, rooted
from fullon_master_api.executor.limits import Limits
from fullon_master_api.executor.scalars import SCALARS


@dataclass
class Ctx:
    request_id: str = "request-1"
    loaders: dict[Any, Any] = field(default_factory=dict)
    principal: None = None
    log: list[Any] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    peered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Row:
    id: int
    price: Any = Decimal("1.50")
    extra: Any = None


async def rows_of(ctx: Ctx, *, count: int = 3, odd: int = -1) -> list[Row]:
    ctx.log.append("rows")
    return [Row(n, price=Decimal("NaN") if n == odd else "1.50") for n in range(count)]


async def peers_of(parents: Sequence[Row], ctx: Ctx, *, limit: int = 2) -> list[Any]:
    ctx.log.append(("peers", len(parents), limit))
    ctx.peered.set()
    await asyncio.sleep(0)
    return [Forbidden("not yours") if parent.id == 1 else [Row(parent.id * 10 + n) for n in range(limit)] for parent in parents]


async def friend_of(parents: Sequence[Row], ctx: Ctx) -> list[Row]:
    ctx.log.append(("friend", len(parents)))
    return [Row(parent.id + 100) for parent in parents]


async def get_stuck(ctx: Ctx) -> int:
    ctx.entered.set()
    try:
        await asyncio.Event().wait()
    finally:
        ctx.log.append("ended")
    return 1


async def get_gone(ctx: Ctx) -> int:
    raise asyncio.CancelledError


async def add_number(ctx: Ctx, *, number: int) -> int:
    ctx.log.append(f"begin {number}")
    await asyncio.sleep(0)
    ctx.log.append(f"end {number}")
    if number < 0:
        raise Forbidden("not negative")
    return number


async def get_anything(ctx: Ctx, *, what: str) -> Any:
    return {"big": 2**70, "surrogate": "\ud800", "object": object()}[what]


@strawberry.type
class RowType:
    id: strawberry.ID
    price: Decimal | None
    peers: list[RowType] | None = batched(peers_of, description="beside it")
    friend: RowType = batched(friend_of, description="a friend")


@strawberry.type
class Query:
    rows: list[RowType] = rooted(rows_of, description="rows")
    stuck: int | None = rooted(get_stuck, description="never ends")
    gone: int | None = rooted(get_gone, description="cancelled")
    anything: JSON | None = rooted(get_anything, description="any JSON")


@strawberry.type
class Mutation:
    add: int = rooted(add_number, description="adds")
    maybe_add: int | None = rooted(add_number, description="adds")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def rows(self, count: int = 3) -> AsyncGenerator[RowType]:
        for number in range(count):
            yield Row(number)  # type: ignore[misc]


def schema_with(**options: Any) -> strawberry.Schema:
    config = StrawberryConfig(scalar_map=SCALARS)
    return strawberry.Schema(Query, Mutation, Subscription, config=config, **options)


schema = schema_with(execution_context_class=SteadyExecution)
engine = Engine(schema)


async def run(query: str, ctx: Ctx | None = None, variables: dict[str, Any] | None = None, using: Engine = engine) -> Any:
    answer = await using.execute(using.prepare(query), variables, ctx or Ctx())
    return orjson.loads(answer.body)


async def test_each_batch_resolver_is_called_once_per_level_and_arguments() -> None:
    ctx = Ctx()

    await run("{ rows { id friend { id } peers { friend { id } peers(limit: 1) { friend { id } } } } }", ctx)

    # Rows 0 and 2 have two peers each; the peer with id 1 has none of its own.
    assert sorted(map(str, ctx.log)) == sorted(
        ["rows", "('friend', 3)", "('peers', 3, 2)", "('friend', 4)", "('peers', 4, 1)", "('friend', 3)"]
    )


async def test_the_calls_of_one_level_wait_together() -> None:
    ctx = Ctx()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(run("{ stuck rows { peers { id } } }", ctx, using=Engine(schema, Limits(timeout_s=0.2))))
        await ctx.entered.wait()
        await ctx.peered.wait()
    assert task.result()["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert ctx.log[-1] == "ended"


async def test_a_caller_that_goes_away_ends_the_resolvers() -> None:
    ctx = Ctx()
    task = asyncio.ensure_future(run("{ stuck rows { id } }", ctx))
    await ctx.entered.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ctx.log[-1] == "ended"


async def test_a_resolver_that_was_cancelled_alone_fails_alone() -> None:
    body = await run("{ gone rows(count: 1) { id } }")

    assert body["data"] == {"gone": None, "rows": [{"id": "0"}]}
    assert [error["path"] for error in body["errors"]] == [["gone"]]


async def test_one_odd_value_among_a_thousand_is_null_with_its_own_error() -> None:
    for _ in range(2):
        body = await run("{ rows(count: 1000, odd: 700) { id price } }")

        assert [row["price"] for row in body["data"]["rows"]] == ["1.50"] * 700 + [None] + ["1.50"] * 299
        assert [error["path"] for error in body["errors"]] == [["rows", 700, "price"]]


async def test_a_row_error_in_a_batch_is_null_with_its_own_error() -> None:
    body = await run("{ rows { peers { id } } }")

    assert [row["peers"] and len(row["peers"]) for row in body["data"]["rows"]] == [2, None, 2]
    assert [(error["path"], error["extensions"]["code"]) for error in body["errors"]] == [(["rows", 1, "peers"], "FORBIDDEN")]


async def test_root_fields_of_a_mutation_run_one_after_the_other() -> None:
    ctx = Ctx()

    body = await run("mutation { a: add(number: 1) b: maybeAdd(number: -1) c: add(number: 3) }", ctx)

    assert body["data"] == {"a": 1, "b": None, "c": 3}
    assert ctx.log == [f"{what} {number}" for number in (1, -1, 3) for what in ("begin", "end")]


async def test_a_required_field_of_a_mutation_that_fails_keeps_the_rest_from_running() -> None:
    ctx = Ctx()

    body = await run("mutation { a: add(number: -1) b: add(number: 2) }", ctx)

    assert body["data"] is None
    assert ctx.log == ["begin -1", "end -1"]


async def test_skip_and_include_choose_a_plan_and_many_choices_give_way_to_graphql_core() -> None:
    names = [f"v{n}" for n in range(8)]
    definitions = ", ".join(f"${name}: Boolean!" for name in names)
    query = f"query ({definitions}) {{ rows(count: 1) {{ {' '.join(f'{n}: id @include(if: ${n})' for n in names)} }} }}"

    for number in range(100):
        chosen = {name: bool(number >> position & 1) for position, name in enumerate(names)}
        body = await run(query, variables=chosen)
        assert list(body["data"]["rows"][0]) == [name for name in names if chosen[name]]


async def test_keys_of_any_name_are_only_keys() -> None:
    names = ["import", "None", "f0", "__class__", "row", "append", "Selected", "self"]

    for _ in range(2):
        body = await run("{ rows(count: 1) { " + " ".join(f"{name}: id" for name in names) + " } }")
        assert body["data"]["rows"] == [dict.fromkeys(names, "0")]


async def test_introspection_is_answered_and_its_answer_kept() -> None:
    prepared = engine.prepare("{ __schema { queryType { name } } }")

    first = await engine.execute(prepared, None, Ctx())
    second = await engine.execute(prepared, None, Ctx())

    assert orjson.loads(first.body) == {"data": {"__schema": {"queryType": {"name": "Query"}}}}
    assert second is first


async def test_extensions_of_the_schema_keep_working() -> None:
    class Shouting(SchemaExtension):
        def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
            info.context.log.append(info.field_name)
            return _next(root, info, *args, **kwargs)

    ctx = Ctx()

    body = await run("{ rows(count: 1) { id } }", ctx, using=Engine(schema_with(extensions=[Shouting])))

    assert body == {"data": {"rows": [{"id": "0"}]}}
    assert ctx.log == ["rows", "rows", "id"]


async def test_a_federated_schema_answers_entities_with_its_batches() -> None:
    calls: list[int] = []

    async def doubles_of(parents: Sequence[Row], ctx: Ctx) -> list[int]:
        calls.append(len(parents))
        return [2 * int(parent.id) for parent in parents]

    @strawberry.federation.type(keys=["id"])
    class Entity:
        id: strawberry.ID
        double: int = batched(doubles_of, description="twice its id", directives=[Shareable()])
        is_type_of = RowsOf(Row)

        @classmethod
        def resolve_reference(cls, id: strawberry.ID) -> Row:  # noqa: A002
            return Row(int(id))

    @strawberry.type
    class FederatedQuery:
        constant: int = 1

    federated = Engine(strawberry.federation.Schema(FederatedQuery, types=[Entity]))
    query = "query ($r: [_Any!]!) { _service { sdl } _entities(representations: $r) { __typename ... on Entity { id double } } }"

    body = await run(query, variables={"r": [{"__typename": "Entity", "id": n} for n in "57"]}, using=federated)

    assert body["data"]["_entities"] == [{"__typename": "Entity", "id": n, "double": 2 * int(n)} for n in "57"]
    assert calls == [2]
    assert "double: Int! @shareable" in body["data"]["_service"]["sdl"]


async def test_json_that_the_fast_encoder_refuses_is_still_sent_and_what_is_no_json_is_an_internal_error() -> None:
    assert await run('{ anything(what: "big") }') == {"data": {"anything": float(2**70)}}
    answer = await engine.execute(engine.prepare('{ anything(what: "surrogate") }'), None, Ctx())
    assert answer.body == b'{"data":{"anything":"\\ud800"}}'
    body = await run('{ anything(what: "object") }')
    assert body["data"] is None
    assert body["errors"][0]["extensions"]["code"] == "INTERNAL"


def test_a_plan_explains_itself() -> None:
    text = engine.explain(engine.prepare("query Q($n: Int = 2) { rows { id peers(limit: $n) { friend { id } } } }"))

    assert re.sub(r"cost \d+", "cost n", text) == (
        "query Q: cost n, planned, fields of a level together\n"
        "  Query\n"
        "    rows: [RowType!]! <- one call of test_plan_runs.rows_of\n"
        "      RowType\n"
        "        id: attributes\n"
        "        peers: [RowType!] <- one call for all rows of test_plan_runs.peers_of (limit: $n)\n"
        "          RowType\n"
        "            friend: RowType! <- one call for all rows of test_plan_runs.friend_of\n"
        "              RowType\n"
        "                id: attributes\n"
    )
    assert "run by graphql-core: introspection" in engine.explain(engine.prepare("{ __schema { queryType { name } } }"))


async def blocks() -> int:
    """Blocks of memory that Python holds: unlike the process's size it does not depend on the allocator's mood."""
    await asyncio.sleep(0)  # The loop forgets the timers of past time limits when it runs.
    gc.collect()
    return sys.getallocatedblocks()


async def test_events_are_answered_by_the_plan_and_leave_nothing_behind() -> None:
    prepared = engine.prepare("subscription ($n: Int) { rows(count: $n) { id friend { id } } }")
    ctx = Ctx()
    before = 0

    for number in range(3_000):
        if number == 1_000:
            before = await blocks()
        body = await engine.execute_event(prepared, {"n": 1}, ctx, Row(number))
        ctx.log.clear()

    assert body == b'{"data":{"rows":{"id":"2999","friend":{"id":"3099"}}}}'
    assert await blocks() - before < 200


async def test_a_stream_of_graphql_core_leaves_nothing_behind() -> None:
    result: Any = await schema.subscribe("subscription { rows(count: 3000) { id } }", context_value=Ctx())
    count, before = 0, 0

    async for event in result:
        count += 1
        assert event.errors is None
        if count == 1_000:
            before = await blocks()

    assert count == 3_000
    # graphql-core 3.3.2 keeps about ten blocks an event without SteadyExecution.
    assert await blocks() - before < 200
