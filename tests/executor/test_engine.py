"""The engine's answers: limits, codes, masking, time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.errors import MASKED, BadUserInput, Forbidden, RateLimited
from fullon_master_api.executor.answers import DocumentError
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.fields import batched, rooted
from fullon_master_api.executor.limits import Limits
from fullon_master_api.executor.scalars import SCALARS


@dataclass
class Ctx:
    request_id: str = "request-1"
    loaders: dict[Any, Any] = field(default_factory=dict)
    principal: None = None


class Row:
    def __init__(self, number: int) -> None:
        self.number = number


async def rows(ctx: Ctx, *, first: int = 50, price: Decimal | None = None) -> list[Row]:
    return [Row(n) for n in range(min(first, 5))]


async def children(parents: Sequence[Row], ctx: Ctx, *, limit: int = 10) -> list[list[Row]]:
    return [[Row(limit)] for _ in parents]


async def broken(ctx: Ctx, *, how: str) -> int:
    faults: dict[str, Exception] = {
        "forbidden": Forbidden("that is not yours"),
        "input": BadUserInput("limit was 0, must be 1 to 500", path=("input", "limit")),
        "rate": RateLimited("too many", retry_after_s=1.5),
        "unknown": RuntimeError("password is hunter2"),
    }
    raise faults[how]


async def slow(ctx: Ctx) -> int:
    await asyncio.Event().wait()
    return 1


async def required(ctx: Ctx) -> int:
    raise Forbidden("no")


@strawberry.type
class RowType:
    number: int
    children: list[RowType] = batched(children, description="below", cost=2)


@strawberry.type
class Edge:
    node: RowType


@strawberry.type
class Connection:
    edges: list[Edge]
    total: int


async def page(ctx: Ctx, *, first: int = 50) -> Connection:
    return Connection(edges=[], total=0)


@strawberry.type
class Query:
    rows: list[RowType] = rooted(rows, description="all")
    page: Connection = rooted(page, description="a page")
    broken: int | None = rooted(broken, description="fails")
    required: int = rooted(required, description="fails")
    slow: int | None = rooted(slow, description="never ends")


async def ticks(ctx: Ctx) -> int:
    return 1


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, limit: int = 3) -> int:  # type: ignore[misc]
        yield 1


schema = strawberry.Schema(Query, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS))
engine = Engine(schema)


def refused(query: str, name: str | None = None, using: Engine = engine) -> list[dict[str, Any]]:
    with pytest.raises(DocumentError) as caught:
        using.prepare(query, name)
    answer = caught.value.answer("request-2")
    body = orjson.loads(answer.body)
    assert set(body) == {"errors"}
    assert answer.codes == tuple(error["extensions"]["code"] for error in body["errors"])
    assert all(error["extensions"]["requestId"] == "request-2" for error in body["errors"])
    errors: list[dict[str, Any]] = body["errors"]
    return errors


async def run(query: str, variables: dict[str, Any] | None = None, using: Engine = engine) -> dict[str, Any]:
    answer = await using.execute(using.prepare(query), variables, Ctx())
    body: dict[str, Any] = orjson.loads(answer.body)
    assert answer.codes == tuple(error["extensions"]["code"] for error in body.get("errors", ()))
    assert answer.executed == ("data" in body)
    return body


async def test_an_answer_without_errors_has_data_alone() -> None:
    assert await run("{ rows(first: 1) { number } }") == {"data": {"rows": [{"number": 0}]}}


@pytest.mark.parametrize(
    ("query", "name", "code"),
    [
        ("{", None, "PARSE_FAILED"),
        ("", None, "PARSE_FAILED"),
        ("{ nothing }", None, "VALIDATION_FAILED"),
        ("{ rows(price: 1.5) { number } }", None, "VALIDATION_FAILED"),
        ("mutation { rows }", None, "VALIDATION_FAILED"),
        ("query A { slow } query B { slow }", None, "BAD_USER_INPUT"),
        ("query A { slow }", "B", "BAD_USER_INPUT"),
        ("fragment F on Query { slow }", None, "BAD_USER_INPUT"),
        ("{ rows { number } } #" + "x" * 50_000, None, "TOO_LARGE"),
        ("{ " + "slow " * 10_000 + "}", None, "TOO_LARGE"),
        ("{ " + "slow " * 200 + "}", None, "TOO_LARGE"),
        ("{ " + " ".join(f"a{n}: slow" for n in range(501)) + "}", None, "COST_LIMIT"),
        ("{ " + "rows { children { " * 100 + "number" + " } }" * 100 + " }", None, "DEPTH_LIMIT"),
        ("{ rows " + "{ children " * 15 + "{ number }" + "}" * 15 + " }", None, "DEPTH_LIMIT"),
        ("{ rows(first: 500) { children(limit: 5000) { number } } }", None, "COST_LIMIT"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_code(query: str, name: str | None, code: str) -> None:
    assert refused(query, name)[0]["extensions"]["code"] == code
    # A refusal that is remembered is the same refusal.
    assert refused(query, name)[0]["extensions"]["code"] == code


def fragments(count: int, spread: str) -> str:
    chain = " ".join(f"fragment F{n} on RowType {{ {spread.format(n + 1)} }}" for n in range(count))
    return f"{{ rows {{ ...F0 }} }} {chain} fragment F{count} on RowType {{ number }}"


@pytest.mark.parametrize(
    "query",
    [
        fragments(30, "...F{0} ...F{0}"),
        fragments(30, "children {{ ...F{0} }} more: children {{ ...F{0} }}"),
        fragments(12, "a: children {{ ...F{0} }} b: children {{ ...F{0} }}"),
        fragments(100, "...F{0}").replace("F100", "F0"),
        "{ rows { "
        + " ".join(f"...F{n}" for n in range(200))
        + " } } "
        + " ".join(f"fragment F{n} on RowType {{ number number }}" for n in range(200)),
        "{ " + "rows { number } " * 1_000 + "}",
        "query (" + " ".join(f"$v{n}: Int" for n in range(2_000)) + ") { slow }",
    ],
    ids=["D4", "two ways down", "aliases", "cycle", "fragments of one field", "D5", "variables"],
)
def test_a_document_made_to_hurt_is_settled_fast(query: str) -> None:
    took_s = []
    for _ in range(3):  # The collector of garbage may run in one of them.
        new = Engine(schema)
        began_s = time.thread_time()
        try:
            new.prepare(query)
        except DocumentError as error:
            assert set(error.codes) <= {"DEPTH_LIMIT", "COST_LIMIT", "TOO_LARGE", "VALIDATION_FAILED"}  # noqa: PT017
        took_s.append(time.thread_time() - began_s)

    assert min(took_s) < 0.5


async def test_cost_counts_rows_of_lists_connections_and_variables() -> None:
    def cost(query: str, variables: dict[str, Any] | None = None) -> int:
        return engine.prepare(query).cost.check(variables)

    # 1 for the call, then 1 a row; `children` adds its weight of 2 and its own rows.
    assert cost("{ rows(first: 7) { number } }") == 1 + 7
    assert cost("{ rows(first: 7) { children(limit: 3) { number } } }") == 1 + 7 * (1 + 2 + 3)
    assert cost("{ page(first: 20) { total edges { node { number } } } }") == 1 + 1 + 20 * (1 + 1)
    query = "query ($n: Int! = 4) { rows(first: $n) { number } }"
    assert [cost(query, variables) for variables in (None, {"n": 9}, {"n": 4})] == [1 + 4, 1 + 9, 1 + 4]
    with pytest.raises(DocumentError, match="the operation costs 10000001, at most 1000000"):
        cost(query, {"n": 10_000_000})


async def test_a_variable_that_makes_it_too_dear_is_refused_before_anything_runs() -> None:
    body = await run("query ($n: Int!) { rows(first: $n) { number } }", {"n": 2_000_000})

    assert body.keys() == {"errors"}
    assert body["errors"][0]["extensions"] == {"code": "COST_LIMIT", "requestId": "request-1"}


@pytest.mark.parametrize("variables", [{}, {"n": "1"}, {"n": 1.5}, {"n": -(2**31) - 1}, {"n": None}])
async def test_variables_that_do_not_fit_are_bad_input_and_nothing_runs(variables: dict[str, Any]) -> None:
    body = await run("query ($n: Int!) { rows(first: $n) { number } }", variables)

    assert body.keys() == {"errors"}
    assert [error["extensions"]["code"] for error in body["errors"]] == ["BAD_USER_INPUT"]


async def test_variables_that_are_equal_in_python_only_are_not_taken_for_one_another() -> None:
    query = "query ($n: Int!) { rows(first: $n) { number } }"

    assert (await run(query, {"n": 1})) == {"data": {"rows": [{"number": 0}]}}
    assert (await run(query, {"n": True}))["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert (await run(query, {"n": 1})) == {"data": {"rows": [{"number": 0}]}}


async def test_a_float_for_a_decimal_variable_is_bad_input_that_says_why() -> None:
    body = await run("query ($p: Decimal) { rows(price: $p) { number } }", {"p": 0.1})

    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "never a float" in body["errors"][0]["message"]


async def test_our_errors_keep_code_words_and_what_they_carry() -> None:
    body = await run('{ a: broken(how: "forbidden") b: broken(how: "input") c: broken(how: "rate") }')

    assert body["data"] == {"a": None, "b": None, "c": None}
    assert [(error["message"], error["path"], error["extensions"]) for error in body["errors"]] == [
        ("that is not yours", ["a"], {"code": "FORBIDDEN", "requestId": "request-1"}),
        (
            "limit was 0, must be 1 to 500",
            ["b"],
            {"code": "BAD_USER_INPUT", "requestId": "request-1", "inputPath": ["input", "limit"]},
        ),
        ("too many", ["c"], {"code": "RATE_LIMITED", "requestId": "request-1", "retryAfterMs": 1500}),
    ]
    assert body["errors"][0]["locations"] == [{"line": 1, "column": 3}]


async def test_an_unknown_fault_shows_its_request_id_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    answer = await engine.execute(engine.prepare('{ broken(how: "unknown") }'), None, Ctx())

    assert b"hunter2" not in answer.body
    assert orjson.loads(answer.body)["errors"] == [
        {
            "message": MASKED,
            "locations": [{"line": 1, "column": 3}],
            "path": ["broken"],
            "extensions": {"code": "INTERNAL", "requestId": "request-1"},
        }
    ]
    logged = capsys.readouterr()
    assert "request-1" in logged.out + logged.err


async def test_an_error_in_a_required_field_takes_the_data_with_it() -> None:
    body = await run("{ required }")

    assert body["data"] is None
    assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_an_operation_past_its_time_is_stopped() -> None:
    body = await run("{ slow }", using=Engine(schema, Limits(timeout_s=0.01)))

    assert body["data"] is None
    assert body["errors"][0]["extensions"]["code"] == "TIMEOUT"


async def test_a_subscription_sent_as_a_request_is_told_where_to_go() -> None:
    body = await run("subscription { ticks }")

    assert body.keys() == {"errors"}
    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "WebSocket" in body["errors"][0]["message"]


async def test_an_event_is_answered_by_the_subscription_it_belongs_to() -> None:
    prepared = engine.prepare("subscription ($n: Int) { now: ticks(limit: $n) }")

    call = engine.root_call(prepared, {"n": 4})

    assert (call.key, call.field.python_name, call.arguments) == ("now", "ticks", {"limit": 4})
    assert await engine.execute_event(prepared, {"n": 4}, Ctx(), 7) == b'{"data":{"now":7}}'
    with pytest.raises(DocumentError) as caught:
        engine.root_call(prepared, {"n": "x"})
    assert caught.value.codes == ("BAD_USER_INPUT",)


def test_an_operation_that_is_asked_again_outlives_a_flood_of_others() -> None:
    small = Engine(schema, Limits(documents_max=4, refusals_max=2))
    good = small.prepare("{ slow }")
    assert small.prepare("{ slow }") is good

    for number in range(50):
        refused(f"{{ nothing{number} }}", using=small)
        small.prepare(f"{{ a{number}: slow }}")

    assert small.prepare("{ slow }", None) is good
    once = small.prepare("{ once: slow }")
    small.prepare("{ other: slow }")
    assert small.prepare("{ once: slow }") is not once


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    small = Engine(schema, Limits(documents_bytes_max=400))
    texts = [f"{{ slow }} # {number:080d}" for number in range(20)]
    for _ in range(2):
        first = [small.prepare(text) for text in texts]

    again = [small.prepare(text) for text in texts]

    assert sum(a is b for a, b in zip(first, again, strict=True)) < 10


@pytest.mark.parametrize(
    "query",
    [
        "{ ...F @skip(if: false) " + "a @include(if: true) " * 2 + "} fragment F on Query { me @include(if: true) { mail } }",
        "query ($a: Int @deprecated, $b: Int @deprecated) @a @b { me { mail } }",
        "{ me { mail " + "@skip(if: false) " * 4 + "} }",
    ],
)
def test_directives_are_counted_wherever_they_stand(query: str) -> None:
    small = Engine(schema, Limits(directives_max=3))
    with pytest.raises(DocumentError) as caught:
        small.prepare(query)
    assert caught.value.codes == ("COST_LIMIT",)
    assert "has 4 directives, at most 3" in str(caught.value)
