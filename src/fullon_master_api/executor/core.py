"""graphql-core's own executor as this server runs it: what everything else must equal."""

from __future__ import annotations

from copy import copy
from inspect import isawaitable
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.execution.executor import CollectedErrors
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext

from fullon_master_api.executor.documents import Prepared


class SteadyExecution(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's execution context without the leak of graphql-core 3.3.2 on subscriptions.

    Its memo of sub-fields is shared by all events of a stream and keyed by lists that are new with each event, so it
    grows by 1.7 KB an event. Pass this class as `execution_context_class` to a schema.
    """

    def build_per_event_executor(self, payload: Any) -> SteadyExecution:
        executor = copy(self)
        executor.root_value = payload
        executor.collected_errors = CollectedErrors()
        executor._relevant_sub_fields = {}
        return executor


async def run_core(
    schema: Schema, prepared: Prepared, variables: dict[str, Any], context: Any, root: Any
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
    result = executor.execute_operation()
    if isawaitable(result):
        result = await result
    executed = cast("ExecutionResult", result)
    return executed.data, list(executed.errors or ())
