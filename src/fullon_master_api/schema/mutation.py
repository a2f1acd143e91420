"""What can be changed."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from fullon_master_api.executor.fields import rooted
from fullon_master_api.resolvers import services, sessions, trading
from fullon_master_api.schema.services import ServiceInput, ServicePayload
from fullon_master_api.schema.sessions import LoginInput, LogoutInput, LogoutPayload, RefreshTokenInput, SessionPayload
from fullon_master_api.schema.trading import CancelOrderInput, OrderPayload, PlaceOrderInput


def wanted(kind: Any) -> dict[str, Any]:
    """The one argument of a mutation."""
    return {"input": Annotated[kind, strawberry.argument(description="What is wanted.")]}


@strawberry.type(description="What can be changed. Each mutation takes one `input`; expected failures are `userErrors`.")
class Mutation:
    login: SessionPayload = rooted(
        sessions.login, description="Log in with mail and password.", arguments=wanted(LoginInput), cost=50
    )
    refresh_token: SessionPayload = rooted(
        sessions.refresh_token,
        description="Spend a refresh token for a new session. One that was spent before ends all sessions of its login.",
        arguments=wanted(RefreshTokenInput),
        cost=10,
    )
    logout: LogoutPayload = rooted(
        sessions.logout,
        description="End the login that a refresh token came of.",
        arguments=wanted(LogoutInput),
        cost=10,
    )
    place_order: OrderPayload = rooted(
        trading.place_order,
        description=(
            "Place an order: simulated by default, or through the account's exchange. Safe to repeat with one `clientOrderId`."
        ),
        arguments=wanted(PlaceOrderInput),
        cost=10,
    )
    cancel_order: OrderPayload = rooted(
        trading.cancel_order,
        description="Cancel an open order. Safe to repeat.",
        arguments=wanted(CancelOrderInput),
        cost=10,
    )
    start_service: ServicePayload = rooted(
        services.start_service,
        description="Start a collecting service, and wait until it runs or has failed. Admins only. Safe to repeat.",
        arguments=wanted(ServiceInput),
        cost=10,
    )
    stop_service: ServicePayload = rooted(
        services.stop_service,
        description="Stop a collecting service, and wait until it has. Admins only. Safe to repeat.",
        arguments=wanted(ServiceInput),
        cost=10,
    )
    restart_service: ServicePayload = rooted(
        services.restart_service,
        description="Stop a collecting service and start it anew. Admins only.",
        arguments=wanted(ServiceInput),
        cost=10,
    )
