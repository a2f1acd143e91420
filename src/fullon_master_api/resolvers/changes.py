"""Mutations of users, keys, accounts, symbols, bots, strategies and feeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from strawberry import UNSET

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.auth.sessions import new_api_key
from fullon_master_api.bus import DISCONNECTS_TOPIC
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Disconnect, Record
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.faults import EXPECTED, UserErrorRow, user_error
from fullon_master_api.resolvers.identity import global_id, number_of


class ChangeRow(Record, frozen=True, kw_only=True):
    """What a mutation made or changed, or why it did not."""

    record: Any = None
    user_errors: list[UserErrorRow] = []


class NewKeyRow(Record, frozen=True, kw_only=True):
    record: Any = None
    key: str | None = None
    user_errors: list[UserErrorRow] = []


class DeletedRow(Record, frozen=True, kw_only=True):
    deleted_id: str | None = None
    user_errors: list[UserErrorRow] = []


async def changed(work: Callable[[], Awaitable[Any]]) -> ChangeRow:
    """Do it; an expected failure becomes data."""
    try:
        return ChangeRow(record=await work())
    except EXPECTED as error:
        return ChangeRow(user_errors=[user_error(error)])


async def deleted(kind: str, attribute: str, work: Callable[[], Awaitable[Any]]) -> DeletedRow:
    """Do it; the answer names what is gone."""
    try:
        record = await work()
    except EXPECTED as error:
        return DeletedRow(user_errors=[user_error(error)])
    return DeletedRow(deleted_id=global_id(kind, getattr(record, attribute)))


def values_of(wish: Any, **replaced: Any) -> dict[str, Any]:
    """What the input gives, by the stores' names: what is not there stays as it is, null sets to nothing."""
    given = {field.name: getattr(wish, field.name) for field in dataclasses.fields(wish) if field.name != "id"}
    return {name: value for name, value in (given | replaced).items() if value is not UNSET}


def number(kind: str, wish: Any, attribute: str = "id") -> int:
    return number_of(kind, getattr(wish, attribute), argument=attribute)


# ---- users and keys ----------------------------------------------------------------------------------------------------


async def create_user(ctx: Context, *, input: Any) -> ChangeRow:
    admin, users = ctx.admin, ctx.stores.orm.users

    async def work() -> Any:
        password_hash = await ctx.stores.sessions.hash_password(input.password)
        return await users.add(admin, values_of(input, password=UNSET), password_hash=password_hash)

    return await changed(work)


async def update_user(ctx: Context, *, input: Any) -> ChangeRow:
    caller, users = ctx.writer, ctx.stores.orm.users

    async def work() -> Any:
        user = await users.modify(number("User", input), caller, values_of(input))
        ctx.stores.sessions.forget(user.uid)
        return user

    return await changed(work)


async def delete_user(ctx: Context, *, input: Any) -> DeletedRow:
    admin, users = ctx.admin, ctx.stores.orm.users
    return await deleted("User", "uid", lambda: users.remove(number("User", input), admin))


async def disconnect_user(ctx: Context, *, input: Any) -> ChangeRow:
    """Every process closes the user's sockets; whoever may still log in may connect again."""
    admin, users = ctx.admin, ctx.stores.orm.users

    async def work() -> Any:
        (user,) = await users.get_many([number("User", input)], admin)
        if user is None:
            raise NotFound("no such user", path=("id",))
        await ctx.bus.publish(DISCONNECTS_TOPIC, Disconnect(uid=user.uid, by=admin.uid))
        return user

    return await changed(work)


async def change_password(ctx: Context, *, input: Any) -> ChangeRow:
    """The caller's own, or by an admin anybody's; every session of that user ends."""
    caller, users = ctx.writer, ctx.stores.orm.users

    async def work() -> Any:
        uid = caller.uid if input.id is None else number("User", input)
        if uid == caller.uid:
            await ctx.stores.sessions.check_password(caller, input.current_password or "")
        await users.set_password_hash(uid, await ctx.stores.sessions.hash_password(input.password), caller)
        ctx.stores.sessions.forget(uid)
        return (await users.get_many([uid], caller))[0]

    return await changed(work)


async def create_api_key(ctx: Context, *, input: Any) -> NewKeyRow:
    """The secret is shown once: only its hash is kept."""
    caller = ctx.writer
    made = new_api_key()
    try:
        row = await ctx.stores.orm.api_keys.add(caller, key_hash=made.key_hash, prefix=made.prefix, **values_of(input, id=UNSET))
    except EXPECTED as error:
        return NewKeyRow(user_errors=[user_error(error)])
    return NewKeyRow(record=row, key=made.key)


async def revoke_api_key(ctx: Context, *, input: Any) -> ChangeRow:
    caller, keys = ctx.user, ctx.stores.orm.api_keys
    return await changed(lambda: keys.deactivate(number("ApiKey", input), caller))


# ---- accounts and symbols ----------------------------------------------------------------------------------------------


async def create_exchange_account(ctx: Context, *, input: Any) -> ChangeRow:
    caller, accounts = ctx.writer, ctx.stores.orm.accounts

    async def work() -> Any:
        values = values_of(
            input,
            exchange_id=UNSET,
            api_key=UNSET,
            api_secret=UNSET,
            cat_ex_id=number_of("Exchange", input.exchange_id, argument="exchangeId"),
        )
        return await accounts.add(caller, values, secrets=secrets_of(input))

    return await changed(work)


async def update_exchange_account(ctx: Context, *, input: Any) -> ChangeRow:
    caller, accounts = ctx.writer, ctx.stores.orm.accounts

    async def work() -> Any:
        values = values_of(input, api_key=UNSET, api_secret=UNSET)
        return await accounts.modify(number("ExchangeAccount", input), caller, values, secrets=secrets_of(input))

    return await changed(work)


async def delete_exchange_account(ctx: Context, *, input: Any) -> DeletedRow:
    caller, accounts = ctx.writer, ctx.stores.orm.accounts
    return await deleted("ExchangeAccount", "ex_id", lambda: accounts.remove(number("ExchangeAccount", input), caller))


async def create_symbol(ctx: Context, *, input: Any) -> ChangeRow:
    admin, symbols = ctx.admin, ctx.stores.orm.symbols

    async def work() -> Any:
        cat_ex_id = number_of("Exchange", input.exchange_id, argument="exchangeId")
        return await symbols.add(admin, values_of(input, exchange_id=UNSET, cat_ex_id=cat_ex_id))

    return await changed(work)


async def update_symbol(ctx: Context, *, input: Any) -> ChangeRow:
    admin, symbols = ctx.admin, ctx.stores.orm.symbols
    return await changed(lambda: symbols.modify(number("Symbol", input), admin, values_of(input)))


async def delete_symbol(ctx: Context, *, input: Any) -> DeletedRow:
    admin, symbols = ctx.admin, ctx.stores.orm.symbols
    return await deleted("Symbol", "symbol_id", lambda: symbols.remove(number("Symbol", input), admin))


def secrets_of(wish: Any) -> Secrets | None:
    """Key and secret of an exchange account, where both are given."""
    if wish.api_key in (None, UNSET) or wish.api_secret in (None, UNSET):
        return None
    return Secrets(key=wish.api_key, secret=wish.api_secret)


# ---- bots, strategies, feeds -------------------------------------------------------------------------------------------


async def create_bot(ctx: Context, *, input: Any) -> ChangeRow:
    caller, bots = ctx.writer, ctx.stores.orm.bots
    return await changed(lambda: bots.add(caller, values_of(input)))


async def update_bot(ctx: Context, *, input: Any) -> ChangeRow:
    caller, bots = ctx.writer, ctx.stores.orm.bots
    return await changed(lambda: bots.modify(number("Bot", input), caller, values_of(input)))


async def delete_bot(ctx: Context, *, input: Any) -> DeletedRow:
    caller, bots = ctx.writer, ctx.stores.orm.bots
    return await deleted("Bot", "bot_id", lambda: bots.remove(number("Bot", input), caller))


async def create_strategy(ctx: Context, *, input: Any) -> ChangeRow:
    caller, strategies = ctx.writer, ctx.stores.orm.strategies

    async def work() -> Any:
        values = values_of(
            input,
            strategy_template_id=UNSET,
            bot_id=number_of("Bot", input.bot_id, argument="botId"),
            cat_str_id=number_of("StrategyTemplate", input.strategy_template_id, argument="strategyTemplateId"),
        )
        return await strategies.add(caller, values)

    return await changed(work)


async def update_strategy(ctx: Context, *, input: Any) -> ChangeRow:
    caller, strategies = ctx.writer, ctx.stores.orm.strategies
    return await changed(lambda: strategies.modify(number("Strategy", input), caller, values_of(input)))


async def delete_strategy(ctx: Context, *, input: Any) -> DeletedRow:
    caller, strategies = ctx.writer, ctx.stores.orm.strategies
    return await deleted("Strategy", "str_id", lambda: strategies.remove(number("Strategy", input), caller))


async def create_feed(ctx: Context, *, input: Any) -> ChangeRow:
    caller, feeds = ctx.writer, ctx.stores.orm.feeds

    async def work() -> Any:
        values = values_of(
            input,
            strategy_id=UNSET,
            str_id=number_of("Strategy", input.strategy_id, argument="strategyId"),
            symbol_id=number_of("Symbol", input.symbol_id, argument="symbolId"),
        )
        return await feeds.add(caller, values)

    return await changed(work)


async def update_feed(ctx: Context, *, input: Any) -> ChangeRow:
    caller, feeds = ctx.writer, ctx.stores.orm.feeds
    return await changed(lambda: feeds.modify(number("Feed", input), caller, values_of(input)))


async def delete_feed(ctx: Context, *, input: Any) -> DeletedRow:
    caller, feeds = ctx.writer, ctx.stores.orm.feeds
    return await deleted("Feed", "feed_id", lambda: feeds.remove(number("Feed", input), caller))
