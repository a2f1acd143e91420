"""The candles socket: the newest candles of a symbol, and each as it changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import msgspec

from fullon_master_api.bus import Cursor, Delivery, candle_topic
from fullon_master_api.model import Candle, CandleEvent, Gap, Principal, Timeframe
from fullon_master_api.rest.cache.desk import (
    Action,
    Desk,
    Endpoint,
    Json,
    Name,
    Params,
    Refused,
    Stream,
    cursor_of,
    gap_of,
    number,
    text_of,
)


class SomeBars(Params, frozen=True):
    """`exchange` may be left out, as in the original: then it is the first of the catalogue that has candles."""

    symbol: Name
    timeframe: Timeframe
    exchange: Name | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=500)] = 10


class Bars(Params, frozen=True):
    """`after` goes on behind an item's `cursor`."""

    symbol: Name
    timeframe: Timeframe
    exchange: Name | None = None
    after: Name | None = None


def render(candle: Candle) -> list[Any]:
    """`[ts, o, h, l, c, v]`; ts in milliseconds since 1970."""
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    return [candle.opened_ns // 1_000_000, *(number(text) for text in numbers)]


async def get_latest_ohlcv_bars(desk: Desk, _principal: Principal, params: SomeBars) -> Json:
    for exchange in await _exchanges(desk, params.exchange, params.symbol):
        bars = await desk.cache.candles.get_last(exchange, params.symbol, params.timeframe.value, params.count)
        if bars:
            rows = [render(candle) for candle in bars]
            return {"symbol": params.symbol, "timeframe": params.timeframe.value, "exchange": exchange, "bars": rows}
    raise Refused("OHLCV_NOT_FOUND", f"no {params.timeframe.value} candles of {params.symbol!r}")


async def stream_ohlcv(desk: Desk, _principal: Principal, params: Bars) -> AsyncGenerator[Json]:
    exchanges = await _exchanges(desk, params.exchange, params.symbol)
    if not exchanges:
        raise Refused("INVALID_PARAMS", f"no exchange has {params.symbol!r}")
    topics = [candle_topic(exchange, params.symbol, params.timeframe.value) for exchange in exchanges]
    return _watch(desk, topics, cursor_of(params.after, topics))


async def _watch(desk: Desk, topics: Sequence[str], after: Cursor | None) -> AsyncGenerator[Json]:
    """Every change of the open candle and every close; a gap item where one may be missing. Raises: SlowConsumer"""
    async with desk.bus.subscribe(topics, after, delivery=Delivery.QUEUE) as mailbox:
        async for topic, message in mailbox:
            if isinstance(message, Gap):
                yield gap_of(message)
            elif isinstance(message, CandleEvent):
                named = {"symbol": message.symbol, "timeframe": message.timeframe, "exchange": message.exchange}
                bar = {"bar": render(message.candle), "is_final": message.candle.final}
                yield {**named, **bar, "cursor": text_of(mailbox.cursor(topic))}


async def _exchanges(desk: Desk, exchange: str | None, symbol: str) -> list[str]:
    if exchange is not None:
        return [exchange]
    return [found.exchange for found in await desk.get_symbols() if found.symbol == symbol]


ENDPOINT = Endpoint(
    actions={"get_latest_ohlcv_bars": Action(SomeBars, get_latest_ohlcv_bars)},
    streams={"stream_ohlcv": Stream(Bars, stream_ohlcv, "ohlcv_update")},
)
