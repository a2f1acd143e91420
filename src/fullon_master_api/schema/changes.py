"""What is given to the mutations of users, keys, accounts, symbols, bots, strategies and feeds, and what they answer."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

from fullon_master_api.model import Role, Scope
from fullon_master_api.schema.accounts import ApiKey, ExchangeAccount, User
from fullon_master_api.schema.bots import Bot, Feed, Strategy
from fullon_master_api.schema.faults import UserError
from fullon_master_api.schema.markets import Symbol


def unset(description: str, *, name: str | None = None) -> Any:
    """A field of an input that may be left out: what it is about then stays as it is, or gets its default."""
    return strawberry.field(default=strawberry.UNSET, name=name, description=description)


def result(name: str) -> Any:
    """The field of a payload that holds what was made or changed."""
    return strawberry.field(name=name, description="As it is now.")


def errors() -> Any:
    return strawberry.field(description="What was wrong with the input; empty when all was well.")


@strawberry.input(description="A new user.")
class CreateUserInput:
    mail: str = strawberry.field(description="Mail address, with which they log in.")
    password: str = strawberry.field(description="Their password, 8 to 256 characters.")
    role: Role = strawberry.field(default=Role.USER, description="What they may do.")
    name: str = strawberry.field(default="", description="First name.")
    lastname: str = strawberry.field(default="", name="lastName", description="Family name.")
    phone: str = strawberry.field(default="", description="Phone number.")
    active: bool = strawberry.field(default=True, description="Whether they may log in.")


@strawberry.input(description="What is to change of a user; what is not there stays.")
class UpdateUserInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    mail: str | None = unset("Mail address; admins only.")
    role: Role | None = unset("Role; admins only.")
    name: str | None = unset("First name.")
    lastname: str | None = unset("Family name.", name="lastName")
    phone: str | None = unset("Phone number.")
    active: bool | None = unset("Whether they may log in; admins only.")


@strawberry.input(description="A new password. It ends every session of its user.")
class ChangePasswordInput:
    password: str = strawberry.field(description="The new password, 8 to 256 characters.")
    current_password: str | None = strawberry.field(default=None, description="The one in use; needed for the own.")
    id: strawberry.ID | None = strawberry.field(default=None, description="Whose, for admins; the own by default.")


@strawberry.input(description="A new API key of the caller.")
class CreateApiKeyInput:
    name: str = strawberry.field(description="Your label.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    scopes: list[Scope] = strawberry.field(description="What it may do; no more than you.")
    expires_at: datetime | None = strawberry.field(default=None, description="When it ends; null for never.")


@strawberry.input(description="A new account of the caller at an exchange.")
class CreateExchangeAccountInput:
    exchange_id: strawberry.ID = strawberry.field(description="The exchange of the catalogue.")
    name: str = strawberry.field(description="Your label.")
    test: bool = strawberry.field(default=False, description="Whether it is at the exchange's test site.")
    active: bool = strawberry.field(default=True, description="Whether it is collected.")
    api_key: str | None = strawberry.field(default=None, description="The exchange's key. It is kept encrypted and never shown.")
    api_secret: str | None = strawberry.field(default=None, description="The secret of the key.")


@strawberry.input(description="What is to change of an account; what is not there stays.")
class UpdateExchangeAccountInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    name: str | None = unset("Your label.")
    test: bool | None = unset("Whether it is at the exchange's test site.")
    active: bool | None = unset("Whether it is collected.")
    api_key: str | None = unset("The exchange's key, with its secret.")
    api_secret: str | None = unset("The secret of the key.")


@strawberry.input(description="A new symbol of the catalogue.")
class CreateSymbolInput:
    exchange_id: strawberry.ID = strawberry.field(description="Where it is traded.")
    symbol: str = strawberry.field(description="Unified name, as `BTC/USD`.")
    base: str | None = unset("Base asset; read from the name by default.")
    quote: str | None = unset("Quote asset; read from the name by default.")
    decimals: int = strawberry.field(default=8, name="priceDecimals", description="Digits behind the point of a price.")
    quantity_decimals: int = strawberry.field(default=8, description="Digits behind the point of a quantity.")
    updateframe: str = strawberry.field(default="1h", description="Timeframe that the history is asked for, as `1h`.")
    backtest: int = strawberry.field(default=30, name="backtestDays", description="Days of history collected on the first run.")
    futures: bool = strawberry.field(default=False, description="Whether it is a derivative.")
    only_ticker: bool = strawberry.field(default=False, description="Whether tickers are collected and candles are not.")
    active: bool = strawberry.field(default=True, description="Whether it is collected.")


@strawberry.input(description="What is to change of a symbol; what is not there stays.")
class UpdateSymbolInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    decimals: int | None = unset("Digits behind the point of a price.", name="priceDecimals")
    quantity_decimals: int | None = unset("Digits behind the point of a quantity.")
    updateframe: str | None = unset("Timeframe that the history is asked for, as `1h`.")
    backtest: int | None = unset("Days of history collected on the first run.", name="backtestDays")
    only_ticker: bool | None = unset("Whether tickers are collected and candles are not.")
    active: bool | None = unset("Whether it is collected.")


@strawberry.input(description="A new bot of the caller.")
class CreateBotInput:
    name: str = strawberry.field(description="Your label.")
    dry_run: bool = strawberry.field(default=True, description="Whether its orders are only simulated.")
    active: bool = strawberry.field(default=True, description="Whether it should run.")
    test: bool = strawberry.field(default=False, description="Whether it is in test mode.")


@strawberry.input(description="What is to change of a bot; what is not there stays.")
class UpdateBotInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    name: str | None = unset("Your label.")
    dry_run: bool | None = unset("Whether its orders are only simulated.")
    active: bool | None = unset("Whether it should run.")
    test: bool | None = unset("Whether it is in test mode.")


@strawberry.input(description="A strategy of the catalogue for a bot; what is not there comes from the catalogue.")
class CreateStrategyInput:
    bot_id: strawberry.ID = strawberry.field(description="The bot.")
    strategy_template_id: strawberry.ID = strawberry.field(description="The strategy of the catalogue.")
    name: str | None = unset("Your label.")
    active: bool = strawberry.field(default=True, description="Whether the bot uses it.")
    take_profit: Decimal | None = unset("Closes at this profit, in percent.")
    stop_loss: Decimal | None = unset("Closes at this loss, in percent.")
    trailing_stop: Decimal | None = unset("Closes this far below the best price, in percent.")
    leverage: Decimal | None = unset("How many times its own funds it trades with.")
    size_pct: Decimal | None = unset("Size of an order in percent of the funds.", name="sizePercent")
    size: Decimal | None = unset("Size of an order in `sizeCurrency`.")
    size_currency: str | None = unset("The asset of `size`.")


@strawberry.input(description="What is to change of a strategy; what is not there stays.")
class UpdateStrategyInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    name: str | None = unset("Your label.")
    active: bool | None = unset("Whether the bot uses it.")
    take_profit: Decimal | None = unset("Closes at this profit, in percent.")
    stop_loss: Decimal | None = unset("Closes at this loss, in percent.")
    trailing_stop: Decimal | None = unset("Closes this far below the best price, in percent.")
    leverage: Decimal | None = unset("How many times its own funds it trades with.")
    size_pct: Decimal | None = unset("Size of an order in percent of the funds.", name="sizePercent")
    size: Decimal | None = unset("Size of an order in `sizeCurrency`.")
    size_currency: str | None = unset("The asset of `size`.")


@strawberry.input(description="A new feed of a strategy.")
class CreateFeedInput:
    strategy_id: strawberry.ID = strawberry.field(description="The strategy.")
    symbol_id: strawberry.ID = strawberry.field(description="What is read.")
    period: str = strawberry.field(description="Unit of a bar: `Ticks`, `Minutes`, `Days`.")
    compression: int = strawberry.field(default=1, description="How many units make a bar.")
    order: int = strawberry.field(default=1, name="number", description="Its number in the strategy.")


@strawberry.input(description="What is to change of a feed; what is not there stays.")
class UpdateFeedInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    period: str | None = unset("Unit of a bar: `Ticks`, `Minutes`, `Days`.")
    compression: int | None = unset("How many units make a bar.")
    order: int | None = unset("Its number in the strategy.", name="number")


@strawberry.input(description="What is to be deleted.")
class DeleteInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.input(description="Whose sockets are to be closed.")
class DisconnectUserInput:
    id: strawberry.ID = strawberry.field(description="The user's id.")


@strawberry.input(description="The key that is to open nothing any more.")
class RevokeApiKeyInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.type(description="The result, or why there is none.")
class UserPayload:
    record: User | None = result("user")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class ApiKeyPayload:
    record: ApiKey | None = result("apiKey")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class ExchangeAccountPayload:
    record: ExchangeAccount | None = result("exchangeAccount")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class SymbolPayload:
    record: Symbol | None = result("symbol")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class BotPayload:
    record: Bot | None = result("bot")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class StrategyPayload:
    record: Strategy | None = result("strategy")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The result, or why there is none.")
class FeedPayload:
    record: Feed | None = result("feed")
    user_errors: list[UserError] = errors()


@strawberry.type(description="The new key with its secret, which is shown only here; or why there is none.")
class NewApiKeyPayload:
    record: ApiKey | None = strawberry.field(name="apiKey", description="The key.")
    key: str | None = strawberry.field(description="Send it as `X-API-Key`. It cannot be shown again.")
    user_errors: list[UserError] = errors()


@strawberry.type(description="What is gone, or why it is not.")
class DeletePayload:
    deleted_id: strawberry.ID | None = strawberry.field(description="The global id that it had.")
    user_errors: list[UserError] = errors()
