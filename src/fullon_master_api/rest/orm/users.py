"""`/users`: who is there, and the caller themself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from fullon_master_api.apis.orm.database import must_be_admin
from fullon_master_api.apis.orm.users import UserFilter, may_set_password
from fullon_master_api.rest.faults import ANSWERS
from fullon_master_api.rest.orm.asked import Caller, Id, Logins, PageNumber, PageSize, Store, found, page_response
from fullon_master_api.rest.orm.exact import ExactRoute, exact_response
from fullon_master_api.rest.orm.shapes import USER

router = APIRouter(prefix="/users", tags=["users"], route_class=ExactRoute, responses=ANSWERS)

Password = Annotated[str, Field(min_length=1, max_length=256)]


class UserChange(BaseModel):
    """Fields of a user; a user may change their own name, lastname, phone and id_num, an admin all."""

    model_config = ConfigDict(extra="forbid")

    mail: str | None = Field(None, max_length=80)
    role: str | None = Field(None, max_length=10)
    name: str | None = Field(None, max_length=50)
    lastname: str | None = Field(None, max_length=50)
    phone: str | None = Field(None, max_length=20)
    id_num: str | None = Field(None, max_length=15)
    note: str | None = Field(None, max_length=10_000)
    manager: int | None = Field(None, ge=1, le=2**63 - 1)
    external_id: str | None = Field(None, max_length=80)
    active: bool | None = None


class NewUser(UserChange):
    """A user with their first password."""

    mail: str = Field(max_length=80)
    password: Password


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: Password
    current_password: str = Field("", max_length=256, description="Asked for where the password is the caller's own")


@router.get("", summary="Users: all of them for an admin, else the caller", response_model=USER.many)
async def users(caller: Caller, orm: Store, page: PageNumber = 1, page_size: PageSize = 50) -> Response:
    rows = await orm.users.page(caller, first=page_size, offset=(page - 1) * page_size)
    return page_response(rows, USER.body)


@router.get("/me", summary="The caller", response_model=USER.model)
async def me(caller: Caller, orm: Store) -> Response:
    return exact_response(USER.body(found(await orm.users.get_many([caller.uid], caller), "no such user")))


@router.get("/by-email/{email}", summary="A user by their mail", response_model=USER.model)
async def by_email(email: str, caller: Caller, orm: Store) -> Response:
    return exact_response(USER.body(found(await orm.users.by_mails([email], caller), "no user of that mail")))


@router.get("/search", summary="Users whose name or mail holds a text", response_model=USER.many)
async def search(
    caller: Caller,
    orm: Store,
    q: Annotated[str | None, Query(max_length=80)] = None,
    query: Annotated[str | None, Query(max_length=80)] = None,
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> Response:
    filters = UserFilter(search=q if q is not None else query)
    rows = await orm.users.page(caller, filters=filters, first=page_size, offset=(page - 1) * page_size)
    return page_response(rows, USER.body)


@router.get("/active", summary="Users who are switched on", response_model=USER.many)
async def active(caller: Caller, orm: Store, page: PageNumber = 1, page_size: PageSize = 50) -> Response:
    filters = UserFilter(active=True)
    rows = await orm.users.page(caller, filters=filters, first=page_size, offset=(page - 1) * page_size)
    return page_response(rows, USER.body)


@router.post("/", summary="Add a user (admin)", response_model=USER.model)
async def add(body: NewUser, caller: Caller, orm: Store, logins: Logins) -> Response:
    must_be_admin(caller)  # Before the work of hashing, so that nobody else can have it done.
    password_hash = await logins.hash_password(body.password)
    values = body.model_dump(exclude_unset=True, exclude={"password"})
    return exact_response(USER.body(await orm.users.add(caller, values, password_hash=password_hash)))


@router.get("/{user_id}", summary="A user", response_model=USER.model)
async def user(user_id: Id, caller: Caller, orm: Store) -> Response:
    return exact_response(USER.body(found(await orm.users.get_many([user_id], caller), f"no user {user_id}")))


@router.patch("/{user_id}", summary="Change a user", response_model=USER.model)
@router.put("/{user_id}", summary="Change a user", response_model=USER.model, include_in_schema=False)
async def modify(user_id: Id, body: UserChange, caller: Caller, orm: Store, logins: Logins) -> Response:
    changed = await orm.users.modify(user_id, caller, body.model_dump(exclude_unset=True))
    logins.forget(user_id)
    return exact_response(USER.body(changed))


@router.delete("/{user_id}", summary="Remove a user who never traded (admin)", response_model=USER.model)
async def remove(user_id: Id, caller: Caller, orm: Store, logins: Logins) -> Response:
    removed = await orm.users.remove(user_id, caller)
    logins.forget(user_id)
    return exact_response(USER.body(removed))


@router.patch("/{user_id}/password", summary="Set a password and end every session", response_model=USER.model)
async def password(user_id: Id, body: NewPassword, caller: Caller, orm: Store, logins: Logins) -> Response:
    known = found(await orm.users.get_many([user_id], caller), f"no user {user_id}")
    may_set_password(caller)  # Before the work of hashing.
    if user_id == caller.uid:
        await logins.check_password(caller, body.current_password)
    await orm.users.set_password_hash(user_id, await logins.hash_password(body.password), caller)
    logins.forget(user_id)
    return exact_response(USER.body(known))


@router.patch("/{user_id}/toggle-active", summary="Switch a user off or on (admin)", response_model=USER.model)
async def toggle_active(user_id: Id, caller: Caller, orm: Store, logins: Logins) -> Response:
    toggled = await orm.users.toggle_active(user_id, caller)
    logins.forget(user_id)
    return exact_response(USER.body(toggled))
