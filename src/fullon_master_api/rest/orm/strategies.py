"""`/strategies`: the catalogue, and the strategies of bots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm import Orm
from fullon_master_api.model import Principal, Strategy
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import After, Caller, Id, Limit, QueryId, Store, found, page_response
from fullon_master_api.rest.orm.bots import must_find
from fullon_master_api.rest.orm.exact import ExactRoute, Number, exact_response
from fullon_master_api.rest.orm.shapes import STRATEGY, TEMPLATE

router = APIRouter(prefix="/strategies", tags=["strategies"], route_class=ExactRoute, responses=ANSWERS)

Value = str | int | Number | bool | None
Parameters = Annotated[dict[Annotated[str, Field(max_length=80)], Value], Field(max_length=100)]
Small = Annotated[int, Field(ge=0, le=32_767)]


class StrategyChange(BaseModel):
    """Fields of a strategy; `parameters` are set one by one, those that are not named stay."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=80)
    active: bool | None = None
    take_profit: Number | None = None
    stop_loss: Number | None = None
    trailing_stop: Number | None = None
    timeout: Number | None = None
    leverage: Number | None = None
    size_pct: Number | None = None
    size: Number | None = None
    size_currency: str | None = Field(None, max_length=20)
    pre_load_bars: Small | None = None
    feeds: Small | None = None
    pairs: bool | None = None
    parameters: Parameters | None = None


class NewStrategy(StrategyChange):
    bot_id: int = Field(ge=0, le=2**63 - 1)
    cat_str_id: int = Field(ge=0, le=2**63 - 1)


class NewTemplate(BaseModel):
    """A strategy for the catalogue; risk values in percent."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=50)
    description: str | None = Field(None, max_length=10_000)
    class_name: str | None = Field(None, max_length=80)
    take_profit: Number | None = None
    stop_loss: Number | None = None
    trailing_stop: Number | None = None
    timeout: Number | None = None
    pre_load_bars: Small = 200
    feeds: Small = 2
    pairs: bool = False
    parameters: Parameters | None = None


class CatalogStrategyId(BaseModel):
    cat_str_id: int


def texts(parameters: dict[str, Value] | None) -> dict[str, str]:
    """Parameters as they are stored: numbers by their digits, true and false by their words."""
    return {name: _text(value) for name, value in (parameters or {}).items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else format(value, "f" if not isinstance(value, int) else "d")


async def _bodies(orm: Orm, caller: Principal, strategies: Sequence[Strategy]) -> list[dict[str, Any]]:
    params = await orm.strategies.params_of([strategy.str_id for strategy in strategies], caller)
    return [STRATEGY.body(row) | {"parameters": few} for row, few in zip(strategies, params, strict=True)]


@router.get("/catalog", summary="Strategies of the catalogue", response_model=TEMPLATE.many)
async def catalog(caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    return page_response(await orm.templates.page(caller, first=limit, after=after), TEMPLATE.body)


@router.post("/catalog", summary="Add a strategy to the catalogue (admin)", response_model=TEMPLATE.model)
async def install(body: NewTemplate, caller: Caller, orm: Store) -> Response:
    values = body.model_dump(exclude={"parameters"}, exclude_none=True)
    return exact_response(TEMPLATE.body(await orm.templates.install(caller, values, params=texts(body.parameters))))


@router.get("/catalog-id", summary="Number of a strategy of the catalogue", response_model=CatalogStrategyId)
async def catalog_id(name: Annotated[str, Query(max_length=50)], caller: Caller, orm: Store) -> Response:
    template = found(await orm.templates.by_names([name], caller), f"no strategy {name!r} in the catalogue")
    return exact_response({"cat_str_id": template.cat_str_id})


@router.get("/catalog/{cat_str_id}", summary="A strategy of the catalogue", response_model=TEMPLATE.model)
async def template(cat_str_id: Id, caller: Caller, orm: Store) -> Response:
    words = f"no strategy {cat_str_id} in the catalogue"
    return exact_response(TEMPLATE.body(found(await orm.templates.get_many([cat_str_id], caller), words)))


@router.delete("/catalog/{cat_str_id}", summary="Remove a strategy of the catalogue (admin)", response_model=TEMPLATE.model)
async def remove_template(cat_str_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(TEMPLATE.body(await orm.templates.remove(cat_str_id, caller)))


@router.get("/catalog/{cat_str_id}/params", summary="Default parameters of a strategy of the catalogue")
async def template_params(cat_str_id: Id, caller: Caller, orm: Store) -> dict[str, str]:
    found(await orm.templates.get_many([cat_str_id], caller), f"no strategy {cat_str_id} in the catalogue")
    return (await orm.templates.params_of([cat_str_id]))[0]


@router.get("/bot-strategies", summary="Strategies of a bot", response_model=STRATEGY.many)
async def bot_strategies(bot_id: QueryId, caller: Caller, orm: Store) -> Response:
    await must_find(orm, bot_id, caller)
    return exact_response(await _bodies(orm, caller, (await orm.strategies.of_bots([bot_id], caller))[0]))


@router.post("/bot-strategies", summary="Attach a strategy to a bot", response_model=STRATEGY.model)
async def add(body: NewStrategy, caller: Caller, orm: Store) -> Response:
    values = body.model_dump(exclude={"parameters"}, exclude_none=True)
    strategy = await orm.strategies.add(caller, values, params=texts(body.parameters))
    return exact_response((await _bodies(orm, caller, [strategy]))[0])


@router.get("/bot-strategies/{str_id}", summary="A strategy of a bot", response_model=STRATEGY.model)
async def strategy(str_id: Id, caller: Caller, orm: Store) -> Response:
    known = found(await orm.strategies.get_many([str_id], caller), f"no strategy {str_id}")
    return exact_response((await _bodies(orm, caller, [known]))[0])


@router.put("/bot-strategies/{str_id}", summary="Change a strategy of a bot", response_model=STRATEGY.model)
async def modify(str_id: Id, body: StrategyChange, caller: Caller, orm: Store) -> Response:
    values = body.model_dump(exclude={"parameters"}, exclude_unset=True)
    changed = await orm.strategies.modify(str_id, caller, values, params=texts(body.parameters))
    return exact_response((await _bodies(orm, caller, [changed]))[0])


@router.put("/bot-strategies/{str_id}/params", summary="Set parameters of a strategy of a bot", response_model=STRATEGY.model)
async def set_params(str_id: Id, body: Parameters, caller: Caller, orm: Store) -> Response:
    changed = await orm.strategies.modify(str_id, caller, {}, params=texts(body))
    return exact_response((await _bodies(orm, caller, [changed]))[0])


@router.delete("/bot-strategies/{str_id}", summary="Remove a strategy of a bot", response_model=STRATEGY.model)
async def remove(str_id: Id, caller: Caller, orm: Store) -> Response:
    known = found(await orm.strategies.get_many([str_id], caller), f"no strategy {str_id}")
    (body,) = await _bodies(orm, caller, [known])
    await orm.strategies.remove(str_id, caller)
    return exact_response(body)


@router.get("/user-strategies", summary="Strategies of all the caller's bots", response_model=STRATEGY.many)
async def user_strategies(caller: Caller, orm: Store) -> Response:
    return exact_response(await _bodies(orm, caller, (await orm.strategies.of_users([caller.uid], caller))[0]))
