"""The catalogue over REST: exchanges and symbols as the ORM has them, with what the candle store holds of each."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from fullon_master_api.apis.orm.store import Orm
from fullon_master_api.apis.orm.symbols import SymbolFilter
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Exchange, Symbol, Timeframe
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.ohlcv.asked import Catalogue, Ohlcv, Who, find_symbol
from fullon_master_api.rest.ohlcv.bodies import instant_ns, json_body, now

router = APIRouter(tags=["OHLCV catalogue"], responses=ANSWERS)
PAGE: Final = 500
EXCHANGES_MAX: Final = 500

SymbolLimit = Annotated[int, Query(ge=1, le=1000, description="Rows at most.")]
SearchLimit = Annotated[int, Query(ge=1, le=500, description="Rows at most.")]
Offset = Annotated[int, Query(ge=0, le=100_000, description="Rows to leave out.")]


@router.get("/exchanges")
async def get_exchanges(who: Who, orm: Catalogue) -> Response:
    page = await orm.exchanges.page(first=EXCHANGES_MAX, order="name", total=True)
    rows = [exchange_row(exchange) for exchange in page.rows]
    return json_body(said(f"{len(rows)} exchanges") | {"exchanges": rows, "count": len(rows), "total_available": page.total})


@router.get("/exchanges/{exchange}/info")
async def get_exchange_info(exchange: str, who: Who, orm: Catalogue) -> Response:
    found = await find_exchange(orm, exchange)
    (page,) = await orm.symbols.of_exchanges([found.cat_ex_id], first=PAGE)
    body = {"exchange": found.name, "info": exchange_row(found) | {"symbols": len(page.rows), "more_symbols": page.has_next}}
    return json_body(said(f"exchange {found.name}") | body)


@router.get("/exchanges/{exchange}/status")
async def get_exchange_status(exchange: str, who: Who, orm: Catalogue, store: Ohlcv) -> Response:
    """Whether trades are collected of its symbols, and when the newest one was made."""
    found = await find_exchange(orm, exchange)
    (page,) = await orm.symbols.of_exchanges([found.cat_ex_id], first=PAGE)
    newest = await store.last_candles([(found.name, symbol.symbol) for symbol in page.rows], Timeframe.MINUTE_1)
    opened = [candle.opened_ns for candle in newest if candle is not None]
    body = {
        "exchange": found.name,
        "status": "collected" if opened else "empty",
        "symbols": len(page.rows),
        "symbols_with_data": len(opened),
        "newest_candle": instant_ns(max(opened)) if opened else None,
    }
    return json_body(said(f"status of {found.name}") | body)


@router.get("/exchanges/{exchange}/validate")
async def validate_exchange(exchange: str, who: Who, orm: Catalogue) -> Response:
    (found,) = await orm.exchanges.by_names([exchange])
    answer = "is" if found else "is not"
    body = {"exchange": exchange, "valid": found is not None}
    return json_body(said(f"exchange {exchange} {answer} in the catalogue") | body)


@router.get("/exchanges/{exchange}/symbols")
async def get_symbols(exchange: str, who: Who, orm: Catalogue, limit: SymbolLimit = 100, offset: Offset = 0) -> Response:
    found = await find_exchange(orm, exchange)
    symbols = await read_symbols(orm, offset + limit, SymbolFilter(exchange=found.name))
    rows = [symbol_row(symbol) for symbol in symbols[0][offset:]]
    pagination = {"limit": limit, "offset": offset, "total": symbols[1], "has_more": offset + len(rows) < symbols[1]}
    body = {"exchange": found.name, "symbols": rows, "count": len(rows), "pagination": pagination}
    return json_body(said(f"{len(rows)} symbols of {found.name}") | body)


@router.get("/exchanges/{exchange}/symbols/{symbol:path}/info")
async def get_symbol_info(exchange: str, symbol: str, who: Who, orm: Catalogue) -> Response:
    found = await find_symbol(orm, exchange, symbol)
    return json_body(said(f"symbol {symbol} of {exchange}") | {"exchange": exchange, "symbol": symbol, "info": symbol_row(found)})


@router.get("/exchanges/{exchange}/symbols/{symbol:path}/metadata")
async def get_symbol_metadata(exchange: str, symbol: str, who: Who, orm: Catalogue, store: Ohlcv) -> Response:
    """The symbol with what is stored of it: the spans of complete trades and candles, the newest candle."""
    found = await find_symbol(orm, exchange, symbol)
    key = (exchange, symbol)
    (trades,) = await store.coverage([key])
    (candles,) = await store.coverage([key], Timeframe.MINUTE_1)
    (newest,) = await store.last_candles([key], Timeframe.MINUTE_1)
    metadata = symbol_row(found) | {
        "trades_covered": [{"start": instant_ns(span.start_ns), "end": instant_ns(span.end_ns)} for span in trades],
        "candles_covered": [{"start": instant_ns(span.start_ns), "end": instant_ns(span.end_ns)} for span in candles],
        "newest_candle": instant_ns(newest.opened_ns) if newest else None,
        "timeframes": [timeframe.value for timeframe in Timeframe],
    }
    return json_body(said(f"data of {symbol} of {exchange}") | {"exchange": exchange, "symbol": symbol, "metadata": metadata})


@router.get("/symbols/search")
async def search_symbols(
    who: Who,
    orm: Catalogue,
    q: Annotated[str, Query(min_length=1, max_length=100, description="Part of a symbol, in any case.")],
    exchange: str | None = None,
    limit: SearchLimit = 50,
) -> Response:
    rows, total = await read_symbols(orm, limit, SymbolFilter(exchange=exchange, search=q))
    body = {
        "query": q,
        "exchange_filter": exchange,
        "results": [symbol_row(symbol) for symbol in rows],
        "count": len(rows),
        "total_matches": total,
        "truncated": total > len(rows),
    }
    return json_body(said(f"{total} symbols match {q!r}") | body)


async def read_symbols(orm: Orm, count: int, filters: SymbolFilter) -> tuple[list[Symbol], int]:
    """The first `count` symbols by name, and how many there are."""
    page = await orm.symbols.page(filters=filters, order="symbol", first=min(count, PAGE), total=True)
    rows, total = page.rows, page.total or 0
    while page.has_next and len(rows) < count:
        after = page.cursors[-1]
        page = await orm.symbols.page(filters=filters, order="symbol", first=min(count - len(rows), PAGE), after=after)
        rows = [*rows, *page.rows]
    return rows, total


async def find_exchange(orm: Orm, name: str) -> Exchange:
    """Raises: NotFound."""
    (found,) = await orm.exchanges.by_names([name])
    if found is None:
        raise NotFound(f"Exchange '{name}' not found")
    return found


def said(message: str) -> dict[str, Any]:
    return {"success": True, "message": message, "timestamp": now()}


def exchange_row(exchange: Exchange) -> dict[str, Any]:
    return {"name": exchange.name, "cat_ex_id": exchange.cat_ex_id, "ohlcv_view": exchange.ohlcv_view}


def symbol_row(symbol: Symbol) -> dict[str, Any]:
    return {
        "symbol": symbol.symbol,
        "exchange": symbol.exchange,
        "base_currency": symbol.base,
        "quote_currency": symbol.quote,
        "symbol_id": symbol.symbol_id,
        "decimals": symbol.decimals,
        "futures": symbol.futures,
        "active": symbol.active,
        "updateframe": symbol.updateframe,
        "backtest": symbol.backtest,
    }
