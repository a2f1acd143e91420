"""Mutations of users, keys, accounts, symbols, bots, strategies and feeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from strawberry import UNSET

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.apis.orm.users import may_set_password
from fullon_master_api.auth.sessions import new_api_key
from fullon_master_api.bus import DISCONNECTS_TOPIC
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Disconnect, Principal, Record
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


async def added(store: Any, caller: Principal, wish: Any, **ids: tuple[str, str]) -> ChangeRow:
    """Store what is wished. `ids` names, by column, the input's field with a global id and the type that the id must be of."""

    async def work() -> Any:
        numbers = {column: number(kind, wish, field) for column, (kind, field) in ids.items()}
        replaced = {field: UNSET for _, field in ids.values()}
        return await store.add(caller, values_of(wish, **replaced | numbers))

    return await changed(work)


async def modified(kind: str, store: Any, caller: Principal, wish: Any) -> ChangeRow:
    """Change the record whose global id is in the input."""
    return await changed(lambda: store.modify(number(kind, wish), caller, values_of(wish)))


async def deleted(kind: str, store: Any, caller: Principal, wish: Any) -> DeletedRow:
    """Remove the record whose global id is in the input; the answer names what is gone."""
    try:
        key = number(kind, wish)
        await store.remove(key, caller)
    except EXPECTED as error:
        return DeletedRow(user_errors=[user_error(error)])
    return DeletedRow(deleted_id=global_id(kind, key))


def values_of(wish: Any, **replaced: Any) -> dict[str, Any]:
    """What the input gives, by the stores' names: what is not there stays as it is, null sets to nothing."""
    given = {field.name: getattr(wish, field.name) for field in dataclasses.fields(wish) if field.name != "id"}
    return {name: value for name, value in (given | replaced).items() if value is not UNSET}


def number(kind: str, wish: Any, field: str = "id") -> int:
    """The key in the global id that a field of the input holds. Raises: BadUserInput at that field."""
    return number_of(kind, getattr(wish, field), argument=field)


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
    return await deleted("User", ctx.stores.orm.users, ctx.admin, input)


async def disconnect_user(ctx: Context, *, input: Any) -> ChangeRow:
    """Every process closes the user's sockets; whoever may still log in may connect again."""
    admin, users = ctx.admin, ctx.stores.orm.users

    async def work() -> Any:
        ctx.writer  # noqa: B018 - It refuses a credential that may only read.
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
        may_set_password(caller)
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
            cat_ex_id=number("Exchange", input, "exchange_id"),
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
    return await deleted("ExchangeAccount", ctx.stores.orm.accounts, ctx.writer, input)


async def create_symbol(ctx: Context, *, input: Any) -> ChangeRow:
    return await added(ctx.stores.orm.symbols, ctx.admin, input, cat_ex_id=("Exchange", "exchange_id"))


async def update_symbol(ctx: Context, *, input: Any) -> ChangeRow:
    return await modified("Symbol", ctx.stores.orm.symbols, ctx.admin, input)


async def delete_symbol(ctx: Context, *, input: Any) -> DeletedRow:
    return await deleted("Symbol", ctx.stores.orm.symbols, ctx.admin, input)


def secrets_of(wish: Any) -> Secrets | None:
    """Key and secret of an exchange account, where both are given."""
    if wish.api_key in (None, UNSET) or wish.api_secret in (None, UNSET):
        return None
    return Secrets(key=wish.api_key, secret=wish.api_secret)


# ---- bots, strategies, feeds -------------------------------------------------------------------------------------------


async def create_bot(ctx: Context, *, input: Any) -> ChangeRow:
    return await added(ctx.stores.orm.bots, ctx.writer, input)


async def update_bot(ctx: Context, *, input: Any) -> ChangeRow:
    return await modified("Bot", ctx.stores.orm.bots, ctx.writer, input)


async def delete_bot(ctx: Context, *, input: Any) -> DeletedRow:
    return await deleted("Bot", ctx.stores.orm.bots, ctx.writer, input)


async def create_strategy(ctx: Context, *, input: Any) -> ChangeRow:
    ids = {"bot_id": ("Bot", "bot_id"), "cat_str_id": ("StrategyTemplate", "strategy_template_id")}
    return await added(ctx.stores.orm.strategies, ctx.writer, input, **ids)


async def update_strategy(ctx: Context, *, input: Any) -> ChangeRow:
    return await modified("Strategy", ctx.stores.orm.strategies, ctx.writer, input)


async def delete_strategy(ctx: Context, *, input: Any) -> DeletedRow:
    return await deleted("Strategy", ctx.stores.orm.strategies, ctx.writer, input)


async def create_feed(ctx: Context, *, input: Any) -> ChangeRow:
    ids = {"str_id": ("Strategy", "strategy_id"), "symbol_id": ("Symbol", "symbol_id")}
    return await added(ctx.stores.orm.feeds, ctx.writer, input, **ids)


async def update_feed(ctx: Context, *, input: Any) -> ChangeRow:
    return await modified("Feed", ctx.stores.orm.feeds, ctx.writer, input)


async def delete_feed(ctx: Context, *, input: Any) -> DeletedRow:
    return await deleted("Feed", ctx.stores.orm.feeds, ctx.writer, input)
