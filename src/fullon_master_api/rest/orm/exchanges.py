"""`/exchanges`: the catalogue, and the caller's accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.apis.orm.symbols import SymbolFilter
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import (
    After,
    Caller,
    Id,
    Limit,
    PageNumber,
    PageSize,
    Store,
    found,
    page_response,
)
from fullon_master_api.rest.orm.exact import ExactRoute, exact_response
from fullon_master_api.rest.orm.shapes import ACCOUNT, EXCHANGE, SYMBOL

router = APIRouter(prefix="/exchanges", tags=["exchanges"], route_class=ExactRoute, responses=ANSWERS)

Credential = Annotated[str | None, Field(max_length=500, description="write only: it is never answered")]


class AccountChange(BaseModel):
    """Fields of an account. `is_testnet` is the original's word for `test`; key and secret come together."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=50)
    is_testnet: bool | None = None
    test: bool | None = None
    active: bool | None = None
    api_key: Credential = None
    api_secret: Credential = None

    def values(self) -> dict[str, object]:
        """What the store is given; a field that is null is as good as absent."""
        given = self.model_dump(exclude={"api_key", "api_secret", "is_testnet"}, exclude_none=True)
        return given | ({} if self.is_testnet is None else {"test": self.is_testnet})

    def secrets(self) -> Secrets | None:
        """Raises: BadUserInput when only one of key and secret is there."""
        if not self.api_key and not self.api_secret:
            return None
        if not self.api_key or not self.api_secret:
            missing = "api_secret" if self.api_key else "api_key"
            raise BadUserInput(f"{missing} is missing: key and secret come together", path=(missing,))
        return Secrets(self.api_key, self.api_secret)


class NewAccount(AccountChange):
    cat_ex_id: int = Field(ge=0, le=2**63 - 1)
    name: str = Field(min_length=1, max_length=50)
    uid: int | None = Field(None, ge=0, le=2**63 - 1, description="the owner; the caller, if it is not given")


class ExchangeId(BaseModel):
    exchange_id: int


class CatalogId(BaseModel):
    cat_ex_id: int


@router.get("/catalog", summary="Exchanges of the catalogue", response_model=EXCHANGE.many)
async def catalog(
    caller: Caller,
    orm: Store,
    exchange: Annotated[str | None, Query(max_length=30)] = None,
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> Response:
    rows = await orm.exchanges.page(caller, name=exchange, first=page_size, offset=(page - 1) * page_size)
    return page_response(rows, EXCHANGE.body)


@router.get("/catalog/{cat_ex_id}/params", summary="Named values of an exchange")
async def params(cat_ex_id: Id, caller: Caller, orm: Store) -> dict[str, str]:
    found(await orm.exchanges.get_many([cat_ex_id], caller), f"no exchange {cat_ex_id} in the catalogue")
    return (await orm.exchanges.params_of([cat_ex_id]))[0]


@router.get("/catalog/{cat_ex_id}/symbols", summary="Symbols of an exchange", response_model=SYMBOL.many)
async def symbols(cat_ex_id: Id, caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    found(await orm.exchanges.get_many([cat_ex_id], caller), f"no exchange {cat_ex_id} in the catalogue")
    page = await orm.symbols.page(caller, filters=SymbolFilter(cat_ex_id=cat_ex_id), first=limit, after=after)
    return page_response(page, SYMBOL.body)


@router.get("/user-exchanges", summary="The caller's accounts", response_model=ACCOUNT.many)
async def user_exchanges(caller: Caller, orm: Store) -> Response:
    return exact_response([ACCOUNT.body(row) for row in (await orm.accounts.of_users([caller.uid], caller))[0]])


@router.post("/user-exchanges", summary="Add an account", response_model=ACCOUNT.model)
async def add(body: NewAccount, caller: Caller, orm: Store) -> Response:
    return exact_response(ACCOUNT.body(await orm.accounts.add(caller, body.values(), secrets=body.secrets())))


@router.patch("/user-exchanges/{ex_id}", summary="Change an account", response_model=ACCOUNT.model)
async def modify(ex_id: Id, body: AccountChange, caller: Caller, orm: Store) -> Response:
    return exact_response(ACCOUNT.body(await orm.accounts.modify(ex_id, caller, body.values(), secrets=body.secrets())))


@router.delete("/user-exchanges/{ex_id}", summary="Remove an account that never traded", response_model=ACCOUNT.model)
async def remove(ex_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(ACCOUNT.body(await orm.accounts.remove(ex_id, caller)))


@router.get("/id-by-name", summary="The caller's account of a name", response_model=ExchangeId)
async def id_by_name(name: Annotated[str, Query(max_length=50)], caller: Caller, orm: Store) -> Response:
    """By the account's own name, else by the name of its exchange."""
    (accounts,) = await orm.accounts.of_users([caller.uid], caller)
    wanted = name.lower()
    by_label = [account.ex_id for account in accounts if account.name.lower() == wanted]
    ids = by_label or [account.ex_id for account in accounts if account.exchange.lower() == wanted]
    if not ids:
        raise NotFound(f"no exchange account {name!r}")
    return exact_response({"exchange_id": ids[0]})


@router.get("/catalog-id", summary="Number of an exchange of the catalogue", response_model=CatalogId)
async def catalog_id(exchange_name: Annotated[str, Query(max_length=30)], caller: Caller, orm: Store) -> Response:
    exchange = found(await orm.exchanges.by_names([exchange_name.lower()], caller), f"no exchange {exchange_name!r}")
    return exact_response({"cat_ex_id": exchange.cat_ex_id})
