"""The schema's contract: what is printed is what is committed, and everything in it is described."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

from fullon_master_api import schema as graph
from fullon_master_api.schema.differences import Impact, schema_changes

COMMITTED = Path(__file__).parents[2] / "schema" / "schema.graphql"


@cache
def printed() -> str:
    return graph.build_schema().as_str().strip() + "\n"


@cache
def built() -> GraphQLSchema:
    return build_schema(printed())


def test_the_printed_schema_is_the_committed_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8").strip() + "\n" == printed(), "run `make schema` and look at the difference"


def test_nothing_that_was_released_breaks() -> None:
    """`schema/released.graphql` is what clients were promised; a release replaces it by `schema/schema.graphql`."""
    released = COMMITTED.with_name("released.graphql").read_text(encoding="utf-8")
    broken = [str(change) for change in schema_changes(released, printed()) if change.impact is Impact.BREAKING]

    assert broken == [], "deprecate with a reason and a date, and remove with the next major version"


OLDER = """
  type Query { user(id: ID!, size: Int = 1): User  users: [User!]! }
  type User { id: ID!  mail: String!  role: Role! }
  enum Role { ADMIN USER }
  input UserInput { mail: String! }
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("role: Role! }", "role: Role! name: String }", []),
        ("enum Role", "type Other { id: ID } enum Role", []),
        ("mail: String!  role", "role", ["breaking: FIELD_REMOVED"]),
        ("mail: String!  role", "mail: String  role", ["breaking: FIELD_CHANGED_KIND"]),
        ("user(id: ID!, ", "user(id: ID!, must: Int!, ", ["breaking: REQUIRED_ARG_ADDED"]),
        (
            "input UserInput { mail: String! }",
            "input UserInput { mail: String! age: Int! }",
            ["breaking: REQUIRED_INPUT_FIELD_ADDED"],
        ),
        ("ADMIN USER", "USER", ["breaking: VALUE_REMOVED_FROM_ENUM"]),
        ("ADMIN USER", "ADMIN USER GUEST", ["dangerous: VALUE_ADDED_TO_ENUM"]),
        ("size: Int = 1", "size: Int = 2", ["dangerous: ARG_DEFAULT_VALUE_CHANGE"]),
        (
            "input UserInput { mail: String! }",
            "input UserInput { mail: String! age: Int }",
            ["dangerous: OPTIONAL_INPUT_FIELD_ADDED"],
        ),
    ],
)
def test_changes_that_break_clients_are_told_from_those_that_only_add(old: str, new: str, found: list[str]) -> None:
    assert old in OLDER
    changes = schema_changes(OLDER, OLDER.replace(old, new))

    assert [f"{change.impact}: {change.kind}" for change in changes] == found


def test_every_type_field_argument_and_input_is_described() -> None:
    silent = []
    for name, kind in built().type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            silent.append(name)
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            for field_name, field in kind.fields.items():
                silent += [] if field.description else [f"{name}.{field_name}"]
                silent += [f"{name}.{field_name}({argument}:)" for argument, value in field.args.items() if not value.description]
        if isinstance(kind, GraphQLInputObjectType):
            silent += [f"{name}.{field_name}" for field_name, field in kind.fields.items() if not field.description]

    assert silent == []


def test_money_and_prices_are_never_floats() -> None:
    allowed = {"percentage", "lagMs", "openedAt", "open", "high", "low", "close", "volume"}
    floats = {
        f"{name}.{field_name}"
        for name, kind in built().type_map.items()
        if isinstance(kind, GraphQLObjectType) and not is_introspection_type(kind)
        for field_name, field in kind.fields.items()
        if "Float" in str(field.type) and not (name == "CandleColumns" or field_name in allowed)
    }

    assert floats == set()


def test_enum_values_are_in_capitals() -> None:
    wrong = [
        f"{name}.{value}"
        for name, kind in built().type_map.items()
        if isinstance(kind, GraphQLEnumType) and not is_introspection_type(kind)
        for value in kind.values
        if value != value.upper()
    ]

    assert wrong == []


def test_every_mutation_takes_one_input_and_answers_a_payload_with_user_errors() -> None:
    mutation = built().mutation_type
    assert mutation is not None
    for name, field in mutation.fields.items():
        assert list(field.args) == ["input"], name
        payload = str(field.type)
        assert payload.endswith("Payload!"), name
        payload_type = built().type_map[payload.rstrip("!")]
        assert isinstance(payload_type, GraphQLObjectType)
        assert "userErrors" in payload_type.fields, name


def test_the_root_fields_of_the_design_are_there() -> None:
    schema = built()
    assert schema.query_type is not None
    assert schema.subscription_type is not None
    assert set(schema.query_type.fields) >= {
        "me",
        "node",
        "exchange",
        "exchanges",
        "symbol",
        "symbols",
        "ticker",
        "tickers",
        "bot",
        "bots",
        "order",
        "orders",
        "trades",
        "strategies",
        "exchangeAccounts",
        "services",
        "service",
        "processes",
        "users",
    }
    assert set(schema.subscription_type.fields) >= {
        "ticker",
        "tickers",
        "candle",
        "publicTrades",
        "orders",
        "account",
        "services",
    }


def test_the_pages_know_every_scalar_of_the_graph() -> None:
    known = (Path(__file__).parents[2] / "ui" / "operations.mjs").read_text(encoding="utf-8")
    ours = [name for name, kind in built().type_map.items() if isinstance(kind, GraphQLScalarType)]
    unknown = [name for name in ours if not is_specified_scalar_type(built().type_map[name]) and f'{name}: "' not in known]

    assert unknown == [], "name them in SCALARS of ui/operations.mjs, or the pages cannot be built"
