"""Completion: values of resolvers become what is sent, or an error on its way up to where null is allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import accumulate, chain, islice
from typing import Any, Final

import msgspec
from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    Undefined,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
    located_error,
)
from graphql.execution.executor import default_type_resolver, invalid_return_type_error
from graphql.pyutils import inspect, is_iterable

from fullon_master_api.executor.answers import lines_of
from fullon_master_api.executor.emission import ROWS_WORTH, built_at_once
from fullon_master_api.executor.fields import RowsOf
from fullon_master_api.executor.fragments import Fragment, Fragments, Lasting, Shape
from fullon_master_api.executor.infos import Infos
from fullon_master_api.executor.leaves import is_plain
from fullon_master_api.executor.outcomes import outcomes
from fullon_master_api.executor.places import ItemPlace, PartPlace, Place
from fullon_master_api.executor.plan import Field, Level, Plan

NONE: Final = type(None)

RunLevel = Callable[[Level, list[Any], Place], Awaitable[list[Any]]]


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


class Completion:
    """Completes the columns of one execution and collects its errors.

    `failures` counts the errors met so far, so that a caller can tell whether there may be a Failed among its values.
    """

    def __init__(self, plan: Plan, infos: Infos, run_level: RunLevel, fragments: Fragments) -> None:
        self._plan = plan
        self._fragments = fragments
        self._infos = infos
        self._run_level: RunLevel | None = run_level
        self.failures = 0
        self.errors: list[GraphQLError] = []

    def forget(self) -> None:
        """Let go of whoever runs the levels, so that an execution is freed at once and not by the garbage collector."""
        self._run_level = None

    def complete_now(self, item: Field, values: list[Any]) -> list[Any] | None:
        """What `complete` gives, if nothing failed and nobody has to be asked or waited for; None where that cannot be told."""
        level = item.ending
        if level is None or level.build is None or len(values) >= ROWS_WORTH:
            return None
        kinds = set(map(type, values))
        if NONE in kinds or not all(map(is_plain, kinds)):
            return None
        is_type_of = level.type.is_type_of
        if is_type_of is not None and not (isinstance(is_type_of, RowsOf) and is_type_of.knows(kinds)):
            return None
        return built_at_once(level.build, values, ())

    async def complete(self, item: Field, type_: Any, values: list[Any], place: Place) -> list[Any]:
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
        completed = await self.complete(item, type_, there, PartPlace(place, positions))
        whole = list(values)
        for position, value in zip(positions, completed, strict=True):
            whole[position] = value
        return whole

    def _refuse_null(self, item: Field, values: list[Any], place: Place) -> list[Any]:
        told = f"Cannot return null for non-nullable field {item.parent}.{item.details[0].node.name.value}."
        return [self._fail(TypeError(told), item, place, n) if value is None else value for n, value in enumerate(values)]

    def settle(self, type_: Any, values: list[Any]) -> list[Any]:
        """Errors end here as null if the position may be null, and go on up if not."""
        if self.failures and not is_non_null_type(type_):
            for position, value in enumerate(values):
                if type(value) is Failed:
                    self.errors.append(value.locate())
                    values[position] = None
        return values

    def _fail(self, error: Exception, item: Field, place: Place, position: int) -> Failed:
        self.failures += 1
        return Failed(error, item, place, position)

    async def _await_values(self, item: Field, values: list[Any], kinds: set[type], place: Place) -> list[Any]:
        """Values with everything awaited and every exception Failed."""
        odd_kinds = {kind for kind in kinds if not is_plain(kind)}
        odd = [position for position, value in enumerate(values) if type(value) in odd_kinds]
        values = list(values)
        for position, value in zip(odd, await outcomes([values[position] for position in odd]), strict=True):
            values[position] = value
            if isinstance(value, Exception):
                values[position] = self._fail(value, item, place, position)
            elif value is Undefined:
                values[position] = None
        return values

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
        if kinds == {Lasting}:
            shape = self._shape_of(item, type_.of_type)
            if shape is not None:
                return await self._complete_lasting(item, type_, values, place, shape)
        elif not kinds <= {list, tuple}:
            values = [await self._items_of(item, value, place, position) for position, value in enumerate(values)]
            if any(type(value) is Failed for value in values):
                return await self._complete_some(item, type_, values, place)
        lengths = list(map(len, values))
        items = list(values[0]) if len(values) == 1 else list(chain.from_iterable(values))
        here = ItemPlace(place, lengths)
        before = self.failures
        done = self.settle(type_.of_type, await self.complete(item, type_.of_type, items, here))
        following = iter(done)
        lists: list[Any] = [done] if len(lengths) == 1 else [list(islice(following, length)) for length in lengths]
        if self.failures != before and is_non_null_type(type_.of_type):
            return [_or_failed(made) for made in lists]
        return lists

    def _shape_of(self, item: Field, type_: Any) -> Shape | None:
        """What the JSON of rows of this type depends on beside them; None where that is more than what is selected."""
        named = type_.of_type if is_non_null_type(type_) else type_
        if not isinstance(named, GraphQLObjectType) or not isinstance(named.is_type_of, RowsOf | None):
            return None
        shape = self._plan.level(item, named).shape
        return shape and (str(type_), shape[1])  # Where an item may be null, null is kept too.

    async def _complete_lasting(self, item: Field, type_: Any, values: list[Lasting], place: Place, shape: Shape) -> list[Any]:
        """Lists of rows that were perhaps written before: only those that were not are completed."""
        known = [self._fragments.find(shape, value.key) for value in values]
        same = [found.common(value) if found else (0, 0) for found, value in zip(known, values, strict=True)]
        fresh = [value[count:] if count else value for value, (_first, count) in zip(values, same, strict=True)]
        before, done = self.failures, []
        if any(fresh):
            starts = accumulate(map(len, values), initial=0)
            spans = [
                range(start + len(value) - len(new), start + len(value))
                for start, value, new in zip(starts, values, fresh, strict=False)
            ]
            here = PartPlace(ItemPlace(place, list(map(len, values))), list(chain.from_iterable(spans)))
            rows = list(chain.from_iterable(fresh))
            done = self.settle(type_.of_type, await self.complete(item, type_.of_type, rows, here))
        following = iter(done)
        lists: list[Any] = []
        for value, found, (first, count), new in zip(values, known, same, fresh, strict=True):
            made = list(islice(following, len(new)))
            if found is None:
                lists.append(made)
                continue
            if count == len(value) == len(found.rows):
                lists.append(found.json)
                continue
            lines = found.lines[first : first + count]
            written = lines_of(made) if self.failures == before else None
            if written is None:
                lists.append([*map(msgspec.Raw, lines), *made])
                continue
            kept = Fragment(value, lines + written)
            self._fragments.put(shape, value.key, kept)
            lists.append(kept.json)
        if self.failures != before and is_non_null_type(type_.of_type):
            return [_or_failed(made) for made in lists]
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

    async def _run(self, item: Field, type_: GraphQLObjectType, rows: list[Any], place: Place) -> list[Any]:
        assert self._run_level is not None, "the execution is over"
        return await self._run_level(self._plan.level(item, type_), rows, place)

    async def _complete_objects(self, item: Field, type_: GraphQLObjectType, values: list[Any], place: Place) -> list[Any]:
        is_type_of = type_.is_type_of
        if is_type_of is not None:
            before = self.failures
            values = await self._check_type(item, type_, is_type_of, values, place)
            if self.failures != before:
                positions = [position for position, value in enumerate(values) if type(value) is not Failed]
                there = [values[position] for position in positions]
                built = await self._run(item, type_, there, PartPlace(place, positions))
                for position, value in zip(positions, built, strict=True):
                    values[position] = value
                return values
        return await self._run(item, type_, values, place)

    async def _check_type(
        self, item: Field, type_: GraphQLObjectType, is_type_of: Callable[..., Any], values: list[Any], place: Place
    ) -> list[Any]:
        if isinstance(is_type_of, RowsOf) and is_type_of.knows(set(map(type, values))):
            return values
        info = self._infos.of(item, place, 0)
        answers = []
        for value in values:
            try:
                answers.append(is_type_of(value, info))
            except Exception as error:  # The error of this value alone.
                answers.append(error)
        if all(answer is True for answer in answers):
            return values
        answers = await outcomes(answers)
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
        executor = self._infos.executor()
        resolve_type = type_.resolve_type or default_type_resolver
        names: list[Any] = []
        for position, value in enumerate(values):
            info = self._infos.of(item, place, position)
            try:
                names.append(resolve_type(value, info, type_))
            except Exception as error:  # The error of this value alone.
                names.append(error)
        names = await outcomes(names)
        completed: list[Any] = list(values)
        concrete: dict[str, tuple[GraphQLObjectType, list[int]]] = {}
        for position, name in enumerate(names):
            try:
                if isinstance(name, Exception):
                    raise name
                if type(name) is not str or name not in concrete:
                    info = self._infos.of(item, place, position)
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


def _or_failed(made: Any) -> Any:
    """A list whose items may not be null, or the first error among them."""
    return next((value for value in made if type(value) is Failed), made) if type(made) is list else made
