"""The graph as a subgraph of a supergraph: its SDL with keys, `_service` and `_entities`.

Source: the Apollo Federation 2 subgraph specification. Everything else is the plain graph, printed and served as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, NewType, Union

import strawberry
from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    NameNode,
    ObjectTypeDefinitionNode,
    StringValueNode,
    parse,
    print_ast,
)
from strawberry.types.scalar import ScalarDefinition

from fullon_master_api.executor.fields import rooted
from fullon_master_api.resolvers import nodes
from fullon_master_api.resolvers.context import Context
from fullon_master_api.schema.accounts import ApiKey, ExchangeAccount, User
from fullon_master_api.schema.bots import Bot, Feed, Strategy, StrategyTemplate
from fullon_master_api.schema.markets import Exchange, Symbol
from fullon_master_api.schema.query import Query
from fullon_master_api.schema.trading import DryTrade, Order, Trade

NODES: Final = (User, ApiKey, ExchangeAccount, Exchange, Symbol, Bot, Strategy, StrategyTemplate, Feed, Order, Trade, DryTrade)

KEYS: Final = {kind.__name__: ["id"] for kind in NODES} | {
    "Exchange": ["id", "name"],
    "Symbol": ["id", "exchange { name } symbol"],
}
SHAREABLE: Final = frozenset({"PageInfo", "UserError"})
"""Types that other subgraphs may define with the same fields."""
ADMIN: Final = "Admins only"
"""What the description of a field says that the tag `admin` keeps out of a contract for everybody."""

LINK: Final = """
extend schema
  @link(url: "https://specs.apollo.dev/federation/v2.7", import: ["@key", "@shareable", "@tag"])

"""

Representation = NewType("Representation", object)
ANY: Final[ScalarDefinition] = strawberry.scalar(
    name="_Any", description="A type's name with one of its keys.", serialize=lambda value: value, parse_value=lambda value: value
)
Entity = Annotated[
    Union[User, ApiKey, ExchangeAccount, Exchange, Symbol, Bot, Strategy, StrategyTemplate, Feed, Order, Trade, DryTrade],  # noqa: UP007  as Strawberry reads it
    strawberry.union("_Entity", description="What has a key."),
]


@strawberry.type(name="_Service", description="This subgraph.")
class Service:
    sdl: str = strawberry.field(description="Its schema, with the directives of federation.")


def federated_query(plain_sdl: str) -> type:
    """The root of queries with what a router asks: `_service` and `_entities`."""
    sdl = federated_sdl(plain_sdl)

    def service(_ctx: Context) -> Service:
        return Service(sdl=sdl)  # Who may see it the setting INTROSPECTION says, before anything is run.

    @strawberry.type(name="Query", description=Query.__strawberry_definition__.description)  # type: ignore[attr-defined]
    class FederatedQuery(Query):
        _service: Service = rooted(service, name="_service", description="This subgraph, for whoever composes it.")
        _entities: list[Entity | None] = rooted(
            nodes.entities,
            name="_entities",
            description="Entities by their keys, in the order asked; null where there is nothing for the caller.",
            arguments={
                "representations": Annotated[
                    list[Representation], strawberry.argument(description="Types and keys, at most 5,000.")
                ]
            },
            cost=2,
        )

    return FederatedQuery


def federated_sdl(plain_sdl: str) -> str:
    """The plain schema with `@link`, `@key`, `@shareable` and `@tag` where they belong."""
    document = parse(plain_sdl)
    marked = [_marked(node) if isinstance(node, ObjectTypeDefinitionNode) else node for node in document.definitions]
    return LINK.lstrip() + print_ast(replace(document, definitions=tuple(marked))) + "\n"


def _marked(node: ObjectTypeDefinitionNode) -> ObjectTypeDefinitionNode:
    name = node.name.value
    directives = [_directive("key", "fields", fields) for fields in KEYS.get(name, ())]
    if name in SHAREABLE:
        directives.append(_directive("shareable"))
    fields = [
        replace(field, directives=(_directive("tag", "name", "admin"),))
        if field.description is not None and ADMIN in field.description.value
        else field
        for field in node.fields or ()
    ]
    return replace(node, directives=tuple(directives), fields=tuple(fields))


def _directive(name: str, argument: str = "", value: str = "") -> ConstDirectiveNode:
    given = [ConstArgumentNode(name=NameNode(value=argument), value=StringValueNode(value=value))] if argument else []
    return ConstDirectiveNode(name=NameNode(value=name), arguments=tuple(given))
