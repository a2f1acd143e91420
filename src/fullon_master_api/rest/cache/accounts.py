"""The accounts socket: the caller's balances and positions, marked to the last ticker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from functools import partial
from time import time

from fullon_master_api.bus import balances_topic, positions_topic
from fullon_master_api.model import Balance, Balances, ExchangeAccount, Gap, Position, Positions, Principal, Ticker
from fullon_master_api.rest.cache.desk import (
    Action,
    Desk,
    Endpoint,
    Json,
    Name,
    Params,
    Refused,
    Stream,
    number,
    own_accounts,
    patiently,
    seconds,
)


class OneBalance(Params, frozen=True):
    """`ex_id` names the account; without it all the caller's accounts are added up. `exchange` is an old name of `currency`."""

    user_id: Name | int | None = None
    currency: Name | None = None
    exchange: Name | int | None = None
    ex_id: Name | int | None = None


class SomeAccounts(Params, frozen=True):
    """`ex_id` or `exchange` names the account, by id or by name; without either all the caller's accounts are meant."""

    user_id: Name | int | None = None
    exchange: Name | int | None = None
    ex_id: Name | int | None = None


async def own(desk: Desk, principal: Principal, *, user_id: str | int | None, account: str | int | None) -> list[ExchangeAccount]:
    """The caller's accounts that a request means. `user_id` is the caller, or as in the original the id of an account."""
    accounts = await desk.get_accounts(principal)
    if account is None and user_id is not None and str(user_id) != str(principal.uid):
        account = user_id
    return own_accounts(accounts, account)


async def get_balance(desk: Desk, principal: Principal, params: OneBalance) -> Json:
    currency = params.currency or str(params.exchange or "")
    if not currency:
        raise Refused("INVALID_PARAMS", "currency is missing")
    account = params.ex_id if params.ex_id is not None else (params.exchange if params.currency else None)
    accounts = await own(desk, principal, user_id=params.user_id, account=account)
    found = [
        balance
        for balances in await desk.cache.accounts.get_balances([account.ex_id for account in accounts])
        for balance in balances
        if balance.currency == currency
    ]
    if not found:
        raise Refused("BALANCE_NOT_FOUND", f"no balance of {currency!r} in an account of yours")
    return {
        "user_id": params.user_id if params.user_id is not None else principal.uid,
        "currency": currency,
        "total_balance": number(sum((balance.total for balance in found), Decimal(0))),
        "available_balance": number(sum((balance.free for balance in found), Decimal(0))),
        "reserved_balance": number(sum((balance.used for balance in found), Decimal(0))),
        "timestamp": seconds(max(balance.updated_ns for balance in found)),
    }


async def get_account_status(desk: Desk, principal: Principal, params: SomeAccounts) -> Json:
    """Every balance and position of the accounts that are meant."""
    accounts = await _meant(desk, principal, params)
    ex_ids = [account.ex_id for account in accounts]
    rows = []
    for account, balances, positions in zip(
        accounts, await desk.cache.accounts.get_balances(ex_ids), await desk.cache.accounts.get_positions(ex_ids), strict=True
    ):
        rows.append(
            {"ex_id": account.ex_id, "exchange": account.exchange, "balances": _sums(balances), "positions": len(positions)}
        )
    return {"user_id": principal.uid, "accounts": rows, "timestamp": time()}


async def get_positions(desk: Desk, principal: Principal, params: SomeAccounts) -> Json:
    accounts = await _meant(desk, principal, params)
    found = await desk.cache.accounts.get_positions([account.ex_id for account in accounts])
    held = [(account, position) for account, positions in zip(accounts, found, strict=True) for position in positions]
    rows = await _rows(desk, held)
    exchange = params.exchange if params.exchange is not None else params.ex_id
    return {
        "user_id": params.user_id if params.user_id is not None else principal.uid,
        "exchange": exchange,
        "positions": rows,
        "count": len(rows),
    }


async def stream_positions(desk: Desk, principal: Principal, params: SomeAccounts) -> AsyncGenerator[Json]:
    accounts = await _meant(desk, principal, params)
    if not accounts:
        raise Refused("INVALID_PARAMS", "no account of yours is meant")
    return _watch(desk, accounts)


async def stream_balances(desk: Desk, principal: Principal, params: SomeAccounts) -> AsyncGenerator[Json]:
    accounts = await _meant(desk, principal, params)
    if not accounts:
        raise Refused("INVALID_PARAMS", "no account of yours is meant")
    return _watch_balances(desk, accounts)


async def _watch_balances(desk: Desk, accounts: Sequence[ExchangeAccount]) -> AsyncGenerator[Json]:
    """All balances of each account, then those of an account whenever one changes."""
    ex_ids = {balances_topic(account.ex_id): account.ex_id for account in accounts}
    told: dict[int, list[Balance]] = {}
    async with desk.bus.subscribe(list(ex_ids)) as mailbox:
        for ex_id, balances in zip(ex_ids.values(), await desk.cache.accounts.get_balances(list(ex_ids.values())), strict=True):
            told[ex_id] = balances
            yield {"exchange": ex_id, "balances": _sums(balances), "timestamp": time()}
        async for topic, message in mailbox:
            ex_id = ex_ids[topic]
            report: object = message
            if isinstance(message, Gap):
                report = (await patiently(partial(desk.cache.accounts.get_balance_reports, [ex_id])))[0]
            if isinstance(report, Balances) and report.balances != told[ex_id]:
                told[ex_id] = report.balances
                yield {"exchange": ex_id, "balances": _sums(report.balances), "timestamp": time()}


def _sums(balances: Sequence[Balance]) -> Json:
    """`{currency: {total, free, used}}`"""
    return {
        balance.currency: {"total": number(balance.total), "free": number(balance.free), "used": number(balance.used)}
        for balance in balances
    }


async def _watch(desk: Desk, accounts: Sequence[ExchangeAccount]) -> AsyncGenerator[Json]:
    """Every position that is there, then each that changes; one that was closed comes once more with size 0."""
    by_topic = {positions_topic(account.ex_id): account for account in accounts}
    known: dict[tuple[int, str], Position] = {}
    async with desk.bus.subscribe(list(by_topic)) as mailbox:
        for account, positions in zip(
            accounts, await desk.cache.accounts.get_positions([account.ex_id for account in accounts]), strict=True
        ):
            for row in await _rows(desk, _changed(known, account, positions)):
                yield row
        async for topic, message in mailbox:
            account = by_topic[topic]
            report: object = message
            if isinstance(message, Gap):  # A cache that forgot knows no position, which does not mean that none is open.
                report = (await patiently(partial(desk.cache.accounts.get_position_reports, [account.ex_id])))[0]
            if isinstance(report, Positions):
                changed = _changed(known, account, report.positions)
                for row in await patiently(partial(_rows, desk, changed)):
                    yield row


def _changed(
    known: dict[tuple[int, str], Position], account: ExchangeAccount, positions: Sequence[Position]
) -> list[tuple[ExchangeAccount, Position]]:
    """What differs from `known`, which is brought up to date."""
    now = {(account.ex_id, position.symbol): position for position in positions}
    gone = [key for key in known if key[0] == account.ex_id and key not in now]
    changed = [position for key, position in now.items() if _held(known.get(key)) != _held(position)]
    closed = [known.pop(key) for key in gone]
    known.update(now)
    flat = [Position(**{**_fields(position), "quantity": Decimal(0), "cost": Decimal(0)}) for position in closed]
    return [(account, position) for position in [*changed, *flat]]


def _held(position: Position | None) -> tuple[Decimal, Decimal] | None:
    return None if position is None else (position.quantity, position.price)


def _fields(position: Position) -> Json:
    return {name: getattr(position, name) for name in position.__struct_fields__}


async def _meant(desk: Desk, principal: Principal, params: SomeAccounts) -> list[ExchangeAccount]:
    account = params.ex_id if params.ex_id is not None else params.exchange
    return await own(desk, principal, user_id=params.user_id, account=account)


async def _rows(desk: Desk, held: Sequence[tuple[ExchangeAccount, Position]]) -> list[Json]:
    tickers = await desk.cache.tickers.get_many([(account.exchange, position.symbol) for account, position in held])
    return [_render(account, position, ticker) for (account, position), ticker in zip(held, tickers, strict=True)]


def _render(account: ExchangeAccount, position: Position, ticker: Ticker | None) -> Json:
    """Profit is that of the open quantity at the last price, before fees; null where no price is known."""
    mark = Decimal(ticker.last) if ticker is not None and ticker.last is not None else None
    pnl = None if mark is None else (mark - position.price) * position.quantity
    spent = abs(position.price * position.quantity)
    return {
        "symbol": position.symbol,
        "exchange": account.ex_id,
        "side": "short" if position.quantity < 0 else "long",
        "size": number(abs(position.quantity)),
        "entry_price": number(position.price),
        "mark_price": number(mark),
        "pnl": number(pnl),
        "pnl_percent": number(None if pnl is None or not spent else round(pnl / spent * 100, 4)),
        "timestamp": seconds(position.updated_ns),
    }


ENDPOINT = Endpoint(
    actions={"get_balance": Action(OneBalance, get_balance), "get_positions": Action(SomeAccounts, get_positions)},
    streams={"stream_positions": Stream(SomeAccounts, stream_positions, "position_update")},
)
