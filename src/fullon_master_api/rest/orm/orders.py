"""`/orders`: place, look up, and set the status of orders."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm.orders import OrderFilter
from fullon_master_api.apis.orm.spellings import parse
from fullon_master_api.model import OPEN_STATUSES, OrderStatus
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import After, Caller, Id, Limit, QueryId, Store, page_response
from fullon_master_api.rest.orm.bots import must_find
from fullon_master_api.rest.orm.exact import ExactRoute, Number, exact_response
from fullon_master_api.rest.orm.shapes import ORDER

router = APIRouter(prefix="/orders", tags=["orders"], route_class=ExactRoute, responses=ANSWERS)

BodyId = Annotated[int | None, Field(ge=0, le=2**63 - 1)]
Day = Annotated[AwareDatetime | None, Query(description="RFC 3339 with a time zone")]


class NewOrder(BaseModel):
    """An order. What says whose it is and where it goes is found from the bot and the caller where it is not given."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(max_length=40)
    side: str = Field(max_length=20, description="buy or sell, in any case")
    order_type: str = Field(max_length=20, description="market, limit, stop, stop_limit or take_profit")
    volume: Number = Field(description="quantity in base units")
    price: Number | None = Field(None, description="limit price in quote currency")
    plimit: Number | None = None
    tick: Number | None = None
    leverage: Number | None = None
    futures: bool | None = None
    status: str | None = Field(None, max_length=20)
    command: str | None = Field(None, max_length=64)
    subcommand: str | None = Field(None, max_length=64)
    reason: str | None = Field(None, max_length=200)
    dry_run: bool | None = Field(None, description="true unless the bot trades live")
    client_order_id: str | None = Field(None, max_length=64, description="makes the request safe to repeat")
    ex_order_id: str | None = Field(None, max_length=64)
    final_volume: Number | None = None
    uid: BodyId = None
    bot_id: BodyId = None
    ex_id: BodyId = None
    cat_ex_id: BodyId = None


class NewStatus(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: str = Field(max_length=20, description="in any of the platform's spellings; it is answered as it came")
    ex_order_id: str | None = Field(None, max_length=64)
    final_volume: Number | None = None


class OrderStats(BaseModel):
    """Counts of the newest 500 orders that fit."""

    total_orders: int
    open_orders: int
    filled_orders: int
    canceled_orders: int
    by_status: dict[str, int]
    by_side: dict[str, int]
    by_symbol: dict[str, int]
    first_order: datetime | None
    last_order: datetime | None


@router.post("/", summary="Place an order", response_model=ORDER.model)
async def place(body: NewOrder, caller: Caller, orm: Store) -> Response:
    return exact_response(ORDER.body(await orm.orders.place(caller, body.model_dump(exclude_none=True))))


@router.get("/by-bot", summary="Orders of a bot, newest first", response_model=ORDER.many)
async def by_bot(
    bot_id: QueryId,
    caller: Caller,
    orm: Store,
    status: Annotated[str | None, Query(max_length=20)] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    await must_find(orm, bot_id, caller)
    statuses = None if status is None else [parse(OrderStatus, status, path=("status",))]
    filters = OrderFilter(bot_id=bot_id, statuses=statuses)
    return page_response(await orm.orders.page(caller, filters=filters, first=limit, after=after), ORDER.body)


@router.get("/open", summary="Open orders, newest first", response_model=ORDER.many)
async def open_orders(
    caller: Caller,
    orm: Store,
    bot_id: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    filters = OrderFilter(bot_id=bot_id, statuses=OPEN_STATUSES)
    return page_response(await orm.orders.page(caller, filters=filters, first=limit, after=after), ORDER.body)


@router.get("/history", summary="Orders of a time, newest first", response_model=ORDER.many)
async def history(
    caller: Caller,
    orm: Store,
    bot_id: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    symbol: Annotated[str | None, Query(max_length=40)] = None,
    start_date: Day = None,
    end_date: Day = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    filters = OrderFilter(bot_id=bot_id, symbol=symbol, created_from=start_date, created_to=end_date)
    return page_response(await orm.orders.page(caller, filters=filters, first=limit, after=after), ORDER.body)


@router.get("/stats", summary="Counts of orders", response_model=OrderStats)
async def stats(caller: Caller, orm: Store, bot_id: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None) -> Response:
    page = await orm.orders.page(caller, filters=OrderFilter(bot_id=bot_id), first=500, total=True)
    orders = page.rows
    by_status = Counter(order.status.value for order in orders)
    body = {
        "total_orders": page.total,
        "open_orders": sum(by_status[status.value] for status in OPEN_STATUSES),
        "filled_orders": by_status[OrderStatus.FILLED.value],
        "canceled_orders": by_status[OrderStatus.CANCELED.value],
        "by_status": dict(by_status),
        "by_side": dict(Counter(order.side.value for order in orders)),
        "by_symbol": dict(Counter(order.symbol for order in orders)),
        "first_order": orders[-1].created_at if orders else None,
        "last_order": orders[0].created_at if orders else None,
    }
    return exact_response(body)


@router.get("/by-symbol", summary="Orders of a symbol, newest first", response_model=ORDER.many)
async def by_symbol(
    symbol: Annotated[str, Query(max_length=40)], caller: Caller, orm: Store, limit: Limit = 100, after: After = None
) -> Response:
    page = await orm.orders.page(caller, filters=OrderFilter(symbol=symbol), first=limit, after=after)
    return page_response(page, ORDER.body)


@router.put("/{order_id}/status", summary="Set the status of an order", response_model=ORDER.model)
@router.patch("/{order_id}/status", summary="Set the status of an order", response_model=ORDER.model, include_in_schema=False)
async def set_status(order_id: Id, body: NewStatus, caller: Caller, orm: Store) -> Response:
    known = body.model_dump(exclude={"status"}, exclude_none=True)
    return exact_response(ORDER.body(await orm.orders.set_status(order_id, caller, body.status, **known)))
