"""Lists of records: many by key, pages by keyset, and pages of many parents in one statement."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, FromClause, Select, column, func, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TableValuedAlias

from fullon_master_api.apis.orm.columns import ID_MAX, UtcTime
from fullon_master_api.apis.orm.conditions import Condition, to_sql
from fullon_master_api.apis.orm.database import chunks
from fullon_master_api.errors import BadCursor, BadUserInput
from fullon_master_api.model import Record

T = TypeVar("T", bound=Record)

FIRST_DEFAULT: Final = 50
FIRST_MAX: Final = 500
VERSION: Final = 1
URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


Mark = tuple[Any, Any]
"""Where a row stands in its list: the value that sorts it, and its key."""


class Cursors(msgspec.Struct, frozen=True):
    """Writes the cursors of a list in one order."""

    listing: str
    order: str

    def of(self, mark: Mark) -> str:
        at, key = mark
        value = at.isoformat() if isinstance(at, datetime) else at
        raw = msgspec.json.encode((VERSION, self.listing, self.order, value, key))
        return binascii.b2a_base64(raw, newline=False).translate(URL_SAFE, b"=").decode()


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Rows of a list in its order, a cursor for each, and whether more follow. `total` is counted only when asked."""

    rows: list[T]
    marks: list[Mark]
    writer: Cursors
    has_next: bool
    has_previous: bool = False
    total: int | None = None

    @property
    def cursors(self) -> list[str]:
        """A cursor for each row, made when it is asked for."""
        return [self.writer.of(mark) for mark in self.marks]


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    version: int
    listing: str
    order: str
    at: str | int
    key: str | int


class Listing(Generic[T]):
    """How records of one kind are selected, sorted and paged.

    `record` gets a column for each of its fields: of `columns` where named there, else of `table`. `sorts` are the orders
    that a caller may ask for by name, with "-" before it for the newest or largest first; the key breaks ties.
    """

    def __init__(
        self,
        name: str,
        record: type[T],
        table: FromClause,
        key: ColumnElement[Any],
        *,
        source: FromClause | None = None,
        columns: Mapping[str, ColumnElement[Any]] | None = None,
        sorts: Mapping[str, ColumnElement[Any]],
        default: str,
    ) -> None:
        self.name = name
        self.record = record
        self.key = key
        self.source = table if source is None else source
        self.sorts = dict(sorts)
        self.default = default
        extra = columns or {}
        self.fields = {field: extra[field] if field in extra else table.c[field] for field in record.__struct_fields__}
        self.columns = [column.label(field) for field, column in self.fields.items()]
        self._width = len(self.columns)
        self._make = maker(record)

    def select(self, *where: ColumnElement[bool]) -> Select[Any]:
        return select(*self.columns).select_from(self.source).where(*where)

    async def all(self, connection: AsyncConnection, *where: ColumnElement[bool], limit: int | None = None) -> list[T]:
        """Every row of a list that is known to be short, in the default order."""
        statement = self.select(*where).order_by(*self._order(self.default)[0]).limit(limit)
        return [self.record_of(row) for row in (await connection.execute(statement)).all()]

    async def one(self, connection: AsyncConnection, *where: ColumnElement[bool]) -> T | None:
        row = (await connection.execute(self.select(*where).limit(1))).first()
        return None if row is None else self.record_of(row)

    async def many(
        self,
        connection: AsyncConnection,
        keys: Sequence[Any],
        *where: ColumnElement[bool],
        by: ColumnElement[Any] | None = None,
    ) -> list[T | None]:
        """Record of each key in the order asked, None where it is absent or not allowed by `where`. One statement."""
        column = self.key if by is None else by
        found: dict[Any, T] = {}
        for part in chunks(_possible(keys)):
            statement = self.select(column.in_(part), *where).add_columns(column.label("_key"))
            for row in (await connection.execute(statement)).all():
                found[row[-1]] = self.record_of(row)
        return [found.get(key) for key in keys]

    async def page(
        self,
        connection: AsyncConnection,
        *where: ColumnElement[bool],
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        total: bool = False,
        offset: int = 0,
    ) -> Page[T]:
        """One page; `offset` skips rows, for REST clients that count pages. Raises: BadUserInput, BadCursor."""
        where = (*where, *self._matching(matching))
        order = self._checked_order(order)
        limit = checked_first(first)
        ordering, at = self._order(order)
        statement = self.select(*where, *self._after(order, after)).add_columns(at.label("_at"), self.key.label("_key"))
        rows = (await connection.execute(statement.order_by(*ordering).limit(limit + 1).offset(offset or None))).all()
        count = await self.count(connection, *where) if total else None
        return self._page(rows, limit, order, count, has_previous=after is not None)

    async def pages_of(
        self,
        connection: AsyncConnection,
        parent: ColumnElement[Any],
        parents: Sequence[Any],
        *where: ColumnElement[bool],
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        order: str | None = None,
        matching: Condition | None = None,
    ) -> list[Page[T]]:
        """A page of each parent, aligned with `parents`, in one statement whatever their number."""
        where = (*where, *self._matching(matching))
        order = self._checked_order(order)
        limit = checked_first(first)
        rows: dict[Any, list[Any]] = {}
        conditions = [*where, *self._after(order, after)]
        for part in chunks(_possible(parents)):
            asked = _asked(connection.dialect.name, parent, part)
            if connection.dialect.name == "postgresql":
                statement = self._lateral(asked, parent, conditions, order, limit)
            else:
                statement = self._correlated(asked, parent, conditions, order, limit)
            for row in (await connection.execute(statement)).all():
                rows.setdefault(row[-1], []).append(row)
        return [self._page(rows.get(key, ()), limit, order, None, has_previous=after is not None) for key in parents]

    def _lateral(
        self,
        asked: TableValuedAlias,
        parent: ColumnElement[Any],
        where: Sequence[ColumnElement[bool]],
        order: str,
        limit: int,
    ) -> Select[Any]:
        """The first rows of each parent: one look into the index for each, however many rows a parent has."""
        ordering, at = self._order(order)
        own = self.select(parent == asked.c.value, *where).add_columns(at.label("_at"), self.key.label("_key"))
        rows = own.order_by(*ordering).limit(limit + 1).lateral("own")
        place = [rows.c["_at"], rows.c["_key"]]
        found = select(rows, asked.c.value.label("_parent")).select_from(asked.join(rows, true()))
        return found.order_by(*((field.desc() for field in place) if order.startswith("-") else place))

    def _correlated(
        self,
        asked: TableValuedAlias,
        parent: ColumnElement[Any],
        where: Sequence[ColumnElement[bool]],
        order: str,
        limit: int,
    ) -> Select[Any]:
        """The same for SQLite, which has no lateral join: the keys of each parent's first rows, then those rows.

        `likely` keeps it from reaching for the index of another condition, as that of the owner, who owns far more rows.
        """
        ordering, at = self._order(order)
        keys = select(self.key).select_from(self.source).where(parent == asked.c.value, *map(func.likely, where))
        first = keys.order_by(*ordering).limit(limit + 1).correlate(asked)
        marks = (at.label("_at"), self.key.label("_key"), asked.c.value.label("_parent"))
        rows = select(*self.columns, *marks).select_from(asked.join(self.source, self.key.in_(first)))
        return rows.order_by(*ordering)

    async def lists_of(
        self, connection: AsyncConnection, parent: ColumnElement[Any], parents: Sequence[Any], *where: ColumnElement[bool]
    ) -> list[list[T]]:
        """Every row of each parent, aligned with `parents`, for lists that are known to be short. One statement."""
        found: dict[Any, list[T]] = {}
        for part in chunks(_possible(parents)):
            statement = self.select(parent.in_(part), *where).add_columns(parent.label("_parent"))
            for row in (await connection.execute(statement.order_by(*self._order(self.default)[0]))).all():
                found.setdefault(row[-1], []).append(self.record_of(row))
        return [found.get(key, []) for key in parents]

    async def count(self, connection: AsyncConnection, *where: ColumnElement[bool]) -> int:
        statement = select(func.count()).select_from(self.source).where(*where)
        return int(await connection.scalar(statement) or 0)

    def _matching(self, condition: Condition | None) -> list[ColumnElement[bool]]:
        return [] if condition is None else [to_sql(condition, self.fields)]

    def record_of(self, row: Any) -> T:
        """The record of a row that `select` gave, whatever columns follow the record's own."""
        return self._make(*row[: self._width])

    def _page(self, rows: Sequence[Any], limit: int, order: str, total: int | None, *, has_previous: bool) -> Page[T]:
        shown = rows[:limit]
        at = len(self.columns)  # The columns behind the record's own: the value that sorts, and the key.
        return Page(
            rows=[self.record_of(row) for row in shown],
            marks=[(row[at], row[at + 1]) for row in shown],
            writer=Cursors(self.name, order),
            has_next=len(rows) > limit,
            has_previous=has_previous,
            total=total,
        )

    def _checked_order(self, order: str | None) -> str:
        if order is None:
            return self.default
        if order.removeprefix("-") not in self.sorts:
            raise BadUserInput(
                f"order was {order!r}, must be one of {', '.join(self.sorts)}, with - for descending", path=("order",)
            )
        return order

    def _order(self, order: str) -> tuple[list[ColumnElement[Any]], ColumnElement[Any]]:
        column = self.sorts[order.removeprefix("-")]
        if order.startswith("-"):
            return [column.desc(), self.key.desc()], column
        return [column.asc(), self.key.asc()], column

    def _after(self, order: str, cursor: str | None) -> list[ColumnElement[bool]]:
        if cursor is None:
            return []
        column = self.sorts[order.removeprefix("-")]
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            made = msgspec.json.decode(raw, type=_Cursor)
            at: Any = datetime.fromisoformat(str(made.at)) if isinstance(column.type, UtcTime) else made.at
        except (ValueError, binascii.Error, msgspec.DecodeError) as error:
            raise BadCursor("the cursor is not one of this server's", path=("after",)) from error
        fits = type(at) in (datetime, column.type.python_type) and type(made.key) is self.key.type.python_type
        if (made.version, made.listing, made.order) != (VERSION, self.name, order) or not fits:
            raise BadCursor("the cursor belongs to another list or another order", path=("after",))
        if (isinstance(at, datetime) and at.tzinfo is None) or not all(_possible([value]) for value in (at, made.key)):
            raise BadCursor("the cursor is not one of this server's", path=("after",))
        place = tuple_(column, self.key)
        mark = tuple_(literal(at, column.type), literal(made.key, self.key.type))
        return [place < mark if order.startswith("-") else place > mark]


def maker(record: type[T]) -> Callable[..., T]:
    """The record of its values in their order; names that are written down cost a third of a dict of them."""
    names = record.__struct_fields__
    assert all(name.isidentifier() for name in names)
    source = f"lambda {', '.join(names)}: made({', '.join(f'{name}={name}' for name in names)})"
    made: Callable[..., T] = eval(source, {"made": record})  # noqa: S307 - Names of our own records alone.
    return made


def _asked(dialect: str, parent: ColumnElement[Any], parents: Sequence[Any]) -> TableValuedAlias:
    """The parents' keys as a table of one column `value`, in one parameter whatever their number."""
    if dialect == "postgresql":
        values = func.unnest(literal(list(parents), ARRAY(parent.type)))
        return values.table_valued(column("value", parent.type)).render_derived(name="asked")
    values = func.json_each(literal(msgspec.json.encode(parents).decode()))
    return values.table_valued(column("value", parent.type), name="asked")


def checked_first(first: int, *, most: int = FIRST_MAX, name: str = "first") -> int:
    """Raises: BadUserInput when it is not 1 to `most`."""
    if not 1 <= first <= most:
        raise BadUserInput(f"{name} was {first}, must be 1 to {most}", path=(name,))
    return first


def _possible(keys: Sequence[Any]) -> list[Any]:
    """The keys once each, without numbers that no row can have and no driver takes."""
    return [key for key in dict.fromkeys(keys) if not isinstance(key, int) or 0 <= key <= ID_MAX]
