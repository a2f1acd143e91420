"""The orders socket: the state of one of the caller's orders, and how many of them wait at an exchange."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from time import time

from fullon_master_api.apis.cache.orders import order_key
from fullon_master_api.bus import order_states_topic
from fullon_master_api.model import ExchangeAccount, Order, Principal
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
)


class OneOrder(Params, frozen=True):
    """`exchange`: an account's id or an exchange's name. `order_id`: the exchange's, else our own."""

    exchange: Name | int
    order_id: Name | int


class OneQueue(Params, frozen=True):
    exchange: Name | int


def render(order: Order) -> Json:
    filled = order.final_volume
    return {
        "order_id": order_key(order),
        "symbol": order.symbol,
        "exchange": order.exchange,
        "side": order.side.value,
        "amount": number(order.volume),
        "price": number(order.price),
        "filled": number(filled),
        "remaining": number(order.volume - filled if filled is not None else order.volume),
        "status": order.status_text or order.status.value,
        "order_type": order.order_type.value,
        "timestamp": order.created_at.timestamp(),
        "last_update": order.updated_at.timestamp(),
    }


async def get_order_status(desk: Desk, principal: Principal, params: OneOrder) -> Json:
    accounts = own_accounts(await desk.get_accounts(principal), params.exchange)
    for order in await desk.cache.orders.get_many([(account.ex_id, str(params.order_id)) for account in accounts]):
        if order is not None:
            return render(order)
    raise Refused("ORDER_NOT_FOUND", f"no order {params.order_id!r} of yours on {params.exchange!r}")


async def get_queue_length(desk: Desk, principal: Principal, params: OneQueue) -> Json:
    accounts = own_accounts(await desk.get_accounts(principal), params.exchange)
    return await _queue(desk, accounts, params.exchange)


async def stream_order_queue(desk: Desk, principal: Principal, params: OneQueue) -> AsyncGenerator[Json]:
    accounts = own_accounts(await desk.get_accounts(principal), params.exchange)
    if not accounts:
        raise Refused("INVALID_PARAMS", f"you have no account {params.exchange!r}")
    return _watch_queue(desk, accounts, params.exchange)


async def _watch_queue(desk: Desk, accounts: Sequence[ExchangeAccount], exchange: str | int) -> AsyncGenerator[Json]:
    async with desk.bus.subscribe([order_states_topic(account.ex_id) for account in accounts]) as mailbox:
        queue = await _queue(desk, accounts, exchange)
        yield queue
        async for _topic, _message in mailbox:
            now = await patiently(lambda: _queue(desk, accounts, exchange))
            if now["queue_length"] != queue["queue_length"]:
                queue = now
                yield queue


async def _queue(desk: Desk, accounts: Sequence[ExchangeAccount], exchange: str | int) -> Json:
    waiting = sum(await desk.cache.orders.get_open_counts([account.ex_id for account in accounts]))
    return {"exchange": exchange, "queue_length": waiting, "timestamp": time()}


ENDPOINT = Endpoint(
    actions={"get_order_status": Action(OneOrder, get_order_status), "get_queue_length": Action(OneQueue, get_queue_length)},
    streams={"stream_order_queue": Stream(OneQueue, stream_order_queue, "queue_update")},
)
