"""API keys: kept as a hash and a public prefix; the secret is shown once by whoever made it and is never here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Unpack

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database, Write, may_write, sees_all
from fullon_master_api.apis.orm.owned import Paging, owned_by
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import api_keys, users, utc_now
from fullon_master_api.apis.orm.users import PrincipalFacts
from fullon_master_api.errors import BadUserInput, Forbidden, NotFound
from fullon_master_api.model import ApiKey, Principal, Record, Role, Scope

TOUCH_EVERY: Final = timedelta(minutes=1)
_LISTING: Final = Listing(
    "api_keys",
    ApiKey,
    api_keys,
    api_keys.c.api_key_id,
    sorts={"api_key_id": api_keys.c.api_key_id, "created_at": api_keys.c.created_at, "name": api_keys.c.name},
    default="api_key_id",
)


class FoundKey(Record, frozen=True, kw_only=True):
    """A key that was presented, and the facts of the user it belongs to."""

    key: ApiKey
    owner: PrincipalFacts


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(api_keys.c.uid, principal)


class ApiKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_hash: str) -> FoundKey | None:
        """The key of a SHA-256 hash and its owner, in one statement. Whether it is active and not over, the caller judges."""
        owner = [users.c[name].label(f"owner_{name}") for name in PrincipalFacts.__struct_fields__]
        statement = (
            _LISTING.select(api_keys.c.key_hash == key_hash).join(users, users.c.uid == api_keys.c.uid).add_columns(*owner)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        key = ApiKey(**{name: row._mapping[name] for name in ApiKey.__struct_fields__})
        facts = {name: row._mapping[f"owner_{name}"] for name in PrincipalFacts.__struct_fields__}
        return FoundKey(key=key, owner=PrincipalFacts(**facts))

    async def touch(self, api_key_id: int) -> None:
        """Remember that a key was used, at most once a minute."""
        stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < utc_now() - TOUCH_EVERY)
        due = select(api_keys.c.api_key_id).where(api_keys.c.api_key_id == api_key_id, stale)
        async with self._database.read() as connection:
            if await connection.scalar(due) is None:
                return
        async with self._database.write() as write:
            statement = update(api_keys).where(api_keys.c.api_key_id == api_key_id, stale)
            await write.connection.execute(statement.values(last_used_at=utc_now()))

    async def get_many(
        self, api_key_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[ApiKey | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, api_key_ids, visible(principal), wanted=wanted)

    async def of_users(self, uids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None) -> list[list[ApiKey]]:
        async with self._database.read() as connection:
            return await _LISTING.lists_of(connection, api_keys.c.uid, uids, visible(principal), wanted=wanted)

    async def page(
        self,
        principal: Principal | None,
        *,
        uid: int | None = None,
        active: bool | None = None,
        total: bool = False,
        **paging: Unpack[Paging],
    ) -> Page[ApiKey]:
        where = [visible(principal)]
        if uid is not None:
            where.append(api_keys.c.uid == uid)
        if active is not None:
            where.append(api_keys.c.is_active == active)
        async with self._database.read() as connection:
            return await _LISTING.page(connection, *where, total=total, **paging)

    async def add(
        self,
        principal: Principal | None,
        *,
        key_hash: str,
        prefix: str,
        name: str,
        scopes: Collection[Scope | str],
        description: str | None = None,
        expires_at: datetime | None = None,
        uid: int | None = None,
    ) -> ApiKey:
        """A key for the caller, or for another user by an admin. It may do no more than who makes it, nor than its owner.

        Raises: Forbidden, to an API key too; NotFound, BadUserInput.
        """
        _may_keep_keys(principal)
        if uid is None and principal is None:
            raise BadUserInput("uid is missing", path=("uid",))
        owner = principal.uid if uid is None and principal is not None else uid
        if not sees_all(principal) and principal is not None and owner != principal.uid:
            raise NotFound(f"no user {owner}", path=("uid",))
        granted = inputs.scopes(scopes)
        if principal is not None and not granted <= principal.scopes:
            raise Forbidden("a key may not have a scope that its maker does not have", path=("scopes",))
        given: dict[str, object] = {"name": name, "description": description, "expires_at": expires_at}
        row = inputs.checked(api_keys, given, tuple(given), new=True)
        if not row["name"].strip():
            raise BadUserInput("name must not be empty", path=("name",))
        row |= {"uid": owner, "key_hash": key_hash, "prefix": prefix, "scopes": granted}
        async with self._database.write() as write:
            role = await write.connection.scalar(select(users.c.role).where(users.c.uid == owner))
            if role is None:
                raise NotFound(f"no user {owner}", path=("uid",))
            if Scope.ADMIN in granted and role is not Role.ADMIN:
                raise Forbidden("only a key of an admin may have the scope admin", path=("scopes",))
            api_key_id = await write.connection.scalar(insert(api_keys).values(**row).returning(api_keys.c.api_key_id))
            await write.audit(principal, "api_key.add", f"api_key:{api_key_id}", uid=owner, scopes=sorted(granted))
            return await _read(write, api_key_id, None)

    async def modify(self, api_key_id: int, principal: Principal | None, values: Mapping[str, object]) -> ApiKey:
        """Change name, description, `is_active` or `expires_at`. Raises: Forbidden, to an API key too; NotFound, BadUserInput."""
        _may_keep_keys(principal)
        row = inputs.checked(api_keys, values, ("name", "description", "is_active", "expires_at"))
        return await self._change(api_key_id, principal, row, "api_key.modify")

    async def deactivate(self, api_key_id: int, principal: Principal | None) -> ApiKey:
        """Switch a key off. A key may do that to itself whatever its scopes: ending a right needs none."""
        if principal is None or principal.api_key_id != api_key_id:
            may_write(principal)
        return await self._change(api_key_id, principal, {"is_active": False}, "api_key.deactivate")

    async def remove(self, api_key_id: int, principal: Principal | None) -> ApiKey:
        """Raises: NotFound, Forbidden."""
        may_write(principal)
        async with self._database.write() as write:
            key = await _read(write, api_key_id, principal)
            await write.connection.execute(delete(api_keys).where(api_keys.c.api_key_id == api_key_id))
            await write.audit(principal, "api_key.remove", f"api_key:{api_key_id}", uid=key.uid)
            return key

    async def _change(self, api_key_id: int, principal: Principal | None, row: Mapping[str, Any], action: str) -> ApiKey:
        async with self._database.write() as write:
            await _read(write, api_key_id, principal)
            if row:
                await write.connection.execute(update(api_keys).where(api_keys.c.api_key_id == api_key_id).values(**row))
            await write.audit(principal, action, f"api_key:{api_key_id}", fields=sorted(row))
            return await _read(write, api_key_id, principal)


def _may_keep_keys(principal: Principal | None) -> None:
    """A key would outlive its end in one that it makes, and a revoked one would come back by another."""
    may_write(principal)
    if principal is not None and principal.api_key_id is not None:
        raise Forbidden("an API key makes and changes no keys, it only ends them: log in")


async def _read(write: Write, api_key_id: int | None, principal: Principal | None) -> ApiKey:
    key = await _LISTING.one(write.connection, api_keys.c.api_key_id == api_key_id, visible(principal))
    if key is None:
        raise NotFound(f"no API key {api_key_id}", path=("api_key_id",))
    return key
