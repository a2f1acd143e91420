"""Candles over REST: the newest of a symbol, or those of a range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response

from fullon_master_api.apis.ohlcv import Fill
from fullon_master_api.apis.ohlcv.frames import parse_timeframe
from fullon_master_api.apis.ohlcv.tables import candles_table
from fullon_master_api.model import Candle, Timeframe
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.ohlcv.answers import FORMATS, CandlesResponse
from fullon_master_api.rest.ohlcv.asked import Catalogue, End, Format, Limit, Ohlcv, Start, Wanted, Who, Zone, find_symbol, get_ns
from fullon_master_api.rest.ohlcv.bodies import candle_fragment, json_response, now, table_response

router = APIRouter(prefix="/candles", tags=["OHLCV candles"], responses=ANSWERS)


@router.get("/{exchange}/{symbol:path}/{timeframe}/range", response_model=CandlesResponse, responses=FORMATS)
async def get_candles_in_range(
    exchange: str,
    symbol: str,
    timeframe: str,
    start_time: Start,
    end_time: End,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    limit: Limit = 5000,
    fill: Fill = Fill.NONE,
    zone: Zone = "UTC",
) -> Response:
    """The oldest `limit` candles that open in [start_time, end_time), oldest first: ask again from the last one on."""
    asked = parse_timeframe(timeframe)
    await find_symbol(orm, exchange, symbol)
    span = (get_ns(start_time), get_ns(end_time))
    (found,) = await store.candles(
        [(exchange, symbol)], asked, start_ns=span[0], end_ns=span[1], limit=limit, fill=fill, zone=zone
    )
    return _answer(found, wanted, exchange=exchange, symbol=symbol, timeframe=asked, limit=limit, span=(start_time, end_time))


@router.get("/{exchange}/{symbol:path}/{timeframe}", response_model=CandlesResponse, responses=FORMATS)
async def get_candles(
    exchange: str,
    symbol: str,
    timeframe: str,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    limit: Limit = 100,
    fill: Fill = Fill.NONE,
    zone: Zone = "UTC",
) -> Response:
    """The newest `limit` candles, oldest first; the last one may still be open."""
    asked = parse_timeframe(timeframe)
    await find_symbol(orm, exchange, symbol)
    (found,) = await store.candles([(exchange, symbol)], asked, limit=limit, fill=fill, zone=zone)
    return _answer(found, wanted, exchange=exchange, symbol=symbol, timeframe=asked, limit=limit)


def _answer(
    found: Sequence[Candle],
    wanted: Format,
    *,
    exchange: str,
    symbol: str,
    timeframe: Timeframe,
    limit: int,
    span: tuple[datetime, datetime] | None = None,
) -> Response:
    if wanted is not Format.JSON:
        return table_response(candles_table(found), wanted)
    body: dict[str, Any] = {
        "success": True,
        "message": f"{len(found)} candles of {exchange} {symbol} {timeframe.value}",
        "timestamp": now(),
        "count": len(found),
        "exchange": exchange,
        "symbol": symbol,
        "timeframe": timeframe.value,
        "offset": 0,
        "limit": limit,
        "total_available": None,
        "start_time": span[0] if span else None,
        "end_time": span[1] if span else None,
    }
    return json_response(body, "candles", [candle_fragment(candle) for candle in found])
