"""Time series over REST: the newest candles of a range, in the original's words."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response

from fullon_master_api.apis.ohlcv import Fill
from fullon_master_api.apis.ohlcv.frames import parse_timeframe
from fullon_master_api.apis.ohlcv.tables import candles_table
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.ohlcv.answers import FORMATS, TimeseriesResponse
from fullon_master_api.rest.ohlcv.asked import (
    RANGE_LIMIT_MAX,
    Catalogue,
    End,
    Format,
    Ohlcv,
    RangeLimit,
    Start,
    Wanted,
    Who,
    Zone,
    find_symbol,
    get_ns,
)
from fullon_master_api.rest.ohlcv.bodies import candle_fragment, json_response, now, table_response

router = APIRouter(prefix="/timeseries", tags=["OHLCV time series"], responses=ANSWERS)


@router.get("/{exchange}/{symbol:path}/ohlcv", response_model=TimeseriesResponse, responses=FORMATS)
async def get_timeseries(
    exchange: str,
    symbol: str,
    start_time: Start,
    end_time: End,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    timeframe: str = "1m",
    limit: RangeLimit = 100,
    fill: Fill = Fill.NONE,
    zone: Zone = "UTC",
) -> Response:
    """The newest `limit` candles that open in [start_time, end_time), oldest first."""
    asked = parse_timeframe(timeframe)
    await find_symbol(orm, exchange, symbol)
    began_s = time.perf_counter()
    (found,) = await store.candles(
        [(exchange, symbol)],
        asked,
        start_ns=get_ns(start_time),
        end_ns=get_ns(end_time),
        limit=limit,
        limit_max=RANGE_LIMIT_MAX,
        newest=True,
        fill=fill,
        zone=zone,
    )
    if wanted is not Format.JSON:
        return table_response(candles_table(found), wanted)
    body = {
        "success": True,
        "message": f"{len(found)} candles of {exchange} {symbol} {asked.value}",
        "timestamp": now(),
        "count": len(found),
        "exchange": exchange,
        "symbol": symbol,
        "timeframe": asked.value,
        "offset": 0,
        "limit": limit,
        "total_available": None,
        "start_time": start_time,
        "end_time": end_time,
        "trades_processed": sum(candle.trades or 0 for candle in found),
        "generation_time_ms": round((time.perf_counter() - began_s) * 1000, 3),
    }
    return json_response(body, "ohlcv", [candle_fragment(candle) for candle in found])
