"""What can be changed."""

from __future__ import annotations

from collections.abc import Callable
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


def change(resolver: Callable[..., Any], wish: Any, description: str, *, cost: int = 10) -> Any:
    """A mutation: its one argument `input` is of the type `wish`, and it costs as much as ten fields unless it says otherwise."""
    arguments = {"input": Annotated[wish, strawberry.argument(description="What is wanted.")]}
    return rooted(resolver, description=description, arguments=arguments, cost=cost)


@strawberry.type(description="What can be changed. Each mutation takes one `input`; expected failures are `userErrors`.")
class Mutation:
    login: SessionPayload = change(sessions.login, LoginInput, "Log in with mail and password.", cost=50)
    refresh_token: SessionPayload = change(
        sessions.refresh_token,
        RefreshTokenInput,
        "Spend a refresh token for a new session. One that was spent before ends all sessions of its login.",
    )
    logout: LogoutPayload = change(sessions.logout, LogoutInput, "End the login that a refresh token came of.")
    place_order: OrderPayload = change(
        trading.place_order,
        PlaceOrderInput,
        "Place an order: simulated by default, or through the account's exchange. Safe to repeat with one `clientOrderId`.",
    )
    cancel_order: OrderPayload = change(trading.cancel_order, CancelOrderInput, "Cancel an open order. Safe to repeat.")
    start_service: ServicePayload = change(
        services.start_service,
        ServiceInput,
        "Start a collecting service, and wait until it runs or has failed. Admins only. Safe to repeat.",
    )
    stop_service: ServicePayload = change(
        services.stop_service, ServiceInput, "Stop a collecting service, and wait until it has. Admins only. Safe to repeat."
    )
    restart_service: ServicePayload = change(
        services.restart_service, ServiceInput, "Stop a collecting service and start it anew. Admins only."
    )
    create_user: UserPayload = change(changes.create_user, CreateUserInput, "Add a user. Admins only.")
    update_user: UserPayload = change(changes.update_user, UpdateUserInput, "Change a user: oneself, or by an admin anybody.")
    delete_user: DeletePayload = change(changes.delete_user, DeleteInput, "Remove a user who never traded. Admins only.")
    change_password: UserPayload = change(
        changes.change_password, ChangePasswordInput, "Set a new password and end every session of its user."
    )
    create_api_key: NewApiKeyPayload = change(changes.create_api_key, CreateApiKeyInput, "Make an API key of the caller.")
    revoke_api_key: ApiKeyPayload = change(changes.revoke_api_key, RevokeApiKeyInput, "Switch an API key off for ever.")
    create_exchange_account: ExchangeAccountPayload = change(
        changes.create_exchange_account, CreateExchangeAccountInput, "Add an account of the caller at an exchange."
    )
    update_exchange_account: ExchangeAccountPayload = change(
        changes.update_exchange_account, UpdateExchangeAccountInput, "Change an account."
    )
    delete_exchange_account: DeletePayload = change(
        changes.delete_exchange_account, DeleteInput, "Remove an account that never traded."
    )
    create_symbol: SymbolPayload = change(changes.create_symbol, CreateSymbolInput, "Add a symbol to the catalogue. Admins only.")
    update_symbol: SymbolPayload = change(changes.update_symbol, UpdateSymbolInput, "Change a symbol. Admins only.")
    delete_symbol: DeletePayload = change(changes.delete_symbol, DeleteInput, "Remove a symbol. Admins only.")
    create_bot: BotPayload = change(changes.create_bot, CreateBotInput, "Add a bot of the caller.")
    update_bot: BotPayload = change(changes.update_bot, UpdateBotInput, "Change a bot.")
    delete_bot: DeletePayload = change(changes.delete_bot, DeleteInput, "Remove a bot that never traded.")
    create_strategy: StrategyPayload = change(
        changes.create_strategy, CreateStrategyInput, "Attach a strategy of the catalogue to a bot."
    )
    update_strategy: StrategyPayload = change(changes.update_strategy, UpdateStrategyInput, "Change a strategy of a bot.")
    delete_strategy: DeletePayload = change(changes.delete_strategy, DeleteInput, "Take a strategy from its bot.")
    create_feed: FeedPayload = change(changes.create_feed, CreateFeedInput, "Add a feed to a strategy.")
    update_feed: FeedPayload = change(changes.update_feed, UpdateFeedInput, "Change a feed.")
    delete_feed: DeletePayload = change(changes.delete_feed, DeleteInput, "Remove a feed.")
    disconnect_user: UserPayload = change(
        changes.disconnect_user, DisconnectUserInput, "Close every socket of a user, on every process. Admins only."
    )
