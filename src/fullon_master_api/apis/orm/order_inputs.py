"""Completing an order that comes in: whose it is, on which account, and whether its values make sense together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, select

from fullon_master_api.apis.orm import bots as bot_store
from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Write, sees_all
from fullon_master_api.apis.orm.tables import bot_exchanges, cat_exchanges, exchanges, symbols
from fullon_master_api.apis.orm.tables_trading import orders
from fullon_master_api.errors import BadUserInput, Conflict, NotFound
from fullon_master_api.model import Bot, OrderStatus, OrderType, Principal

FIELDS: Final = (
    "uid",
    "bot_id",
    "ex_id",
    "cat_ex_id",
    "symbol",
    "order_type",
    "side",
    "volume",
    "price",
    "plimit",
    "tick",
    "futures",
    "leverage",
    "status",
    "command",
    "subcommand",
    "reason",
    "dry_run",
    "client_order_id",
    "ex_order_id",
    "final_volume",
)
_PRICED: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT)


async def complete(write: Write, principal: Principal | None, values: Mapping[str, object]) -> dict[str, Any]:
    """A row of `orders`. Raises: BadUserInput with the field's path, NotFound, Conflict."""
    row = _checked(values)
    bot = None if row.get("bot_id") is None else await bot_store.must_read(write, row["bot_id"], principal)
    account = await account_of(write, principal, row, bot)
    row |= {"uid": account.uid, "ex_id": account.ex_id, "cat_ex_id": account.cat_ex_id, "exchange": account.name}
    row.setdefault("dry_run", bot.dry_run if bot is not None else True)
    if bot is not None and bot.dry_run and not row["dry_run"]:
        raise Conflict(f"bot {bot.bot_id} is in dry run, its orders cannot be live", path=("dry_run",))
    known = select(symbols.c.symbol_id).where(symbols.c.cat_ex_id == account.cat_ex_id, symbols.c.symbol == row["symbol"])
    if await write.connection.scalar(known) is None:
        raise BadUserInput(f"no symbol {row['symbol']!r} on {account.name!r}", path=("symbol",))
    return row


def _checked(values: Mapping[str, object]) -> dict[str, Any]:
    required = ("symbol", "order_type", "side", "volume")
    for name in required:
        if values.get(name) is None:
            raise BadUserInput(f"{name} is missing", path=(name,))
    given = {name: value for name, value in values.items() if value is not None}
    row = inputs.checked(orders, given, FIELDS)
    row["status_text"] = str(given.get("status", OrderStatus.NEW.value))
    row.setdefault("status", OrderStatus.NEW)
    for name in ("volume", "price", "plimit", "tick", "leverage"):
        if name in row and row[name] <= 0:
            raise BadUserInput(f"{name} was {row[name]:f}, must be above 0", path=(name,))
    if row["order_type"] is OrderType.UNKNOWN:
        raise BadUserInput("order_type must be known to place an order", path=("order_type",))
    if row["order_type"] in _PRICED and "price" not in row:
        raise BadUserInput(f"a {row['order_type'].value} order needs a price", path=("price",))
    return row


def _owner(principal: Principal | None, bot: Bot | None, uid: int | None) -> int:
    """Whose order it is: the bot's owner, else the one named, else the caller. Naming somebody else widens nothing."""
    if uid is not None and not sees_all(principal) and principal is not None and uid != principal.uid:
        raise NotFound(f"no user {uid}", path=("uid",))
    if bot is not None:
        if uid is not None and uid != bot.uid:
            raise BadUserInput(f"bot {bot.bot_id} is not of user {uid}", path=("uid",))
        return bot.uid
    if uid is not None:
        return uid
    if principal is None:
        raise BadUserInput("uid is missing", path=("uid",))
    return principal.uid


async def account_of(write: Write, principal: Principal | None, row: Mapping[str, Any], bot: Bot | None) -> Any:
    """The account that an order or a fill is on, with `ex_id, uid, cat_ex_id, name` of its exchange.

    The one named by `ex_id`; else the bot's, or the owner's first active one, at `cat_ex_id` if that is named.
    Raises: BadUserInput, NotFound, Conflict.
    """
    uid = _owner(principal, bot, row.get("uid"))
    columns = (exchanges.c.ex_id, exchanges.c.uid, exchanges.c.cat_ex_id, exchanges.c.active, cat_exchanges.c.name)
    source = exchanges.join(cat_exchanges, exchanges.c.cat_ex_id == cat_exchanges.c.cat_ex_id)
    where: list[ColumnElement[bool]] = [exchanges.c.uid == uid]
    if "cat_ex_id" in row:
        where.append(exchanges.c.cat_ex_id == row["cat_ex_id"])
    if "ex_id" in row:
        where.append(exchanges.c.ex_id == row["ex_id"])
    else:
        where.append(exchanges.c.active)
    statement = select(*columns).order_by(exchanges.c.ex_id)
    if bot is not None:
        link = and_(bot_exchanges.c.ex_id == exchanges.c.ex_id, bot_exchanges.c.bot_id == bot.bot_id)
        source = source.outerjoin(bot_exchanges, link)
        statement = select(*columns).order_by(bot_exchanges.c.ex_id.is_(None), exchanges.c.ex_id)
    account = (await write.connection.execute(statement.select_from(source).where(*where))).first()
    named = next((name for name in ("ex_id", "cat_ex_id") if name in row), None)
    if account is None and named is None:
        raise BadUserInput("the owner has no active exchange account: name an ex_id", path=("ex_id",))
    if account is None:
        raise BadUserInput(f"no exchange account of the owner for {named} {row[named or '']}", path=(named or "ex_id",))
    if not account.active:
        raise Conflict(f"exchange account {account.ex_id} is switched off", path=("ex_id",))
    return account
