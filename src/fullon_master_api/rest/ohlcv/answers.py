"""Shapes of the OHLCV answers, as the original named their fields, for the API's description."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

from fullon_master_api.rest.ohlcv.asked import Format


class Answer(BaseModel):
    success: bool = True
    message: str
    timestamp: datetime


class TradeRow(BaseModel):
    timestamp: datetime
    price: float
    volume: float
    side: str
    type: str
    trade_id: str


class CandleRow(BaseModel):
    timestamp: datetime
    open: float
    high: float
    low: float
    close: float
    vol: float
    filled: bool = False


class Data(Answer):
    count: int
    exchange: str
    symbol: str
    offset: int
    limit: int
    total_available: int | None
    start_time: datetime | None
    end_time: datetime | None


class TradesResponse(Data):
    trades: list[TradeRow]


class CandlesResponse(Data):
    timeframe: str
    candles: list[CandleRow]


class TimeseriesResponse(Data):
    timeframe: str
    trades_processed: int
    generation_time_ms: float
    ohlcv: list[CandleRow]


FORMATS: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {Format.CSV.value: {}, Format.ARROW.value: {}}}}
"""The 200 answer also comes as CSV and as an Arrow stream, by `Accept`."""
