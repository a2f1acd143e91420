"""The run of a plan: level by level, each batch resolver called once, errors kept at their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from itertools import chain, islice
from typing import Any, Final

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    Undefined,
    get_argument_values,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
    located_error,
)
from graphql.execution.executor import default_field_resolver, default_type_resolver, invalid_return_type_error
from graphql.execution.values import VariableValues
from graphql.pyutils import inspect, is_awaitable, is_iterable
from strawberry.schema.schema import Schema

from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.emission import ROWS_WORTH, Objects, build_of
from fullon_master_api.executor.fields import RowsOf
from fullon_master_api.executor.leaves import is_plain
from fullon_master_api.executor.loading import check_batch
from fullon_master_api.executor.places import FieldPlace, ItemPlace, PartPlace, Place, RootPlace
from fullon_master_api.executor.plan import Field, Kind, Level, Plan, Planner

CHUNK: Final = 64
"""At most this many rows are built value by value because of one that the fast path did not know."""

NONE: Final = type(None)


class Failed:
    """An error on its way up to the nearest position that may be null (GraphQL spec 6.4.4)."""

    __slots__ = ("error", "located", "nodes", "place", "position")

    def __init__(self, error: Exception, item: Field, place: Place, position: int) -> None:
        self.error = error
        self.nodes = item.nodes
        self.place = place
        self.position = position
        self.located: GraphQLError | None = None

    def locate(self) -> GraphQLError:
        """The error with its path and its places in the document."""
        if self.located is None:
            path = self.place.path(self.position)
            self.located = located_error(self.error, self.nodes, path.as_list() if path else [])
        return self.located


class Cancelled(Exception):
    """A resolver was cancelled while its operation was not."""


class Frame:
    """One execution of one plan."""

    def __init__(
        self, schema: Schema, planner: Planner, objects: Objects, plan: Plan, values: VariableValues, ctx: Any, root: Any
    ) -> None:
        self._schema = schema
        self._planner = planner
        self._objects = objects
        self._plan = plan
        self._values = values
        self._ctx = ctx
        self._root = root
        self._executor: SteadyExecution | None = None
        self._failures = 0
        self.errors: list[GraphQLError] = []

    async def run(self) -> Any:
        """The data, ready for the encoder; None when an error took it all."""
        level = self._plan.root
        rows, place = [self._root], RootPlace()
        done = (await (self._run_serially(level, rows, place) if self._plan.serial else self._run_level(level, rows, place)))[0]
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
        return await self._build(level, rows, columns, place, self._failures)

    async def _run_level(self, level: Level, rows: list[Any], place: Place) -> list[Any]:
        before = self._failures
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
        return await self._build(level, rows, columns, place, before)

    async def _build(self, level: Level, rows: list[Any], columns: list[list[Any]], place: Place, before: int) -> list[Any]:
        """The objects of a level; a row with an error that it may not hold is that error."""
        build = level.build
        if build is None:
            level.runs += 1
            if level.runs == 1 and len(rows) < ROWS_WORTH:
                return await self._build_slowly(level, rows, columns, place)
            build = level.build = build_of(level, self._objects)
        built: list[Any] = []
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
        if self._failures != before:
            for number, column in zip(level.pending, columns, strict=True):
                # Where null is allowed no error is left: it has become null.
                if is_non_null_type(level.fields[number].type):
                    for position, value in enumerate(column):
                        if type(value) is Failed and type(built[position]) is not Failed:
                            built[position] = value
        return built

    async def _build_slowly(self, level: Level, rows: list[Any], columns: list[list[Any]], place: Place) -> list[Any]:
        """The same objects as `level.build`, column by column, with every odd value's error at its place."""
        before = self._failures
        given = iter(columns)
        whole: list[list[Any]] = []
        for item in level.fields:
            if item.way.kind is Kind.TYPENAME:
                whole.append([level.type.name] * len(rows))
            elif item.inline:
                here = FieldPlace(place, item.key, level.type.name)
                values = await self._complete(item, item.type, _attributes(rows, item), here)
                whole.append(self._settle(item.type, values))
            else:
                whole.append(next(given))
        built: list[Any] = (
            [dict(zip(level.keys, values, strict=True)) for values in zip(*whole, strict=True)] if whole else [{} for _ in rows]
        )
        if self._failures != before or any(type(value) is Failed for column in columns for value in column):
            for column in reversed(whole):
                for position, value in enumerate(column):
                    if type(value) is Failed:
                        built[position] = value
        return built

    async def _run_field(self, item: Field, rows: list[Any], place: Place) -> list[Any]:
        """The completed column of a field: as many values as rows."""
        here = FieldPlace(place, item.key, item.parent.name)
        values: list[Any] = await self._values_of(item, rows, here)
        return self._settle(item.type, await self._complete(item, item.type, values, here))

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
                return [way.function(self._ctx, **arguments) for _ in rows]
            return [_call(item, way.function, row, arguments) for row in rows]
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            return [Cancelled("a resolver was cancelled")] * len(rows)
        except Exception as error:  # Each row of the field raises it at its own path.
            return [error] * len(rows)

    def _arguments(self, item: Field) -> dict[str, Any]:
        given = get_argument_values(item.definition, item.details[0].node, self._values, item.details[0].fragment_variable_values)
        return self._planner.convert(item.definition, given)

    def _resolve(self, item: Field, row: Any, here: Place, position: int) -> Any:
        """What graphql-core would call for one row."""
        details = item.details[0]
        resolve = item.definition.resolve or default_field_resolver
        info = self._info(item, here, position)
        try:
            given = get_argument_values(item.definition, details.node, self._values, details.fragment_variable_values)
            return resolve(row, info, **given)
        except Exception as error:
            return error

    async def _complete(self, item: Field, type_: Any, values: list[Any], place: Place) -> list[Any]:
        """Complete values of a type (GraphQL spec 6.4.3); errors are Failed, null where null may not be too."""
        kinds = set(map(type, values))
        if not all(map(is_plain, kinds)):
            values = await self._await_values(item, values, kinds, place)
            kinds = set(map(type, values))
        if is_non_null_type(type_):
            type_ = type_.of_type
            if NONE in kinds:
                values = self._refuse_null(item, values, place)
                kinds = set(map(type, values))
        if item.leaf is not None and not is_list_type(type_):
            return self._leaf_values(item, values, kinds, place)
        if NONE in kinds or Failed in kinds:
            return await self._complete_some(item, type_, values, place)
        if not values:
            return values
        if is_list_type(type_):
            return await self._complete_lists(item, type_, values, kinds, place)
        if is_abstract_type(type_):
            return await self._complete_abstract(item, type_, values, place)
        return await self._complete_objects(item, type_, values, place)

    async def _complete_some(self, item: Field, type_: Any, values: list[Any], place: Place) -> list[Any]:
        """The values that are there; null and errors stay where they are."""
        positions = [position for position, value in enumerate(values) if value is not None and type(value) is not Failed]
        there = [values[position] for position in positions]
        completed = await self._complete(item, type_, there, PartPlace(place, positions))
        whole = list(values)
        for position, value in zip(positions, completed, strict=True):
            whole[position] = value
        return whole

    def _refuse_null(self, item: Field, values: list[Any], place: Place) -> list[Any]:
        told = f"Cannot return null for non-nullable field {item.parent}.{item.details[0].node.name.value}."
        return [self._fail(TypeError(told), item, place, n) if value is None else value for n, value in enumerate(values)]

    def _settle(self, type_: Any, values: list[Any]) -> list[Any]:
        """Errors end here as null if the position may be null, and go on up if not."""
        if self._failures and not is_non_null_type(type_):
            for position, value in enumerate(values):
                if type(value) is Failed:
                    self.errors.append(value.locate())
                    values[position] = None
        return values

    def _fail(self, error: Exception, item: Field, place: Place, position: int) -> Failed:
        self._failures += 1
        return Failed(error, item, place, position)

    async def _await_values(self, item: Field, values: list[Any], kinds: set[type], place: Place) -> list[Any]:
        """Values with everything awaited and every exception Failed."""
        odd_kinds = {kind for kind in kinds if not is_plain(kind)}
        odd = [position for position, value in enumerate(values) if type(value) in odd_kinds]
        values = list(values)
        for position, value in zip(odd, await self._outcomes([values[position] for position in odd]), strict=True):
            values[position] = value
            if isinstance(value, Exception):
                values[position] = self._fail(value, item, place, position)
            elif value is Undefined:
                values[position] = None
        return values

    async def _outcomes(self, values: list[Any]) -> list[Any]:
        """The values with everything awaited, together; what fails is its exception."""
        waiting = [position for position, value in enumerate(values) if is_awaitable(value)]
        if not waiting:
            return values
        awaited = dict(zip(waiting, await self._gather([values[position] for position in waiting]), strict=True))
        return [awaited.get(position, value) for position, value in enumerate(values)]

    async def _gather(self, awaitables: list[Awaitable[Any]]) -> list[Any]:
        if len(awaitables) == 1:
            return [await self._outcome(awaitables[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(awaitable)) for awaitable in awaitables]
        return [task.result() for task in tasks]

    async def _outcome(self, awaitable: Awaitable[Any]) -> Any:
        try:
            return await awaitable
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            return Cancelled("a resolver was cancelled")
        except Exception as error:  # The row's own error, located by the caller.
            return error

    @staticmethod
    def _raise_if_cancelled() -> None:
        """Go on with a cancellation that is ours; one that only a resolver met is that resolver's error."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # noqa: PLE0704 - Called while the CancelledError is handled.

    def _leaf_values(self, item: Field, values: list[Any], kinds: set[type], place: Place) -> list[Any]:
        assert item.leaf is not None
        if NONE not in kinds and Failed not in kinds:
            passed = item.leaf.column(values)
            if passed is not None:
                return passed
        coerce = item.leaf.coerce
        completed = []
        for position, value in enumerate(values):
            if value is None or type(value) is Failed:
                completed.append(value)
                continue
            try:
                done = coerce(value)
                if done is None or done is Undefined:
                    told = f"{inspect(item.named)}.coerce_output_value({inspect(value)})"
                    raise TypeError(f"Expected `{told}` to return non-nullable value, returned: {inspect(done)}")
                completed.append(done)
            except Exception as error:  # The error of this value alone.
                completed.append(self._fail(error, item, place, position))
        return completed

    async def _complete_lists(self, item: Field, type_: Any, values: list[Any], kinds: set[type], place: Place) -> list[Any]:
        if not kinds <= {list, tuple}:
            values = [await self._items_of(item, value, place, position) for position, value in enumerate(values)]
            if any(type(value) is Failed for value in values):
                return await self._complete_some(item, type_, values, place)
        lengths = list(map(len, values))
        items = list(values[0]) if len(values) == 1 else list(chain.from_iterable(values))
        here = ItemPlace(place, lengths)
        before = self._failures
        done = self._settle(type_.of_type, await self._complete(item, type_.of_type, items, here))
        following = iter(done)
        lists: list[Any] = [done] if len(lengths) == 1 else [list(islice(following, length)) for length in lengths]
        if self._failures != before and is_non_null_type(type_.of_type):
            return [next((value for value in made if type(value) is Failed), made) for made in lists]
        return lists

    async def _items_of(self, item: Field, value: Any, place: Place, position: int) -> Any:
        """The items of whatever a resolver returned for a list."""
        try:
            if hasattr(value, "__aiter__"):
                return [entry async for entry in value]
            if is_iterable(value):
                return list(value)
        except Exception as error:  # The source of the list broke: that is the list's error.
            return self._fail(error, item, place, position)
        told = f"Expected Iterable, but did not find one for field '{item.parent}.{item.details[0].node.name.value}'."
        return self._fail(GraphQLError(told), item, place, position)

    async def _complete_objects(self, item: Field, type_: GraphQLObjectType, values: list[Any], place: Place) -> list[Any]:
        is_type_of = type_.is_type_of
        if is_type_of is not None:
            values = await self._check_type(item, type_, is_type_of, values, place)
            if any(type(value) is Failed for value in values):
                positions = [position for position, value in enumerate(values) if type(value) is not Failed]
                there = [values[position] for position in positions]
                built = await self._run_level(self._plan.level(item, type_), there, PartPlace(place, positions))
                for position, value in zip(positions, built, strict=True):
                    values[position] = value
                return values
        return await self._run_level(self._plan.level(item, type_), values, place)

    async def _check_type(
        self, item: Field, type_: GraphQLObjectType, is_type_of: Callable[..., Any], values: list[Any], place: Place
    ) -> list[Any]:
        if isinstance(is_type_of, RowsOf) and all(issubclass(kind, is_type_of.kinds) for kind in set(map(type, values))):
            return values
        info = self._info(item, place, 0)
        answers = []
        for value in values:
            try:
                answers.append(is_type_of(value, info))
            except Exception as error:  # The error of this value alone.
                answers.append(error)
        if all(answer is True for answer in answers):
            return values
        answers = await self._outcomes(answers)
        checked = []
        for position, (value, answer) in enumerate(zip(values, answers, strict=True)):
            if isinstance(answer, Exception):
                checked.append(self._fail(answer, item, place, position))
            elif not answer:
                checked.append(self._fail(invalid_return_type_error(type_, value, item.details), item, place, position))
            else:
                checked.append(value)
        return checked

    async def _complete_abstract(self, item: Field, type_: GraphQLAbstractType, values: list[Any], place: Place) -> list[Any]:
        executor = self._core()
        resolve_type = type_.resolve_type or default_type_resolver
        names: list[Any] = []
        for position, value in enumerate(values):
            info = self._info(item, place, position)
            try:
                names.append(resolve_type(value, info, type_))
            except Exception as error:  # The error of this value alone.
                names.append(error)
        names = await self._outcomes(names)
        completed: list[Any] = list(values)
        concrete: dict[str, tuple[GraphQLObjectType, list[int]]] = {}
        for position, name in enumerate(names):
            try:
                if isinstance(name, Exception):
                    raise name
                if type(name) is not str or name not in concrete:
                    info = self._info(item, place, position)
                    found = executor.ensure_valid_runtime_type(name, type_, item.details, info, values[position])
                    concrete[name] = (found, [])
                concrete[name][1].append(position)
            except Exception as error:  # The error of this value alone.
                completed[position] = self._fail(error, item, place, position)
        for found, positions in concrete.values():
            there = [values[position] for position in positions]
            built = await self._complete_objects(item, found, there, PartPlace(place, positions))
            for position, value in zip(positions, built, strict=True):
                completed[position] = value
        return completed

    def _core(self) -> SteadyExecution:
        """graphql-core's executor of this operation, for what only it can make."""
        if self._executor is None:
            plan = self._plan
            self._executor = SteadyExecution(
                self._schema._schema,
                {name: details.definition for name, details in plan.fragments.items()},
                plan.fragments,
                self._root,
                self._ctx,
                plan.operation,
                self._values,
                default_field_resolver,
                default_type_resolver,
                default_field_resolver,
                operation_extensions=None,
            )
        return self._executor

    def _info(self, item: Field, place: Place, position: int) -> Any:
        path = place.path(position)
        while path is not None and isinstance(path.key, int):
            path = path.prev
        assert path is not None
        return self._core().build_resolve_info(item.definition, item.nodes, item.parent, path)


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
