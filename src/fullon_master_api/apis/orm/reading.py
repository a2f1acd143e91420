"""Reads: SQL that SQLAlchemy compiled once for each shape of a statement, run on the driver's own connection."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVarTuple, cast

from sqlalchemy import ARRAY, BindParameter, ClauseElement, Dialect, Select
from sqlalchemy.engine import IteratorResult, Result, ScalarResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from fullon_master_api.tracing import note_statement

SHAPES_MAX: Final = 2_000
CLAUSES_MAX: Final = 1_024
NUMERIC_OID: Final = 1700
"""What PostgreSQL calls NUMERIC: the one type whose conversion depends, for SQLAlchemy, on how the server names it."""

Columns = TypeVarTuple("Columns")
Convert = Callable[[Any], Any]
Row = Sequence[Any]


class Ready:
    """A statement as its driver takes it: the text, the place of each parameter, and what becomes of each column."""

    def __init__(self, statement: Select[Any], dialect: Dialect, places: Mapping[str, int]) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._compiled = compiled
        self._dialect = dialect
        self._places = dict(places)
        self._expands = bool(compiled.post_compile_params)
        self.sql = compiled.string
        self.build: Callable[[Sequence[Row]], list[Any]] | None = None
        """Makes records of its rows, where it has records."""
        self.columns = [str(column.key) for column in statement.selected_columns]
        self.converts = [self._result(column.type) for column in statement.selected_columns]
        shape = statement._generate_cache_key()
        assert shape is not None, "a statement that cannot be told by its shape"
        # A parameter without a place would keep the value of whoever asked first.
        assert all(bind.key in places for bind in shape.bindparams), "a parameter of the statement has no place"
        self._order: list[tuple[int | None, Any]] = []
        for name in () if self._expands else compiled.positiontup or ():
            bind = compiled.binds[name]
            if bind.key in places:
                self._order.append((places[bind.key], self._bind(bind.type)))
            else:  # The compiler's own, as the OFFSET 0 that it writes for SQLite.
                self._order.append((None, bind.effective_value))

    def _bind(self, type_: TypeEngine[Any]) -> Convert | None:
        if isinstance(type_, ARRAY) and self._bind(type_.item_type) is None:
            return None  # The driver takes a list as it is; SQLAlchemy would look into each item for further lists.
        return type_.dialect_impl(self._dialect).bind_processor(self._dialect)

    def _result(self, type_: TypeEngine[Any]) -> Convert | None:
        return type_.dialect_impl(self._dialect).result_processor(self._dialect, NUMERIC_OID)

    def bound(self, values: Sequence[Any]) -> tuple[str, list[Any]]:
        """The text and its arguments in the driver's order."""
        if not self._expands:
            return self.sql, [
                more if place is None else values[place] if more is None else more(values[place]) for place, more in self._order
            ]
        # A list is in it, and its text is as long as the list.
        state = self._compiled.construct_expanded_state({key: values[place] for key, place in self._places.items()})
        arguments = []
        for name in state.positiontup or ():
            bind = self._compiled.binds.get(name)
            convert = state.processors.get(name) or (None if bind is None else self._bind(bind.type))
            value = state.parameters[name]
            arguments.append(value if convert is None else convert(value))
        return state.statement, arguments

    def converted(self, row: Row) -> tuple[Any, ...]:
        """A row of the driver with its columns as Python has them."""
        return tuple([value if convert is None else convert(value) for value, convert in zip(row, self.converts, strict=True)])


class Statements:
    """What was compiled for one dialect; the statements used longest ago give way."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._ready: OrderedDict[Hashable, Ready] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ready)

    def get(self, key: Hashable, make: Callable[[], tuple[Select[Any], Mapping[str, int]]]) -> Ready:
        """What is kept under the key. `make` gives the statement, and of each of its parameters the place of its value."""
        ready = self._ready.get(key)
        if ready is not None:
            self._ready.move_to_end(key)
            return ready
        statement, places = make()
        ready = self._ready[key] = Ready(statement, self.dialect, places)
        if len(self._ready) > SHAPES_MAX:
            self._ready.popitem(last=False)
        return ready


@lru_cache(maxsize=CLAUSES_MAX)
def shape_of(clause: ClauseElement) -> tuple[Hashable, Sequence[BindParameter[Any]]]:
    """What a clause looks like whatever its values, and its parameters in their order."""
    shape = clause._generate_cache_key()
    assert shape is not None, "a clause that cannot be told by its shape"
    return shape.key, shape.bindparams


class Reader:
    """The driver's connection while it is ours, for statements that change nothing."""

    __slots__ = ("_driver", "_postgres", "_statements", "dialect")

    def __init__(self, driver: Any, statements: Statements) -> None:
        self._driver = driver
        self._statements = statements
        self.dialect = statements.dialect
        self._postgres = statements.dialect.name == "postgresql"

    def ready(self, key: Hashable, make: Callable[[], tuple[Select[Any], Mapping[str, int]]]) -> Ready:
        """A statement compiled now or before; see `Statements.get`."""
        return self._statements.get(key, make)

    async def fetch(self, ready: Ready, values: Sequence[Any]) -> Sequence[Row]:
        """Rows as the driver gives them: `ready.converts` says what is still to be done to each column."""
        sql, arguments = ready.bound(values)
        with note_statement(sql) as note:
            rows: Sequence[Row]
            if self._postgres:
                rows = await self._driver.fetch(sql, *arguments)
            else:
                rows = await self._driver.execute_fetchall(sql, arguments)
            if note is not None:
                note.rows = len(rows)
        return rows

    async def execute(self, statement: Select[*Columns]) -> Result[*Columns]:
        """Any other statement, compiled once for its shape; rows by name and place, as SQLAlchemy gives them."""
        shape = statement._generate_cache_key()
        assert shape is not None, "a statement that cannot be told by its shape"
        binds = shape.bindparams
        places = {bind.key: place for place, bind in enumerate(binds)}
        ready = self.ready(shape.key, lambda: (cast("Select[Any]", statement), places))
        rows = await self.fetch(ready, [bind.effective_value for bind in binds])
        found: Any = IteratorResult(SimpleResultMetaData(ready.columns), iter([ready.converted(row) for row in rows]))
        return cast("Result[*Columns]", found)

    async def scalars(self, statement: Select[*tuple[Any, ...]]) -> ScalarResult[Any]:
        return (await self.execute(statement)).scalars()

    async def scalar(self, statement: Select[*tuple[Any, ...]]) -> Any:
        return (await self.execute(statement)).scalar()
