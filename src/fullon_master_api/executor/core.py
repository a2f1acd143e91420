"""graphql-core's own executor as this server runs it: what everything else must equal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from inspect import CORO_CREATED, getcoroutinestate, isawaitable, iscoroutine
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, GraphQLObjectType, OperationType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import CollectedErrors
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext

from fullon_master_api.executor.documents import Prepared

Apart = Callable[[Callable[[], Any]], Awaitable[Any]]


class SteadyExecution(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's execution context without two leaks of graphql-core 3.3.2: pass it as `execution_context_class` to a schema.

    Its memo of sub-fields is shared by all events of a stream and keyed by lists that are new with each event, so it
    grows by 1.7 KB an event. And what it cancels because a sibling failed may not have begun: the coroutines inside are then
    never awaited, which Python warns of whenever it frees them, and others run on when the answer is out.
    """

    _made: list[Coroutine[Any, Any, Any]]
    hides_types = False
    """Whether `__type` answers null, as it does for a type that there is not."""
    apart: Apart | None = None
    """Where what shows the schema is worked out: it can take as long as thousands of rows, and waits for nothing."""

    def execute_operation(self, serially: bool | None = None) -> Any:
        made = self._made = []
        is_awaitable = self.is_awaitable

        def noted(value: Any) -> bool:
            if not is_awaitable(value):
                return False
            if iscoroutine(value):
                made.append(value)
            return True

        self.is_awaitable = noted  # type: ignore[assignment]
        result: Any = super().execute_operation(serially)
        if is_awaitable(result) or self.background_futures:
            return self._finish(result, made)
        return result

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_details_list: FieldDetailsList, *others: Any
    ) -> Any:
        name = field_details_list[0].node.name.value
        if self.hides_types and name == "__type":
            return None
        execute = super().execute_field
        if self.apart is not None and name in ("__schema", "__type"):
            return self.apart(lambda: execute(parent_type, source, field_details_list, *others))
        return execute(parent_type, source, field_details_list, *others)

    def complete_list_item_value(self, item: Any, complete_results: list[Any], *others: Any) -> bool:
        waits = super().complete_list_item_value(item, complete_results, *others)
        if waits:  # The one coroutine of graphql-core that it does not ask `is_awaitable` about.
            self._made.append(complete_results[-1])
        return waits

    async def _finish(self, result: Any, made: list[Coroutine[Any, Any, Any]]) -> Any:
        """The result, when whatever was begun for it has ended and whatever was not is closed."""
        try:
            return await result if isawaitable(result) else result
        finally:
            while left := list(self.background_futures):
                for future in left:
                    future.cancel()
                await asyncio.gather(*left, return_exceptions=True)
            close_unstarted(made)

    def build_per_event_executor(self, payload: Any) -> SteadyExecution:
        executor = copy(self)
        executor.root_value = payload
        executor.collected_errors = CollectedErrors()
        executor._relevant_sub_fields = {}
        return executor


def close_unstarted(made: list[Coroutine[Any, Any, Any]]) -> int:
    """Close those that never ran and nobody will await; how many these were."""
    unstarted = [coroutine for coroutine in made if getcoroutinestate(coroutine) == CORO_CREATED]
    for coroutine in unstarted:
        coroutine.close()
    return len(unstarted)


async def run_core(
    schema: Schema, prepared: Prepared, variables: dict[str, Any], context: Any, root: Any, apart: Apart | None = None
) -> tuple[Any, list[GraphQLError]]:
    """Run a valid operation by graphql-core, with the schema's extensions if it has any: data and errors."""
    if schema.get_extensions() and prepared.kind is not OperationType.SUBSCRIPTION:
        answered = await schema.execute(prepared.text, variables, context, root, prepared.name)
        return answered.data, list(answered.errors or ())
    executor = SteadyExecution.build(
        schema._schema, prepared.document, root, context, variables, prepared.name, operation_extensions=None
    )
    if isinstance(executor, list):
        return None, executor
    steady = cast("SteadyExecution", executor)
    steady.hides_types, steady.apart = prepared.hides_types, apart
    result = steady.execute_operation()
    if isawaitable(result):
        result = await result
    executed = cast("ExecutionResult", result)
    return executed.data, list(executed.errors or ())
