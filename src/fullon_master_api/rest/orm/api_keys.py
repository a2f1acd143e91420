"""`/api_keys`: keys of the caller, and of anybody for an admin."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm import Orm
from fullon_master_api.auth.sessions import new_api_key
from fullon_master_api.model import Principal
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import After, Caller, Id, Limit, Store, found, page_response
from fullon_master_api.rest.orm.exact import ExactRoute, exact_response
from fullon_master_api.rest.orm.shapes import API_KEY

router = APIRouter(prefix="/api_keys", tags=["api_keys"], route_class=ExactRoute, responses=ANSWERS)


class KeyChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=80)
    description: str | None = Field(None, max_length=10_000)
    is_active: bool | None = None
    expires_at: AwareDatetime | None = None


class NewKey(BaseModel):
    """A key. It may do no more than who makes it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80)
    description: str | None = Field(None, max_length=10_000)
    scopes: str = Field("read", max_length=80, description="words between commas: read, write, admin")
    expires_at: AwareDatetime | None = Field(None, description="RFC 3339 with a time zone")


class NewKeyFor(NewKey):
    """A key of another user."""

    uid: int = Field(ge=0, le=2**63 - 1)


class MadeKey(API_KEY.model):  # type: ignore[name-defined,misc]
    """The key's row and, this once, the key itself."""

    key: str


@router.post("/me", summary="Make a key; it is shown this once", response_model=MadeKey)
async def add(body: NewKey, caller: Caller, orm: Store) -> Response:
    return exact_response(await _made(body, caller.uid, caller, orm))


@router.get("/me", summary="The caller's keys", response_model=API_KEY.many)
async def mine(caller: Caller, orm: Store) -> Response:
    return exact_response([API_KEY.body(key) for key in (await orm.api_keys.of_users([caller.uid], caller))[0]])


@router.get("/", summary="Keys: of all users for an admin, else the caller's", response_model=API_KEY.many)
async def keys(caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    return page_response(await orm.api_keys.page(caller, first=limit, after=after), API_KEY.body)


@router.post("/", summary="Make a key for a user (admin)", response_model=MadeKey)
async def add_for(body: NewKeyFor, caller: Caller, orm: Store) -> Response:
    return exact_response(await _made(body, body.uid, caller, orm))


@router.get("/active", summary="Keys that are switched on", response_model=API_KEY.many)
async def active(caller: Caller, orm: Store, limit: Limit = 100, after: After = None) -> Response:
    return page_response(await orm.api_keys.page(caller, active=True, first=limit, after=after), API_KEY.body)


@router.get("/{api_key_id}", summary="A key's row", response_model=API_KEY.model)
async def key(api_key_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(API_KEY.body(found(await orm.api_keys.get_many([api_key_id], caller), f"no API key {api_key_id}")))


@router.patch("/{api_key_id}", summary="Change a key", response_model=API_KEY.model)
async def modify(api_key_id: Id, body: KeyChange, caller: Caller, orm: Store) -> Response:
    return exact_response(API_KEY.body(await orm.api_keys.modify(api_key_id, caller, body.model_dump(exclude_unset=True))))


@router.delete("/{api_key_id}", summary="Remove a key", response_model=API_KEY.model)
async def remove(api_key_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(API_KEY.body(await orm.api_keys.remove(api_key_id, caller)))


@router.patch("/{api_key_id}/activate", summary="Switch a key on", response_model=API_KEY.model)
async def activate(api_key_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(API_KEY.body(await orm.api_keys.modify(api_key_id, caller, {"is_active": True})))


@router.patch("/{api_key_id}/deactivate", summary="Switch a key off", response_model=API_KEY.model)
async def deactivate(api_key_id: Id, caller: Caller, orm: Store) -> Response:
    """The number is the key's. The original's clients give the owner's uid instead: a request that is made with a key and
    gives its owner's uid switches that key off.
    """
    if caller.api_key_id is not None and api_key_id == caller.uid:
        api_key_id = caller.api_key_id
    return exact_response(API_KEY.body(await orm.api_keys.deactivate(api_key_id, caller)))


async def _made(body: NewKey, uid: int, caller: Principal, orm: Orm) -> dict[str, Any]:
    made = new_api_key()
    row = await orm.api_keys.add(
        caller,
        key_hash=made.key_hash,
        prefix=made.prefix,
        name=body.name,
        description=body.description,
        scopes=[word for word in body.scopes.split(",") if word.strip()],
        expires_at=body.expires_at,
        uid=uid,
    )
    return API_KEY.body(row) | {"key": made.key}
