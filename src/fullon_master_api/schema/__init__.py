"""What may be asked in GraphQL: Strawberry types by noun."""

from __future__ import annotations

import strawberry
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.scalars import SCALARS
from fullon_master_api.schema import enums
from fullon_master_api.schema.accounts import ApiKey, ExchangeAccount, User
from fullon_master_api.schema.bots import Bot, Feed, Strategy, StrategyTemplate
from fullon_master_api.schema.markets import Exchange, Symbol
from fullon_master_api.schema.mutation import Mutation
from fullon_master_api.schema.query import Query
from fullon_master_api.schema.subscription import Subscription
from fullon_master_api.schema.trading import DryTrade, Order, Trade

__all__ = ["build_schema", "enums"]

NODES = (User, ApiKey, ExchangeAccount, Exchange, Symbol, Bot, Strategy, StrategyTemplate, Feed, Order, Trade, DryTrade)


def build_schema() -> strawberry.Schema:
    """The graph; built once by whoever serves or prints it."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=NODES,
        config=StrawberryConfig(scalar_map=SCALARS),
        execution_context_class=SteadyExecution,
    )
