"""Exchanges, symbols and their market data: where the catalogue, the candle store and the cache meet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fullon_master_api.apis.ohlcv import Fill, Interval
from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.symbols import SymbolFilter
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.executor.fields import reads
from fullon_master_api.executor.fragments import Lasting
from fullon_master_api.model import Candle, CandleColumns, Exchange, MarketTrade, Symbol, Ticker, Timeframe
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NAMES_MAX: Final = 500


# ---- root fields -------------------------------------------------------------------------------------------------------


async def exchange(ctx: Context, *, name: str, wanted: Wanted = None) -> Exchange | None:
    ctx.require_user()
    return (await ctx.stores.orm.exchanges.by_names([name], wanted=wanted))[0]


async def exchanges(ctx: Context, *, first: int = 50, after: str | None = None, wanted: Wanted = None) -> Page[Exchange]:
    return await ctx.stores.orm.exchanges.page(ctx.user, first=first, after=after, wanted=wanted)


async def symbol(ctx: Context, *, exchange: str, symbol: str, wanted: Wanted = None) -> Symbol:
    """Raises NotFound, as every other door to a symbol does."""
    ctx.require_user()
    found = (await ctx.stores.orm.symbols.by_names([(exchange, symbol)], wanted=wanted))[0]
    if found is None:
        raise unknown(exchange, symbol)
    return found


async def symbols(
    ctx: Context,
    *,
    exchange: str | None = None,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> Page[Symbol]:
    return await ctx.stores.orm.symbols.page(
        ctx.user,
        filters=SymbolFilter(exchange=exchange),
        matching=condition_of(filter),
        order=order_of(order_by),
        first=first,
        after=after,
        wanted=wanted,
    )


async def ticker(ctx: Context, *, exchange: str, symbol: str) -> Ticker | None:
    await known_symbols(ctx, exchange, [symbol])
    return (await ctx.stores.cache.tickers.get_many([(exchange, symbol)]))[0]


async def tickers(ctx: Context, *, exchange: str, symbols: list[str] | None = None) -> list[Ticker]:
    """Of these symbols, in their order and without those never seen; of all symbols of the exchange where none are named."""
    if symbols is None:
        ctx.require_user()
        return await ctx.stores.cache.tickers.all(exchange)
    await known_symbols(ctx, exchange, symbols)
    found = await ctx.stores.cache.tickers.get_many([(exchange, name) for name in symbols])
    return [ticker for ticker in found if ticker is not None]


async def known_symbols(ctx: Context, exchange: str, names: Sequence[str]) -> None:
    """For a signed-in caller. Raises NotFound for the first of these names that the catalogue does not have."""
    ctx.require_user()
    if not 1 <= len(names) <= NAMES_MAX:
        raise BadUserInput(f"symbols had {len(names)} names, must have 1 to {NAMES_MAX}", path=("symbols",))
    missing = await ctx.stores.orm.symbols.missing([(exchange, name) for name in names])
    if missing:
        raise unknown(exchange, missing[0][1])


def unknown(exchange: str, symbol: str) -> NotFound:
    return NotFound(f"no symbol {symbol[:60]!r} on {exchange[:60]!r}", path=("symbol",))


# ---- fields ------------------------------------------------------------------------------------------------------------


@reads("cat_ex_id")
async def symbols_of_exchanges(
    exchanges: Sequence[Exchange],
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
    wanted: Wanted = None,
) -> list[Page[Symbol]]:
    cat_ex_ids, matching = [row.cat_ex_id for row in exchanges], condition_of(filter)
    return await ctx.stores.orm.symbols.of_exchanges(
        cat_ex_ids, matching=matching, order=order_of(order_by), first=first, after=after, wanted=wanted
    )


@reads("cat_ex_id")
async def exchanges_of_symbols(symbols: Sequence[Symbol], ctx: Context, *, wanted: Wanted = None) -> list[Exchange | None]:
    return await ctx.stores.orm.exchanges.get_many([symbol.cat_ex_id for symbol in symbols], wanted=wanted)


@reads("exchange", "symbol")
async def tickers_of_symbols(symbols: Sequence[Symbol], ctx: Context) -> list[Ticker | None]:
    return await ctx.stores.cache.tickers.get_many([(symbol.exchange, symbol.symbol) for symbol in symbols])


async def symbols_of_tickers(tickers: Sequence[Ticker], ctx: Context, *, wanted: Wanted = None) -> list[Symbol | None]:
    return await ctx.stores.orm.symbols.by_names([(ticker.exchange, ticker.symbol) for ticker in tickers], wanted=wanted)


@reads("exchange", "symbol")
async def candles_of_symbols(
    symbols: Sequence[Symbol],
    ctx: Context,
    *,
    timeframe: Timeframe,
    limit: int = 100,
    start: datetime | None = None,
    end: datetime | None = None,
    fill: Fill = Fill.NONE,
    zone: str = "UTC",
) -> Sequence[list[Candle]]:
    keys, span = _keys(symbols), (timeframe, start, end, limit, fill, zone)
    found = await ctx.stores.ohlcv.candles(
        keys, timeframe, start_ns=to_ns(start), end_ns=to_ns(end), limit=limit, fill=fill, zone=zone
    )
    return [Lasting(candles, (key, span)) for key, candles in zip(keys, found, strict=True)]


@reads("exchange", "symbol")
async def candle_columns_of_symbols(
    symbols: Sequence[Symbol],
    ctx: Context,
    *,
    timeframe: Timeframe,
    limit: int = 100,
    start: datetime | None = None,
    end: datetime | None = None,
    fill: Fill = Fill.NONE,
    zone: str = "UTC",
) -> list[CandleColumns]:
    return await ctx.stores.ohlcv.columns(
        _keys(symbols), timeframe, start_ns=to_ns(start), end_ns=to_ns(end), limit=limit, fill=fill, zone=zone
    )


@reads("exchange", "symbol")
async def coverage_of_symbols(
    symbols: Sequence[Symbol], ctx: Context, *, timeframe: Timeframe | None = None
) -> list[list[Interval]]:
    if timeframe not in (None, Timeframe.MINUTE_1, Timeframe.HOUR_1, Timeframe.DAY_1):
        raise BadUserInput(f"timeframe was {timeframe.name}, must be MINUTE_1, HOUR_1 or DAY_1: the others are not stored")
    return await ctx.stores.ohlcv.coverage(_keys(symbols), timeframe)


@reads("exchange", "symbol")
async def trades_of_symbols(
    symbols: Sequence[Symbol], ctx: Context, *, limit: int = 100, start: datetime | None = None, end: datetime | None = None
) -> list[list[MarketTrade]]:
    return await ctx.stores.ohlcv.trades(_keys(symbols), start_ns=to_ns(start), end_ns=to_ns(end), limit=limit)


def to_ns(instant: datetime | None) -> int | None:
    """UTC nanoseconds since 1970, exactly."""
    return None if instant is None else (instant - EPOCH) // timedelta(microseconds=1) * 1_000


def _keys(symbols: Sequence[Symbol]) -> list[tuple[str, str]]:
    return [(symbol.exchange, symbol.symbol) for symbol in symbols]
