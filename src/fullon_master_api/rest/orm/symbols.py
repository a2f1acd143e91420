"""`/symbols`: symbols at exchanges."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm.symbols import SymbolFilter
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import After, Caller, Id, Limit, QueryId, Store, found, page_response
from fullon_master_api.rest.orm.exact import ExactRoute, exact_response
from fullon_master_api.rest.orm.shapes import SYMBOL

router = APIRouter(prefix="/symbols", tags=["symbols"], route_class=ExactRoute, responses=ANSWERS)

Digits = Annotated[int | None, Field(ge=0, le=18)]


class SymbolChange(BaseModel):
    """Fields of a symbol; `base_asset`, `quote_asset` and `price_decimals` are other words for base, quote and decimals."""

    model_config = ConfigDict(extra="forbid")

    symbol: str | None = Field(None, min_length=1, max_length=40)
    base: str | None = Field(None, max_length=20)
    base_asset: str | None = Field(None, max_length=20)
    quote: str | None = Field(None, max_length=20)
    quote_asset: str | None = Field(None, max_length=20)
    ex_base: str | None = Field(None, max_length=20)
    updateframe: str | None = Field(None, max_length=3)
    backtest: int | None = Field(None, ge=0, le=32_767, description="days of history to collect")
    decimals: Digits = None
    price_decimals: Digits = None
    quantity_decimals: Digits = None
    futures: bool | None = None
    only_ticker: bool | None = None
    active: bool | None = None

    def values(self) -> dict[str, Any]:
        """The store's words; null is as good as absent."""
        words = {"base_asset": "base", "quote_asset": "quote", "price_decimals": "decimals"}
        given = self.model_dump(exclude_none=True)
        return {words.get(name, name): value for name, value in given.items()}


class NewSymbol(SymbolChange):
    symbol: str = Field(min_length=1, max_length=40)
    cat_ex_id: int = Field(ge=0, le=2**63 - 1)


class Decimals(BaseModel):
    """Digits behind the point."""

    symbol: str
    exchange_name: str
    decimals: int
    price_decimals: int
    quantity_decimals: int


@router.get("/by-exchange", summary="Symbols of an exchange", response_model=SYMBOL.many)
async def by_exchange(cat_ex_id: QueryId, caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    page = await orm.symbols.page(caller, filters=SymbolFilter(cat_ex_id=cat_ex_id), first=limit, after=after)
    return page_response(page, SYMBOL.body)


@router.get("/search", summary="Symbols that hold a text", response_model=SYMBOL.many)
async def search(
    q: Annotated[str, Query(max_length=40)],
    caller: Caller,
    orm: Store,
    cat_ex_id: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    filters = SymbolFilter(search=q, cat_ex_id=cat_ex_id)
    return page_response(await orm.symbols.page(caller, filters=filters, first=limit, after=after), SYMBOL.body)


@router.get("/decimals", summary="Digits of a symbol's price and quantity", response_model=Decimals)
async def decimals(
    symbol: Annotated[str, Query(max_length=40)],
    caller: Caller,
    orm: Store,
    cat_ex_id: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
) -> Response:
    """Of the first exchange that has the symbol, if none is named."""
    filters = SymbolFilter(symbol=symbol, cat_ex_id=cat_ex_id)
    page = await orm.symbols.page(caller, filters=filters, first=1)
    body = SYMBOL.body(found([*page.rows, None], f"no symbol {symbol!r}"))
    return exact_response({name: body[name] for name in Decimals.model_fields})


@router.post("", summary="Add a symbol (admin)", response_model=SYMBOL.model)
@router.post("/", summary="Add a symbol (admin)", response_model=SYMBOL.model, include_in_schema=False)
async def add(body: NewSymbol, caller: Caller, orm: Store) -> Response:
    return exact_response(SYMBOL.body(await orm.symbols.add(caller, body.values())))


@router.patch("/{symbol_id}", summary="Change a symbol (admin)", response_model=SYMBOL.model)
async def modify(symbol_id: Id, body: SymbolChange, caller: Caller, orm: Store) -> Response:
    return exact_response(SYMBOL.body(await orm.symbols.modify(symbol_id, caller, body.values())))
