"""Our walk through graphql-core's rules: it tells what graphql-core's own tells, and leaves nothing that holds itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from graphql import GraphQLSchema, parse, validate

from fullon_master_api.executor.validation import RULES, validated
from fullon_master_api.schema import build_schema

CHAIN = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(260)) + " fragment F260 on Query { __typename }"
DOCUMENTS = {
    "valid": "{ me { userId mail } }",
    "valid, with variables in fragments": (
        "query ($e: String!, $s: String!, $yes: Boolean! = true) { ...F } fragment F on Query { symbol(exchange: $e, symbol: $s)"
        " { ...G } } fragment G on Symbol { symbol base @include(if: $yes) }"
    ),
    "unknown fields, with suggestions": "{ me { mial userIdd } simbol }",
    "more errors than are told": "{ me { " + " ".join(f"wrong{n}" for n in range(60)) + " } }",
    "variables of wrong types, in a fragment": "query ($e: Int, $s: [String!]!) { ...F } fragment F on Query"
    " { symbol(exchange: $e, symbol: $s) { symbol } }",
    "unused and unknown": (
        "query ($a: Int) { ...F ...Unknown } fragment F on Query { __typename @skip(if: $b) } fragment G on Me { x }"
    ),
    "fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "fragments nested too deeply": "{ ...F0 } " + CHAIN,
    "fields that do not merge": "{ me { a: mail } me { a: userId } }",
    "two operations of one name": "query A { __typename } query A { __typename }",
    "values of wrong types": '{ symbol(exchange: 1, symbol: {a: 2}) { symbol } symbols(first: "many") { nodes { symbol } } }',
    "a subscription of two fields": 'subscription { a: ticker(exchange: "k", symbol: "s") { last } b: __typename }',
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema()._schema


@contextmanager
def uncollected() -> Iterator[None]:
    """What holds itself stays in `gc.garbage`, once it is looked for."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("errors_max", [1, 20])
@pytest.mark.parametrize("silent", [False, True])
def test_the_errors_are_those_of_graphql_core(schema: GraphQLSchema, text: str, errors_max: int, *, silent: bool) -> None:
    document = parse(text)
    expected = validate(schema, document, RULES, errors_max, hide_suggestions=silent)
    errors = validated(schema, document, errors_max, hide_suggestions=silent)
    assert [error.formatted for error in errors] == [error.formatted for error in expected]
    assert bool(errors) is not text.startswith(("{ me { userId", "query ($e: String!"))


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_nothing_is_left_that_holds_itself(schema: GraphQLSchema, text: str) -> None:
    document = parse(text, no_location=True)  # Its list of tokens would hold itself.
    validated(schema, document, 20, hide_suggestions=False)  # What is made once.
    with uncollected():
        errors = validated(schema, document, 20, hide_suggestions=False)
        for error in errors:
            error.with_traceback(None)
        del errors
        gc.collect()
        found = [type(each).__name__ for each in gc.garbage]
    assert set(found) <= {"PrintBuffer"}  # One small object of graphql-core's for each value that it prints.
