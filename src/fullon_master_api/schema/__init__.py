"""What may be asked in GraphQL: Strawberry types by noun."""

from __future__ import annotations

from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.scalars import SCALARS
from fullon_master_api.schema import enums
from fullon_master_api.schema.federation import ANY, NODES, Representation, federated_query
from fullon_master_api.schema.mutation import Mutation
from fullon_master_api.schema.query import Query
from fullon_master_api.schema.subscription import Subscription

__all__ = ["build_schema", "enums"]


def build_schema(*, federated: bool = False) -> strawberry.Schema:
    """The graph; built once by whoever serves or prints it. Federated, it has also what a supergraph's router asks."""
    if not federated:
        return _build(Query, {})
    # A router defines @defer and @stream itself, so the text that it composes has neither.
    told = _build(Query, {}, incremental=False).as_str()
    return _build(federated_query(told), {Representation: ANY})


def _build(query: type, scalars: dict[object, Any], *, incremental: bool = True) -> strawberry.Schema:
    return strawberry.Schema(
        query=query,
        mutation=Mutation,
        subscription=Subscription,
        types=NODES,
        config=StrawberryConfig(scalar_map={**SCALARS, **scalars}, enable_experimental_incremental_execution=incremental),
        execution_context_class=SteadyExecution,
    )
