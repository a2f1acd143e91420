"""The run of a plan: level by level, each batch resolver called once, errors kept at their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from types import CoroutineType
from typing import Any, Final

from graphql import get_argument_values, is_non_null_type
from graphql.execution.executor import default_field_resolver
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from fullon_master_api.executor.complete import Completion, Failed
from fullon_master_api.executor.emission import ROWS_WORTH, Objects, build_of, built_at_once
from fullon_master_api.executor.infos import Infos
from fullon_master_api.executor.loading import check_batch
from fullon_master_api.executor.outcomes import Cancelled, raise_if_cancelled
from fullon_master_api.executor.places import FieldPlace, PartPlace, Place, RootPlace
from fullon_master_api.executor.plan import Field, Kind, Level, Plan, Planner
from fullon_master_api.executor.watching import Watch

CHUNK: Final = 64
"""At most this many rows are built value by value because of one that the fast path did not know."""


class Frame:
    """One execution of one plan."""

    def __init__(
        self,
        schema: Schema,
        planner: Planner,
        objects: Objects,
        plan: Plan,
        values: VariableValues,
        ctx: Any,
        root: Any,
        watch: Watch | None = None,
    ) -> None:
        self._planner = planner
        self._objects = objects
        self._plan = plan
        self._values = values
        self._ctx = ctx
        self._root = root
        self._watch = watch
        self._infos = Infos(schema, plan, values, ctx, root)
        self._completion = Completion(plan, self._infos, self._run_level, objects.fragments)
        self.errors = self._completion.errors

    async def run(self) -> Any:
        """The data, ready for the encoder; None when an error took it all."""
        run = self._run_serially if self._plan.serial else self._run_level
        try:
            done = (await run(self._plan.root, [self._root], RootPlace()))[0]
        finally:
            self._completion.forget()
        if type(done) is Failed:
            self.errors.append(done.locate())
            return None
        return done

    async def _run_serially(self, level: Level, rows: list[Any], place: Place) -> list[Any]:
        """Root fields of a mutation, one after the other; the first that fails where null is not allowed ends it."""
        columns = []
        for position in level.pending:
            column = await self._run_field(level.fields[position], rows, place)
            if type(column[0]) is Failed:
                return column
            columns.append(column)
        return await self._build(level, rows, columns, place, self._completion.failures)

    async def _run_level(self, level: Level, rows: list[Any], place: Place) -> list[Any]:
        before = self._completion.failures
        pending, build = level.pending, level.build
        if len(pending) == 1:
            columns = [await self._run_field(level.fields[pending[0]], rows, place)]
        else:
            columns = await self._columns(level, rows, place)
        if build is not None and len(rows) < ROWS_WORTH and self._completion.failures == before:
            built = built_at_once(build, rows, columns)
            if built is not None:
                return built
        return await self._build(level, rows, columns, place, before)

    async def _columns(self, level: Level, rows: list[Any], place: Place) -> list[Any]:
        """The columns of all fields that need one, those that wait together."""
        columns: list[Any] = [None] * len(level.pending)
        waiting = []
        for number, position in enumerate(level.pending):
            if level.fields[position].waits:
                waiting.append(number)
            else:
                columns[number] = await self._run_field(level.fields[position], rows, place)
        if len(waiting) == 1:
            columns[waiting[0]] = await self._run_field(level.fields[level.pending[waiting[0]]], rows, place)
        elif waiting:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    number: group.create_task(self._run_field(level.fields[level.pending[number]], rows, place))
                    for number in waiting
                }
            for number, task in tasks.items():
                columns[number] = task.result()
        return columns

    async def _build(self, level: Level, rows: list[Any], columns: list[list[Any]], place: Place, before: int) -> list[Any]:
        """The objects of a level; a row with an error that it may not hold is that error."""
        build = level.build
        if build is None:
            level.runs += 1
            if level.runs == 1 and len(rows) < ROWS_WORTH:
                return await self._build_slowly(level, rows, columns, place)
            build = level.build = build_of(level, self._objects)
        built = _build_repeated(build, rows) if not columns and len(rows) >= ROWS_WORTH else []
        start, step = 0, 1
        while len(built) < len(rows):
            try:
                build(built, rows[start:] if start else rows, *(column[start:] if start else column for column in columns))
            except Exception:  # The row after those that are built is odd: it is built value by value, errors in place.
                odd = slice(len(built), len(built) + step)
                here = PartPlace(place, range(odd.start, min(odd.stop, len(rows))))
                built += await self._build_slowly(level, rows[odd], [column[odd] for column in columns], here)
                # Where one is odd, more may be: each time twice as many rows are taken from the fast path.
                start, step = len(built), min(2 * step, CHUNK)
        if self._completion.failures != before:
            for number, column in zip(level.pending, columns, strict=True):
                # Where null is allowed no error is left: it has become null.
                if is_non_null_type(level.fields[number].type):
                    for position, value in enumerate(column):
                        if type(value) is Failed and type(built[position]) is not Failed:
                            built[position] = value
        return built

    async def _build_slowly(self, level: Level, rows: list[Any], columns: list[list[Any]], place: Place) -> list[Any]:
        """The same objects as `level.build`, column by column, with every odd value's error at its place."""
        before = self._completion.failures
        given = iter(columns)
        whole: list[list[Any]] = []
        for item in level.fields:
            if item.way.kind is Kind.TYPENAME:
                whole.append([level.type.name] * len(rows))
            elif item.inline:
                here = FieldPlace(place, item.key, level.type.name)
                values = await self._completion.complete(item, item.type, _attributes(rows, item), here)
                whole.append(self._completion.settle(item.type, values))
            else:
                whole.append(next(given))
        built: list[Any] = (
            [dict(zip(level.keys, values, strict=True)) for values in zip(*whole, strict=True)] if whole else [{} for _ in rows]
        )
        if self._completion.failures != before or any(type(value) is Failed for column in columns for value in column):
            for column in reversed(whole):
                for position, value in enumerate(column):
                    if type(value) is Failed:
                        built[position] = value
        return built

    async def _run_field(self, item: Field, rows: list[Any], place: Place) -> list[Any]:
        """The completed column of a field: as many values as rows."""
        here = FieldPlace(place, item.key, item.parent.name)
        if self._watch is None:
            values = await self._values_of(item, rows, here)
        else:
            with self._watch.field(item, len(rows)):
                values = await self._values_of(item, rows, here)
        done = self._completion.complete_now(item, values)
        if done is None:
            done = self._completion.settle(item.type, await self._completion.complete(item, item.type, values, here))
        return done

    async def _values_of(self, item: Field, rows: list[Any], here: Place) -> list[Any]:
        """What the resolver gives for each row; an exception among the values is that row's error."""
        way = item.way
        if way.kind is Kind.ATTRIBUTE:
            return _attributes(rows, item)
        if way.kind is Kind.EVENT:
            return [self._root for _ in rows]
        if way.kind is Kind.RESOLVE:
            return [self._resolve(item, row, here, position) for position, row in enumerate(rows)]
        try:
            arguments = item.arguments if item.arguments is not None else self._arguments(item)
            assert way.function is not None
            if way.kind is Kind.BATCHED:
                answers = way.function(list(rows), self._ctx, **arguments)
                if isawaitable(answers):
                    answers = await answers
                return check_batch(way.function, answers, len(rows))
            if way.kind is Kind.ROOTED:
                value = way.function(self._ctx, **arguments)
                return [await value if type(value) is CoroutineType else value]
            return [_call(item, way.function, row, arguments) for row in rows]
        except asyncio.CancelledError:
            raise_if_cancelled()
            return [Cancelled("a resolver was cancelled")] * len(rows)
        except Exception as error:  # Each row of the field raises it at its own path.
            return [error] * len(rows)

    def _arguments(self, item: Field) -> dict[str, Any]:
        given = get_argument_values(item.definition, item.details[0].node, self._values, item.details[0].fragment_variable_values)
        return {**self._planner.convert(item.definition, given), **item.told}

    def _resolve(self, item: Field, row: Any, here: Place, position: int) -> Any:
        """What graphql-core would call for one row."""
        details = item.details[0]
        resolve = item.definition.resolve or default_field_resolver
        info = self._infos.of(item, here, position)
        try:
            given = get_argument_values(item.definition, details.node, self._values, details.fragment_variable_values)
            return resolve(row, info, **given)
        except Exception as error:
            return error


def _build_repeated(build: Callable[..., None], rows: list[Any]) -> list[Any]:
    """The objects of rows of which most come again and again, as the symbol of many orders; nothing where it is not so."""
    ids = list(map(id, rows))
    distinct = dict(zip(ids, rows, strict=True))
    if 2 * len(distinct) > len(rows):
        return []
    built = built_at_once(build, list(distinct.values()), ())
    if built is None:
        return []
    made = dict(zip(distinct, built, strict=True))
    return list(map(made.__getitem__, ids))


def _attributes(rows: list[Any], item: Field) -> list[Any]:
    """The attribute of each row; an exception among the values is that row's error."""
    name = item.way.attribute
    values = []
    for row in rows:
        try:
            values.append(getattr(row, name))
        except Exception as error:  # Given on as the value of this row.
            values.append(error)
    return values


def _call(item: Field, function: Callable[..., Any], row: Any, arguments: Any) -> Any:
    """A plain Strawberry resolver, which takes its source as `self` or by name."""
    way = item.way
    try:
        if way.attribute:
            return function(row, **arguments)
        if way.source_name is not None:
            return function(**{way.source_name: row}, **arguments)
        return function(**arguments)
    except Exception as error:  # Given on as the value of this row.
        return error
