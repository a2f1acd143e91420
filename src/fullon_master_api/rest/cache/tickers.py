"""The tickers socket: one ticker, all of an exchange, or a stream of those that change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Annotated

import msgspec

from fullon_master_api.apis.cache import TickerKey
from fullon_master_api.bus import ticker_topic
from fullon_master_api.model import Gap, Principal, Ticker
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
    number,
    patiently,
    seconds,
)


class OneTicker(Params, frozen=True):
    exchange: Name
    symbol: Name


class OneExchange(Params, frozen=True):
    exchange: Name


class SomeTickers(Params, frozen=True):
    exchange: Name
    symbols: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=SYMBOLS_MAX)]


class Subscribe(Params, frozen=True):
    """`symbol` or `symbols`."""

    exchange: Name
    symbol: Name | None = None
    symbols: Annotated[list[Name], msgspec.Meta(max_length=SYMBOLS_MAX)] = []


def render(ticker: Ticker) -> Json:
    """The original's row; what the exchange did not say is null."""
    return {
        "symbol": ticker.symbol,
        "exchange": ticker.exchange,
        "price": number(ticker.last),
        "volume": number(ticker.volume),
        "timestamp": seconds(ticker.event_ns or ticker.received_ns),
        "bid": number(ticker.bid),
        "ask": number(ticker.ask),
        "change_24h": number(ticker.change),
    }


def render_bare(ticker: Ticker) -> Json:
    """The row for `subscribe`, with the time under both names that clients look for."""
    row = render(ticker)
    return {**row, "time": row["timestamp"], "sequence": ticker.sequence}


async def get_ticker(desk: Desk, _principal: Principal, params: OneTicker) -> Json:
    ticker = (await desk.cache.tickers.get_many([(params.exchange, params.symbol)]))[0]
    if ticker is None:
        raise Refused("TICKER_NOT_FOUND", f"no ticker of {params.symbol!r} on {params.exchange!r}")
    return render(ticker)


async def get_all_tickers(desk: Desk, _principal: Principal, params: OneExchange) -> Json:
    tickers = await desk.cache.tickers.all(params.exchange)
    return {"exchange": params.exchange, "tickers": [render(ticker) for ticker in tickers]}


async def stream_tickers(desk: Desk, _principal: Principal, params: SomeTickers) -> AsyncGenerator[Json]:
    return watch(desk, [(params.exchange, symbol) for symbol in params.symbols], render)


async def subscribe(desk: Desk, _principal: Principal, params: OneTicker) -> AsyncGenerator[Json]:
    return watch(desk, [(params.exchange, params.symbol)], render_bare)


def split(params: Subscribe) -> list[tuple[str, Params]]:
    """One part for each symbol that is named."""
    symbols = dict.fromkeys([*params.symbols, *([params.symbol] if params.symbol else [])])
    if not symbols:
        raise Refused("INVALID_PARAMS", "name a symbol or symbols")
    return [(f"{params.exchange}:{symbol}", OneTicker(params.exchange, symbol)) for symbol in symbols]


async def watch(desk: Desk, keys: Sequence[TickerKey], row: Callable[[Ticker], Json]) -> AsyncGenerator[Json]:
    """The tickers that are there, then each that changes: pushed, newest wins where the reader is slow."""
    asked = {ticker_topic(*key): key for key in keys}
    seen: dict[str, tuple[int, int]] = {}
    async with desk.bus.subscribe(list(asked)) as mailbox:
        for topic, ticker in zip(asked, await desk.cache.tickers.get_many(list(asked.values())), strict=True):
            if ticker is not None:
                seen[topic] = (ticker.received_ns, ticker.sequence)
                yield row(ticker)
        async for topic, message in mailbox:
            news: object = message
            if isinstance(message, Gap):
                news = (await patiently(partial(desk.cache.tickers.get_together, [asked[topic]])))[0]
            if not isinstance(news, Ticker):
                continue
            at = (news.received_ns, news.sequence)
            if at <= seen.get(topic, (0, 0)):
                continue  # It came between our place in the mailbox and the read of what is kept.
            seen[topic] = at
            yield row(news)


ENDPOINT = Endpoint(
    actions={"get_ticker": Action(OneTicker, get_ticker), "get_all_tickers": Action(OneExchange, get_all_tickers)},
    streams={
        "stream_tickers": Stream(SomeTickers, stream_tickers, "ticker_update"),
        "subscribe": Stream(Subscribe, subscribe, parts=split),
    },
)
