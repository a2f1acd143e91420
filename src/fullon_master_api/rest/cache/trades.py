"""The trades socket: the newest trades of the public tape; reading them takes nothing from anybody."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

import msgspec

from fullon_master_api.bus import Cursor, Delivery, public_trades_topic
from fullon_master_api.model import Gap, MarketTrade, MarketTrades, Principal
from fullon_master_api.rest.cache.desk import (
    SYMBOLS_MAX,
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
    seconds,
    text_of,
)


class SomeTrades(Params, frozen=True):
    exchange: Name
    symbol: Name
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class TradesOf(Params, frozen=True):
    """Without a symbol: every active symbol of the exchange. `after` goes on with one symbol behind an item's `cursor`."""

    exchange: Name
    symbol: Name | None = None
    after: Name | None = None


class StatusOf(Params, frozen=True):
    exchange: Name
    symbol: Name


def render(exchange: str, symbol: str, trade: MarketTrade) -> Json:
    return {
        "symbol": symbol,
        "exchange": exchange,
        "side": trade.side.value,
        "volume": number(trade.quantity),
        "price": number(trade.price),
        "timestamp": seconds(trade.event_ns),
        "trade_id": trade.trade_id,
    }


async def get_trades(desk: Desk, _principal: Principal, params: SomeTrades) -> Json:
    trades = await desk.cache.trades.get_last(params.exchange, params.symbol, params.limit)
    rows = [render(params.exchange, params.symbol, trade) for trade in trades]
    return {"exchange": params.exchange, "symbol": params.symbol, "trades": rows}


async def get_trade_status(desk: Desk, _principal: Principal, params: StatusOf) -> Json:
    """When the last trade was: how fresh the tape is."""
    trades = await desk.cache.trades.get_last(params.exchange, params.symbol, 1)
    last = seconds(trades[0].event_ns) if trades else None
    return {"exchange": params.exchange, "symbol": params.symbol, "last_trade": last}


async def stream_trade_updates(desk: Desk, _principal: Principal, params: TradesOf) -> AsyncGenerator[Json]:
    symbols = (
        [params.symbol]
        if params.symbol
        else [symbol.symbol for symbol in await desk.get_symbols() if symbol.exchange == params.exchange]
    )
    if not 0 < len(symbols) <= SYMBOLS_MAX:
        raise Refused(
            "INVALID_PARAMS", f"{params.exchange!r} has {len(symbols)} symbols, a stream takes 1 to {SYMBOLS_MAX}: name one"
        )
    topics = [public_trades_topic(params.exchange, symbol) for symbol in symbols]
    return _watch(desk, topics, cursor_of(params.after, topics))


async def _watch(desk: Desk, topics: Sequence[str], after: Cursor | None) -> AsyncGenerator[Json]:
    """Every trade once, in order; a gap item stands where some may be missing: `get_trades` has them. Raises: SlowConsumer

    Trades of one message travel together, so only the last of them has the cursor to go on from.
    """
    async with desk.bus.subscribe(topics, after, delivery=Delivery.QUEUE) as mailbox:
        async for topic, message in mailbox:
            if isinstance(message, Gap):
                yield gap_of(message)
            elif isinstance(message, MarketTrades):
                for number_here, trade in enumerate(message.trades, start=1):
                    is_last = number_here == len(message.trades)
                    cursor = text_of(mailbox.cursor(topic)) if is_last else None
                    yield {**render(message.exchange, message.symbol, trade), "cursor": cursor}


ENDPOINT = Endpoint(
    actions={"get_trades": Action(SomeTrades, get_trades)},
    streams={"stream_trade_updates": Stream(TradesOf, stream_trade_updates, "trade_update")},
)
