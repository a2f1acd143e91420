"""Lists of records: many by key, pages by keyset, and pages of many parents in one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, FromClause, Label, Select, and_, func, literal, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TableValuedAlias

from fullon_master_api.apis.orm.asked import ASKED, WORDS, among, as_list, asked_keys, asked_pairs, exactly, number, possible_keys
from fullon_master_api.apis.orm.conditions import Condition, to_sql
from fullon_master_api.apis.orm.cursors import Cursors, read_cursor
from fullon_master_api.apis.orm.reading import Convert, Reader, Row, shape_of
from fullon_master_api.apis.orm.records import Chosen, Wanted, builder, chosen_of
from fullon_master_api.apis.orm.shown import SHOWN_AS_TEXT, as_text
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Record

T = TypeVar("T", bound=Record)

FIRST_DEFAULT: Final = 50
FIRST_MAX: Final = 500


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Rows of a list in its order, a cursor for each, and whether more follow. `total` is counted only when asked."""

    rows: list[T]
    writer: Cursors
    has_next: bool
    has_previous: bool = False
    total: int | None = None

    @property
    def cursors(self) -> list[str]:
        """A cursor for each row, made when it is asked for."""
        return [self.writer.of(row) for row in self.rows]


class Found(Generic[T]):
    """What a statement found: the records, and the columns behind them."""

    __slots__ = ("_converts", "_rows", "records")

    def __init__(self, records: list[T], rows: Sequence[Row], converts: Sequence[Convert | None]) -> None:
        self.records = records
        self._rows = rows
        self._converts = converts

    def column(self, place: int) -> list[Any]:
        """The values of a column, counted from the last, -1."""
        convert = self._converts[place] if self._converts else None
        values = [row[place] for row in self._rows]
        return values if convert is None else list(map(convert, values))


Connection = Reader | AsyncConnection
"""A reader, or the connection of a transaction that reads what it has written."""


class Listing(Generic[T]):
    """How records of one kind are selected, sorted and paged.

    `record` gets a column for each of its fields: of `columns` where named there, else of `table`. `sorts` are the orders
    that a caller may ask for by name, with "-" before it for the newest or largest first; the key breaks ties. Both are
    fields of the record.
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
        self.every = Chosen(record.__struct_fields__)
        texts = frozenset(field for field, column in self.fields.items() if isinstance(column.type, SHOWN_AS_TEXT))
        self._readable = Chosen(self.every.names, texts)
        field_of = {column: field for field, column in self.fields.items()}
        self._key_field = field_of[key]
        self._sort_fields = {sort: field_of[column] for sort, column in sorts.items()}

    def select(self, *where: ColumnElement[bool], chosen: Chosen | None = None, dialect: str = "") -> Select[Any]:
        return select(*self._columns(dialect, chosen or self.every)).select_from(self.source).where(*where)

    def _columns(self, dialect: str, chosen: Chosen) -> list[Label[Any]]:
        columns = ((name, self.fields[name]) for name in chosen.names)
        return [(as_text(dialect, column) if name in chosen.texts else column).label(name) for name, column in columns]

    def _chosen(self, wanted: Wanted, *needed: str) -> Chosen:
        """What is read where this is wanted, and these fields with it."""
        return self.every if wanted is None else chosen_of(self._readable, wanted, wanted.shown, needed)

    async def all(self, connection: Connection, *where: ColumnElement[bool]) -> list[T]:
        """Every row of a list that is known to be short, in the default order."""
        ordering = self._order(self.default)
        found = await self._fetch(connection, "all", self.every, where, {}, lambda: self.select(*where).order_by(*ordering))
        return found.records

    async def one(self, connection: Connection, *where: ColumnElement[bool]) -> T | None:
        def make() -> Select[Any]:
            return self.select(*where).limit(exactly(1))

        found = await self._fetch(connection, "one", self.every, where, {}, make)
        return found.records[0] if found.records else None

    async def many(
        self,
        connection: Connection,
        keys: Sequence[Any],
        *where: ColumnElement[bool],
        by: ColumnElement[Any] | None = None,
        wanted: Wanted = None,
    ) -> list[T | None]:
        """Record of each key in the order asked, None where it is absent or not allowed by `where`. One statement."""
        column = self.key if by is None else by
        possible = possible_keys(keys)
        if not possible:
            return [None] * len(keys)
        chosen = self._chosen(wanted)
        dialect = connection.dialect.name

        def make() -> Select[Any]:
            return self.select(among(dialect, column), *where, chosen=chosen, dialect=dialect).add_columns(column.label("_key"))

        asked = {ASKED: as_list(dialect, possible)}
        found = await self._fetch(connection, ("many", column), chosen, where, asked, make)
        records = dict(zip(found.column(-1), found.records, strict=True))
        return [records.get(key) for key in keys]

    async def pairs(
        self,
        connection: Connection,
        columns: tuple[ColumnElement[Any], ColumnElement[Any]],
        keys: Sequence[tuple[str, str]],
        *where: ColumnElement[bool],
        wanted: Wanted = None,
    ) -> list[T | None]:
        """The same where a key is the words of two columns."""
        records: dict[tuple[str, str], T | None] = dict.fromkeys(keys)
        distinct = list(records)
        if not distinct:
            return []
        chosen = self._chosen(wanted)
        dialect = connection.dialect.name

        def make() -> Select[Any]:
            asked = asked_pairs(dialect)
            same = and_(*(column == word for column, word in zip(columns, asked.c, strict=True)))
            statement = select(*self._columns(dialect, chosen), *asked.c)
            return statement.select_from(asked.join(self.source, same)).where(*where)

        if dialect == "postgresql":
            named = dict(zip(WORDS, map(list, zip(*distinct, strict=True)), strict=True))
        else:
            named = {ASKED: as_list(dialect, distinct)}
        found = await self._fetch(connection, ("pairs", columns), chosen, where, named, make)
        records.update(zip(zip(found.column(-2), found.column(-1), strict=True), found.records, strict=True))
        return [records[key] for key in keys]

    async def page(
        self,
        connection: Connection,
        *where: ColumnElement[bool],
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        total: bool = False,
        offset: int = 0,
        wanted: Wanted = None,
    ) -> Page[T]:
        """One page; `offset` skips rows, for REST clients that count pages. Raises: BadUserInput, BadCursor."""
        where = (*where, *self._matching(matching))
        order = self._checked_order(order)
        limit = checked_first(first)
        chosen = self._chosen(wanted, *self._place(order))
        conditions = (*where, *self._after(order, after))

        def make() -> Select[Any]:
            statement = self.select(*conditions, chosen=chosen, dialect=connection.dialect.name).order_by(*self._order(order))
            return statement.limit(exactly(limit + 1)).offset(number("skipped") if offset else None)

        kind, named = ("page", order, limit, bool(offset)), {"skipped": offset} if offset else {}
        found = await self._fetch(connection, kind, chosen, conditions, named, make)
        count = await self.count(connection, *where) if total else None
        return self._page(found.records, limit, order, count, has_previous=after is not None)

    async def pages_of(
        self,
        connection: Connection,
        parent: ColumnElement[Any],
        parents: Sequence[Any],
        *where: ColumnElement[bool],
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        wanted: Wanted = None,
    ) -> list[Page[T]]:
        """A page of each parent, aligned with `parents`, in one statement whatever their number."""
        order = self._checked_order(order)
        limit = checked_first(first)
        chosen = self._chosen(wanted, *self._place(order))
        conditions = (*where, *self._matching(matching), *self._after(order, after))
        dialect = connection.dialect.name
        pieces = self._lateral if dialect == "postgresql" else self._correlated

        def make() -> Select[Any]:
            return pieces(asked_keys(dialect, parent), parent, conditions, order, chosen, exactly(limit + 1))

        lists: dict[Any, list[T]] = {}
        possible = possible_keys(parents)
        if possible:
            kind, named = ("pages", parent, order, limit), {ASKED: as_list(dialect, possible)}
            found = await self._fetch(connection, kind, chosen, conditions, named, make)
            start = 0
            for owner, count in Counter(found.column(-1)).items():  # Rows of one parent come together.
                lists[owner] = found.records[start : start + count]
                start += count
        return [self._page(lists.get(key, []), limit, order, None, has_previous=after is not None) for key in parents]

    def _lateral(
        self,
        asked: TableValuedAlias,
        parent: ColumnElement[Any],
        where: Sequence[ColumnElement[bool]],
        order: str,
        chosen: Chosen,
        most: ColumnElement[int],
    ) -> Select[Any]:
        """The first rows of each parent: one look into the index for each, however many rows a parent has."""
        own = self.select(parent == asked.c.value, *where, chosen=chosen, dialect="postgresql").order_by(*self._order(order))
        rows = own.limit(most).lateral("own")
        place = [rows.c[field] for field in self._place(order)]
        found = select(rows, asked.c.value.label("_parent")).select_from(asked.join(rows, true()))
        return found.order_by(asked.c.value, *((field.desc() for field in place) if order.startswith("-") else place))

    def _correlated(
        self,
        asked: TableValuedAlias,
        parent: ColumnElement[Any],
        where: Sequence[ColumnElement[bool]],
        order: str,
        chosen: Chosen,
        most: ColumnElement[int],
    ) -> Select[Any]:
        """The same for SQLite, which has no lateral join: the keys of each parent's first rows, then those rows.

        `likely` keeps it from reaching for the index of another condition, as that of the owner, who owns far more rows.
        """
        ordering = self._order(order)
        keys = select(self.key).select_from(self.source).where(parent == asked.c.value, *map(func.likely, where))
        first = keys.order_by(*ordering).limit(most).correlate(asked)
        columns = (*self._columns("sqlite", chosen), asked.c.value.label("_parent"))
        rows = select(*columns).select_from(asked.join(self.source, self.key.in_(first)))
        return rows.order_by(asked.c.value, *ordering)

    async def lists_of(
        self,
        connection: Connection,
        parent: ColumnElement[Any],
        parents: Sequence[Any],
        *where: ColumnElement[bool],
        wanted: Wanted = None,
    ) -> list[list[T]]:
        """Every row of each parent, aligned with `parents`, for lists that are known to be short. One statement."""
        possible = possible_keys(parents)
        if not possible:
            return [[] for _ in parents]
        chosen = self._chosen(wanted)
        dialect = connection.dialect.name

        def make() -> Select[Any]:
            statement = self.select(among(dialect, parent), *where, chosen=chosen, dialect=dialect)
            return statement.add_columns(parent.label("_parent")).order_by(*self._order(self.default))

        asked = {ASKED: as_list(dialect, possible)}
        found = await self._fetch(connection, ("lists", parent), chosen, where, asked, make)
        lists: dict[Any, list[T]] = {key: [] for key in possible}
        for owner, record in zip(found.column(-1), found.records, strict=True):
            lists[owner].append(record)
        return [lists.get(key, []) for key in parents]

    async def count(self, connection: Connection, *where: ColumnElement[bool]) -> int:
        return int(await connection.scalar(select(func.count()).select_from(self.source).where(*where)) or 0)

    async def _fetch(
        self,
        connection: Connection,
        kind: Hashable,
        chosen: Chosen,
        where: Sequence[ColumnElement[bool]],
        named: Mapping[str, Any],
        make: Callable[[], Select[Any]],
    ) -> Found[T]:
        """Rows of the statement that `make` gives, which is made once for each shape.

        The shape is `kind`, the columns `chosen` and the conditions `where` without their values; `named` are its other values.
        """
        if not isinstance(connection, Reader):
            rows = (await connection.execute(make(), dict(named))).all()
            return Found(builder(self.record, chosen.names, [None] * len(rows[0]))(rows) if rows else [], rows, ())
        shapes = [shape_of(clause) for clause in where]

        def compiled() -> tuple[Select[Any], dict[str, int]]:
            keys = [bind.key for _shape, binds in shapes for bind in binds]
            return make(), {key: place for place, key in enumerate([*keys, *named])}

        ready = connection.ready((self, kind, chosen, *(shape for shape, _binds in shapes)), compiled)
        if ready.build is None:
            ready.build = builder(self.record, chosen.names, ready.converts)
        values = [bind.effective_value for _shape, binds in shapes for bind in binds]
        rows = await connection.fetch(ready, [*values, *named.values()])
        return Found(ready.build(rows), rows, ready.converts)

    def _matching(self, condition: Condition | None) -> list[ColumnElement[bool]]:
        return [] if condition is None else [to_sql(condition, self.fields)]

    def _page(self, rows: list[T], limit: int, order: str, total: int | None, *, has_previous: bool) -> Page[T]:
        return Page(
            rows=rows[:limit],
            writer=Cursors(self.name, order, *self._place(order)),
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

    def _place(self, order: str) -> tuple[str, str]:
        """The fields that tell where a record stands in this order: the one that sorts it, and its key."""
        return self._sort_fields[order.removeprefix("-")], self._key_field

    def _order(self, order: str) -> list[ColumnElement[Any]]:
        place = (self.fields[field] for field in dict.fromkeys(self._place(order)))
        return [column.desc() if order.startswith("-") else column.asc() for column in place]

    def _after(self, order: str, cursor: str | None) -> list[ColumnElement[bool]]:
        if cursor is None:
            return []
        column = self.sorts[order.removeprefix("-")]
        at, key = read_cursor(cursor, self.name, order, (column, self.key))
        place = tuple_(column, self.key)
        mark = tuple_(literal(at, column.type), literal(key, self.key.type))
        return [place < mark if order.startswith("-") else place > mark]


def checked_first(first: int, *, most: int = FIRST_MAX, name: str = "first") -> int:
    """Raises: BadUserInput when it is not 1 to `most`."""
    if not 1 <= first <= most:
        raise BadUserInput(f"{name} was {first}, must be 1 to {most}", path=(name,))
    return first
