"""Records that belong to users, as those read them who may: by key, in pages, in pages of each parent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack

from sqlalchemy import ColumnElement, Table, literal_column, true

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.conditions import Condition
from fullon_master_api.apis.orm.database import Database, sees_all
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.model import Principal, Record

OWNERS_MAX: Final = 4_096
T = TypeVar("T", bound=Record)
F = TypeVar("F", bound=Record)


class Paging(TypedDict, total=False):
    """In what order, which of them, how many, after which cursor and with which fields; each has its default in `Listing`."""

    order: str | None
    matching: Condition | None
    first: int
    after: str | None
    wanted: Wanted


class Owned(Generic[T, F]):
    """Reads the records of one listing: the caller's own, and everybody's for an admin or the platform itself."""

    def __init__(
        self,
        database: Database,
        listing: Listing[T],
        owner: ColumnElement[Any],
        conditions: Callable[[F], list[ColumnElement[bool]]],
    ) -> None:
        self._database = database
        self._listing = listing
        self._owner = owner
        # The owner of a parent owns its rows, and far more: without an index on this the database takes that of the parent.
        self._owner_beside = owner + literal_column("0")
        self._conditions = conditions

    async def get_many(self, keys: Sequence[int], principal: Principal | None, *, wanted: Wanted = None) -> list[T | None]:
        """Record of each key in the order asked; None where there is none for this caller."""
        async with self._database.read() as connection:
            return await self._listing.many(connection, keys, owned_by(self._owner, principal), wanted=wanted)

    async def page(
        self,
        principal: Principal | None,
        *,
        filters: F | None = None,
        total: bool = False,
        offset: int = 0,
        **paging: Unpack[Paging],
    ) -> Page[T]:
        """One page, of which `Listing.page` tells more. Raises: BadUserInput, BadCursor."""
        where = [owned_by(self._owner, principal), *self._filtering(filters)]
        async with self._database.read() as connection:
            return await self._listing.page(connection, *where, total=total, offset=offset, **paging)

    async def _pages_of(
        self,
        parent: ColumnElement[Any],
        parents: Sequence[int],
        principal: Principal | None,
        *,
        filters: F | None = None,
        **paging: Unpack[Paging],
    ) -> list[Page[T]]:
        """A page of each parent, aligned with `parents`, in the listing's order unless asked otherwise."""
        where = [owned_by(self._owner_beside, principal), *self._filtering(filters)]
        async with self._database.read() as connection:
            return await self._listing.pages_of(connection, parent, parents, *where, **paging)

    async def _lists_of(
        self, parent: ColumnElement[Any], parents: Sequence[int], principal: Principal | None, wanted: Wanted
    ) -> list[list[T]]:
        """Every record of each parent, aligned, where these are known to be few."""
        async with self._database.read() as connection:
            return await self._listing.lists_of(connection, parent, parents, owned_by(self._owner, principal), wanted=wanted)

    def _filtering(self, filters: F | None) -> list[ColumnElement[bool]]:
        return [] if filters is None else self._conditions(filters)


def owned_by(owner: ColumnElement[Any], principal: Principal | None) -> ColumnElement[bool]:
    """Which rows a caller sees: `owner` is the column with the user's id."""
    return true() if principal is None or sees_all(principal) else _owned_by(owner, principal.uid)


@lru_cache(maxsize=OWNERS_MAX)
def _owned_by(owner: ColumnElement[Any], uid: int) -> ColumnElement[bool]:
    """The same condition for the same user, so that its shape is known (`reading.shape_of`)."""
    return owner == uid


def equal(table: Table, filters: Record, names: Collection[str]) -> list[ColumnElement[bool]]:
    """A condition for each of these filters that is given."""
    return [table.c[name] == value for name in names if (value := getattr(filters, name)) is not None]


def within(column: ColumnElement[Any], filters: Record, begin: str, end: str) -> list[ColumnElement[bool]]:
    """From the instant in the filter `begin` to before that in `end`, where they are given. Raises: BadUserInput."""
    since, until = getattr(filters, begin), getattr(filters, end)
    return [
        *([] if since is None else [column >= inputs.instant(begin, since)]),
        *([] if until is None else [column < inputs.instant(end, until)]),
    ]
