"""Public trades over REST: the newest of a symbol, or those of a range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Response

from fullon_master_api.apis.ohlcv.tables import trades_table
from fullon_master_api.model import MarketTrade
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.ohlcv.answers import FORMATS, TradesResponse
from fullon_master_api.rest.ohlcv.asked import (
    RANGE_LIMIT_MAX,
    Catalogue,
    End,
    Format,
    Limit,
    Ohlcv,
    RangeLimit,
    Start,
    Wanted,
    Who,
    find_symbol,
    get_ns,
)
from fullon_master_api.rest.ohlcv.bodies import json_response, now, table_response, trade_fragment

router = APIRouter(prefix="/trades", tags=["OHLCV trades"], responses=ANSWERS)


@router.get("/{exchange}/{symbol:path}/range", response_model=TradesResponse, responses=FORMATS)
async def get_trades_in_range(
    exchange: str,
    symbol: str,
    start_time: Start,
    end_time: End,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    limit: RangeLimit = 1000,
) -> Response:
    """The oldest `limit` trades of [start_time, end_time), oldest first."""
    await find_symbol(orm, exchange, symbol)
    (found,) = await store.trades(
        [(exchange, symbol)],
        start_ns=get_ns(start_time),
        end_ns=get_ns(end_time),
        limit=limit,
        limit_max=RANGE_LIMIT_MAX,
    )
    return _answer(found, wanted, exchange=exchange, symbol=symbol, limit=limit, span=(start_time, end_time))


@router.get("/{exchange}/{symbol:path}", response_model=TradesResponse, responses=FORMATS)
async def get_trades(
    exchange: str, symbol: str, who: Who, store: Ohlcv, orm: Catalogue, wanted: Wanted, limit: Limit = 100
) -> Response:
    """The newest `limit` trades, oldest first."""
    await find_symbol(orm, exchange, symbol)
    (found,) = await store.trades([(exchange, symbol)], limit=limit)
    return _answer(found, wanted, exchange=exchange, symbol=symbol, limit=limit)


def _answer(
    found: Sequence[MarketTrade],
    wanted: Format,
    *,
    exchange: str,
    symbol: str,
    limit: int,
    span: tuple[datetime, datetime] | None = None,
) -> Response:
    if wanted is not Format.JSON:
        return table_response(trades_table(found), wanted)
    body = {
        "success": True,
        "message": f"{len(found)} trades of {exchange} {symbol}",
        "timestamp": now(),
        "count": len(found),
        "exchange": exchange,
        "symbol": symbol,
        "offset": 0,
        "limit": limit,
        "total_available": None,
        "start_time": span[0] if span else None,
        "end_time": span[1] if span else None,
    }
    return json_response(body, "trades", [trade_fragment(trade) for trade in found])
