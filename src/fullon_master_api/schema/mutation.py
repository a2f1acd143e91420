"""What can be changed."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from fullon_master_api.executor.fields import rooted
from fullon_master_api.resolvers import changes, services, sessions, trading
from fullon_master_api.schema.changes import (
    ApiKeyPayload,
    BotPayload,
    ChangePasswordInput,
    CreateApiKeyInput,
    CreateBotInput,
    CreateExchangeAccountInput,
    CreateFeedInput,
    CreateStrategyInput,
    CreateSymbolInput,
    CreateUserInput,
    DeleteInput,
    DeletePayload,
    DisconnectUserInput,
    ExchangeAccountPayload,
    FeedPayload,
    NewApiKeyPayload,
    RevokeApiKeyInput,
    StrategyPayload,
    SymbolPayload,
    UpdateBotInput,
    UpdateExchangeAccountInput,
    UpdateFeedInput,
    UpdateStrategyInput,
    UpdateSymbolInput,
    UpdateUserInput,
    UserPayload,
)
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
    create_user: UserPayload = rooted(
        changes.create_user, description="Add a user. Admins only.", arguments=wanted(CreateUserInput), cost=10
    )
    update_user: UserPayload = rooted(
        changes.update_user,
        description="Change a user: oneself, or by an admin anybody.",
        arguments=wanted(UpdateUserInput),
        cost=10,
    )
    delete_user: DeletePayload = rooted(
        changes.delete_user, description="Remove a user who never traded. Admins only.", arguments=wanted(DeleteInput), cost=10
    )
    change_password: UserPayload = rooted(
        changes.change_password,
        description="Set a new password and end every session of its user.",
        arguments=wanted(ChangePasswordInput),
        cost=10,
    )
    create_api_key: NewApiKeyPayload = rooted(
        changes.create_api_key, description="Make an API key of the caller.", arguments=wanted(CreateApiKeyInput), cost=10
    )
    revoke_api_key: ApiKeyPayload = rooted(
        changes.revoke_api_key, description="Switch an API key off for ever.", arguments=wanted(RevokeApiKeyInput), cost=10
    )
    create_exchange_account: ExchangeAccountPayload = rooted(
        changes.create_exchange_account,
        description="Add an account of the caller at an exchange.",
        arguments=wanted(CreateExchangeAccountInput),
        cost=10,
    )
    update_exchange_account: ExchangeAccountPayload = rooted(
        changes.update_exchange_account, description="Change an account.", arguments=wanted(UpdateExchangeAccountInput), cost=10
    )
    delete_exchange_account: DeletePayload = rooted(
        changes.delete_exchange_account,
        description="Remove an account that never traded.",
        arguments=wanted(DeleteInput),
        cost=10,
    )
    create_symbol: SymbolPayload = rooted(
        changes.create_symbol,
        description="Add a symbol to the catalogue. Admins only.",
        arguments=wanted(CreateSymbolInput),
        cost=10,
    )
    update_symbol: SymbolPayload = rooted(
        changes.update_symbol, description="Change a symbol. Admins only.", arguments=wanted(UpdateSymbolInput), cost=10
    )
    delete_symbol: DeletePayload = rooted(
        changes.delete_symbol, description="Remove a symbol. Admins only.", arguments=wanted(DeleteInput), cost=10
    )
    create_bot: BotPayload = rooted(
        changes.create_bot, description="Add a bot of the caller.", arguments=wanted(CreateBotInput), cost=10
    )
    update_bot: BotPayload = rooted(changes.update_bot, description="Change a bot.", arguments=wanted(UpdateBotInput), cost=10)
    delete_bot: DeletePayload = rooted(
        changes.delete_bot, description="Remove a bot that never traded.", arguments=wanted(DeleteInput), cost=10
    )
    create_strategy: StrategyPayload = rooted(
        changes.create_strategy,
        description="Attach a strategy of the catalogue to a bot.",
        arguments=wanted(CreateStrategyInput),
        cost=10,
    )
    update_strategy: StrategyPayload = rooted(
        changes.update_strategy, description="Change a strategy of a bot.", arguments=wanted(UpdateStrategyInput), cost=10
    )
    delete_strategy: DeletePayload = rooted(
        changes.delete_strategy, description="Take a strategy from its bot.", arguments=wanted(DeleteInput), cost=10
    )
    create_feed: FeedPayload = rooted(
        changes.create_feed, description="Add a feed to a strategy.", arguments=wanted(CreateFeedInput), cost=10
    )
    update_feed: FeedPayload = rooted(
        changes.update_feed, description="Change a feed.", arguments=wanted(UpdateFeedInput), cost=10
    )
    delete_feed: DeletePayload = rooted(changes.delete_feed, description="Remove a feed.", arguments=wanted(DeleteInput), cost=10)
    disconnect_user: UserPayload = rooted(
        changes.disconnect_user,
        description="Close every socket of a user, on every process. Admins only.",
        arguments=wanted(DisconnectUserInput),
        cost=10,
    )
