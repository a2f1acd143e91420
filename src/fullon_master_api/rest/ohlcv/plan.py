"""The paths of the original plan, under `/api`: the same answers, the timeframe and the range as query or in the path."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from fullon_master_api.apis.ohlcv import Fill
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Timeframe
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.ohlcv import candles, catalogue, timeseries, trades
from fullon_master_api.rest.ohlcv.answers import FORMATS, CandlesResponse, TradesResponse
from fullon_master_api.rest.ohlcv.asked import Catalogue, Limit, Ohlcv, Wanted, Who, Zone

router = APIRouter(prefix="/api", responses=ANSWERS)
router.include_router(timeseries.router)
router.include_router(catalogue.router)

TIMEFRAMES = {timeframe.value for timeframe in Timeframe}
When = Annotated[AwareDatetime | None, Query(description="RFC 3339 with an offset.")]


@router.get("/candles/{exchange}/{symbol:path}", response_model=CandlesResponse, responses=FORMATS, tags=["OHLCV candles"])
async def get_candles(
    exchange: str,
    symbol: str,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    timeframe: str = "1m",
    start_time: When = None,
    end_time: When = None,
    limit: Limit = 100,
    fill: Fill = Fill.NONE,
    zone: Zone = "UTC",
) -> Response:
    """`/api/candles/kraken/BTC/USD?timeframe=1h&limit=100`, also with `/1h` or `/1h/range` behind the symbol."""
    name, ranged = _without(symbol, "range")
    head, _, tail = name.rpartition("/")
    if tail in TIMEFRAMES and head:
        name, timeframe = head, tail
    span = _span(start_time, end_time, ranged)
    if span is None:
        return await candles.get_candles(exchange, name, timeframe, who, store, orm, wanted, limit, fill, zone)
    return await candles.get_candles_in_range(
        exchange, name, timeframe, span[0], span[1], who, store, orm, wanted, limit, fill, zone
    )


@router.get("/trades/{exchange}/{symbol:path}", response_model=TradesResponse, responses=FORMATS, tags=["OHLCV trades"])
async def get_trades(
    exchange: str,
    symbol: str,
    who: Who,
    store: Ohlcv,
    orm: Catalogue,
    wanted: Wanted,
    start_time: When = None,
    end_time: When = None,
    limit: Limit = 100,
) -> Response:
    """`/api/trades/kraken/BTC/USD?limit=100`, also with `/range` behind the symbol."""
    name, ranged = _without(symbol, "range")
    span = _span(start_time, end_time, ranged)
    if span is None:
        return await trades.get_trades(exchange, name, who, store, orm, wanted, limit)
    return await trades.get_trades_in_range(exchange, name, span[0], span[1], who, store, orm, wanted, limit)


def _without(path: str, last: str) -> tuple[str, bool]:
    """The path without this last part, and whether it had it."""
    return (path.removesuffix(f"/{last}"), True) if path.endswith(f"/{last}") else (path, False)


def _span(start: datetime | None, end: datetime | None, ranged: bool) -> tuple[datetime, datetime] | None:
    if start is not None and end is not None:
        return start, end
    if ranged or start is not None or end is not None:
        raise BadUserInput("a range needs both start_time and end_time")
    return None
