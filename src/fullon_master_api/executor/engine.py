"""The engine: from the text of an operation to the bytes of its answer."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import strawberry
from graphql import FieldNode, OperationType, get_argument_values, get_variable_values
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.values import VariableValues
from graphql.language import FragmentDefinitionNode
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from fullon_master_api.executor.answers import Answer, DocumentError, answer_executed, answer_refused, coded, refusal
from fullon_master_api.executor.core import run_core
from fullon_master_api.executor.documents import NO_VARIABLES, Documents, Prepared, Recent, operations_of
from fullon_master_api.executor.emission import Objects
from fullon_master_api.executor.explain import explain, explanation
from fullon_master_api.executor.ftv1 import trace_of
from fullon_master_api.executor.incremental import run_incrementally
from fullon_master_api.executor.limits import STRAWBERRY, Limits, check_variables
from fullon_master_api.executor.outcomes import OutOfTime, within
from fullon_master_api.executor.plan import Planner
from fullon_master_api.executor.run import Frame
from fullon_master_api.executor.watching import Watch
from fullon_master_api.logs import get_logger
from fullon_master_api.tracing import is_recording, noted_statements, span

log: Final = get_logger(__name__)

VARIABLE_ERRORS_MAX: Final = 20
INTROSPECTIONS_MAX: Final = 8
KEPT_MAX: Final = 1_000
"""Characters of the variables that are kept with an operation."""
UNCHANGING: Final = frozenset({str, int, float, bool, type(None)})

__all__ = ["Answer", "DocumentError", "Engine", "Limits", "Prepared", "RootCall", "operations_of"]


@dataclass(frozen=True, slots=True)
class RootCall:
    """The one root field of a subscription: its response key, its definition, its arguments as the resolver takes them."""

    key: str
    field: StrawberryField
    arguments: dict[str, Any]


class Engine:
    """Prepares and executes the operations of one schema; all it remembers is bounded and its own."""

    def __init__(self, schema: strawberry.Schema, limits: Limits | None = None) -> None:
        self.schema = schema
        self.limits = limits or Limits()
        self._planner = Planner(schema)
        self._documents = Documents(schema._schema, self._planner, self.limits)
        self._objects = Objects(self.limits.fragments_bytes_max)
        self._introspections: Recent[Answer] = Recent(INTROSPECTIONS_MAX, self.limits.documents_bytes_max)

    def prepare(self, query: str, operation_name: str | None = None) -> Prepared:
        """Parse, measure, validate and plan once; later calls with the same text find it. DocumentError says why not."""
        return self._documents.prepare(query, operation_name)

    def find(self, query: str, operation_name: str | None) -> Prepared | None:
        """The operation, if it is known and not refused."""
        return self._documents.find(query, operation_name)

    async def prepare_in_turn(self, query: str, operation_name: str | None, caller: Hashable) -> Prepared:
        """The same for a server with many callers: a text that is known never waits, a new one waits for its turn (`reading.py`).

        Raises RateLimited where too many wait.
        """
        return await self._documents.prepare_in_turn(query, operation_name, caller)

    def close(self) -> None:
        """End what reads new documents; those that wait are refused."""
        self._documents.close()

    def without_schema(self, prepared: Prepared) -> Prepared | None:
        """What of an operation may run for whom the schema is not shown; None where that is nothing.

        Of the fields that show the schema `__type` alone may be null, and is then, as for a type that there is not.
        """
        if not prepared.schema_fields:
            return prepared
        nullable = prepared.schema_fields == {"__type"} and not prepared.incremental and not self.schema.get_extensions()
        return prepared.blind() if nullable else None

    async def execute(
        self,
        prepared: Prepared,
        variables: Mapping[str, Any] | None,
        context: Any,
        root: Any = None,
        *,
        traced: bool = False,
        explained: bool = False,
    ) -> Answer:
        """Run a query or a mutation to the bytes of its answer, within `limits.timeout_s`.

        `traced` adds its `ftv1` trace, `explained` what the run did (`explain.py`), to the extensions of the answer.
        """
        request_id: str = context.request_id
        if prepared.kind is OperationType.SUBSCRIPTION:
            told = "a subscription is a stream: connect by WebSocket to follow it"
            return answer_refused([refusal("BAD_USER_INPUT", told, prepared.operation)], request_id)
        began = time.perf_counter()
        if traced or explained or is_recording():
            answer = await self._watched(prepared, variables, context, root, Watch(noting=explained), traced=traced)
        else:
            answer = await self._run(prepared, variables, context, root)
        took_s = time.perf_counter() - began
        if took_s > self.limits.slow_s > 0:
            log.warning(
                "operation.slow", duration_ms=round(took_s * 1000), **_attributes(prepared, request_id), errors=len(answer.codes)
            )
        return answer

    def execute_incrementally(
        self, prepared: Prepared, variables: Mapping[str, Any] | None, context: Any
    ) -> AsyncGenerator[dict[str, Any]]:
        """Run a query or mutation to the frames of its answer; DocumentError when it may not run with these variables."""
        given = dict(variables or {})
        prepared.cost.check(given)
        self._values(prepared, given)
        return run_incrementally(self.schema, prepared, given, context, self.limits.timeout_s)

    async def execute_event(self, prepared: Prepared, variables: Mapping[str, Any] | None, context: Any, event: Any) -> bytes:
        """The answer of a subscription to one event: the value of its root field."""
        if is_recording():
            return (await self._watched(prepared, variables, context, event, Watch())).body
        return (await self._run(prepared, variables, context, event)).body

    async def _watched(
        self,
        prepared: Prepared,
        variables: Mapping[str, Any] | None,
        context: Any,
        root: Any,
        watch: Watch,
        *,
        traced: bool = False,
    ) -> Answer:
        """The same with a span around it, and times for the trace that is asked for."""
        with span(f"graphql {prepared.kind.value}", **_attributes(prepared, context.request_id)):
            return await self._run(prepared, variables, context, root, watch, traced)

    def explain(self, prepared: Prepared, variables: Mapping[str, Any] | None = None) -> str:
        """How the operation would be run with these variables, as text; DocumentError when they do not fit."""
        values = self._values(prepared, dict(variables or {}))
        cost = prepared.cost.check(variables)
        return explain(prepared, prepared.plans.get(values), prepared.plans.unsupported, cost)

    def root_call(self, prepared: Prepared, variables: Mapping[str, Any] | None) -> RootCall:
        """The field that a subscription subscribes to, with coerced arguments; DocumentError when they do not fit."""
        schema = self.schema._schema
        values = self._values(prepared, dict(variables or {}))
        prepared.cost.check(variables)
        root_type = schema.get_root_type(prepared.kind)
        assert root_type is not None
        definitions = (node for node in prepared.document.definitions if isinstance(node, FragmentDefinitionNode))
        fragments = {node.name.value: FragmentDetails(node) for node in definitions}
        grouped = collect_fields(schema, fragments, values, root_type, prepared.operation).grouped_field_set
        if len(grouped) != 1:
            raise DocumentError([refusal("BAD_USER_INPUT", "a subscription selects exactly one field", prepared.operation)])
        key, details = next(iter(grouped.items()))
        node: FieldNode = details[0].node
        definition = schema.get_field(root_type, node.name.value)
        field = definition.extensions.get(STRAWBERRY) if definition is not None else None
        if definition is None or not isinstance(field, StrawberryField):
            raise DocumentError([refusal("BAD_USER_INPUT", f"{node.name.value!r} is not a stream", node)])
        converter = self.schema.schema_converter
        arguments = convert_arguments(
            get_argument_values(definition, node, values),
            field.arguments,
            scalar_registry=converter.scalar_registry,
            config=converter.config,
        )
        return RootCall(key, field, arguments)

    def _values(self, prepared: Prepared, given: dict[str, Any]) -> VariableValues:
        """The variables coerced; DocumentError `BAD_USER_INPUT` when they do not fit.

        The last ones are kept: a live operation is executed with the same variables for each event. 1, 1.0 and true are equal
        in Python, hence the types in the key; values that a resolver could change are never kept, nor long ones.
        """
        kinds = tuple(map(type, given.values()))
        small = UNCHANGING.issuperset(kinds) and sum(len(value) for value in given.values() if type(value) is str) <= KEPT_MAX
        key = (tuple(given.items()), kinds) if small else None
        if key is not None and prepared.coerced is not None and prepared.coerced[0] == key:
            return prepared.coerced[1]
        if not small:
            check_variables(self.schema._schema, prepared.operation, given, self.limits.variable_values_max)
        definitions = prepared.operation.variable_definitions or ()
        values = get_variable_values(self.schema._schema, definitions, given, VARIABLE_ERRORS_MAX, hide_suggestions=True)
        if isinstance(values, list):
            raise DocumentError([coded(error, "BAD_USER_INPUT") for error in values])
        if key is not None:
            prepared.coerced = (key, values)
        return values

    async def _run(
        self,
        prepared: Prepared,
        variables: Mapping[str, Any] | None,
        context: Any,
        root: Any,
        watch: Watch | None = None,
        traced: bool = False,
    ) -> Answer:
        request_id: str = context.request_id
        try:
            prepared.cost.check(variables)
        except DocumentError as error:
            return error.answer(request_id)
        try:
            answer: Answer = await within(self.limits.timeout_s, self._answer(prepared, variables, context, root, watch, traced))
        except OutOfTime:
            told = f"the operation took longer than {self.limits.timeout_s:g} s and was stopped"
            answer = answer_executed(None, [refusal("TIMEOUT", told)], request_id)
        return answer

    async def _answer(
        self,
        prepared: Prepared,
        variables: Mapping[str, Any] | None,
        context: Any,
        root: Any,
        watch: Watch | None,
        traced: bool,
    ) -> Answer:
        given = dict(variables or {})
        values = NO_VARIABLES
        if prepared.operation.variable_definitions:
            try:
                values = self._values(prepared, given)
            except DocumentError as error:
                return error.answer(context.request_id)
        plan = prepared.plans.get(values)
        if plan is None and prepared.incremental:
            why = "with @defer or @stream this operation comes in parts only: accept multipart/mixed, or leave them out"
            return answer_refused([refusal("BAD_USER_INPUT", why, prepared.operation)], context.request_id)
        if plan is None:
            with noted_statements() if watch is not None and watch.noting else nullcontext() as notes:
                answer = await self._answer_by_core(prepared, given, context, root, watch if traced else None)
            if watch is None or notes is None:
                return answer
            told = explanation(None, prepared.plans.unsupported, prepared.cost.check(variables), watch, notes)
            return answer.extended({"explain": told})
        frame = Frame(self.schema, self._planner, self._objects, plan, values, context, root, watch)
        data = await frame.run()
        answer = answer_executed(data, frame.errors, context.request_id)
        if watch is not None and watch.noting:
            answer = answer.extended({"explain": explanation(plan, "", prepared.cost.check(variables), watch, [])})
        if traced and watch is not None:
            return answer.extended({"ftv1": trace_of(plan, data, frame.errors, watch, context.request_id)})
        return answer

    async def _answer_by_core(
        self, prepared: Prepared, variables: dict[str, Any], context: Any, root: Any, watch: Watch | None
    ) -> Answer:
        """What only graphql-core knows. The answer to pure introspection never changes, so it is kept."""
        key = (prepared.text, prepared.name)
        fixed = self._introspections.get(key)
        if fixed is not None and watch is None and not prepared.hides_types:
            return fixed
        data, errors = await run_core(self.schema, prepared, variables, context, root, self._documents.read_apart)
        answer = answer_executed(data, errors, context.request_id)
        if watch is not None:
            return answer.extended({"ftv1": trace_of(None, data, errors, watch, context.request_id)})
        if not errors and _is_introspection(prepared) and not self.schema.get_extensions() and not prepared.hides_types:
            self._introspections.put(key, answer)
        return answer


def _attributes(prepared: Prepared, request_id: str) -> dict[str, str]:
    """What is told of an operation outside: its name and its document's hash, never its text or its variables."""
    digest = sha256(prepared.text.encode()).hexdigest()
    name = prepared.operation.name
    return {"operation": name.value if name else "", "kind": prepared.kind.value, "document": digest, "request_id": request_id}


def _is_introspection(prepared: Prepared) -> bool:
    """Whether an operation asks about the schema alone, the same thing each time."""
    operation = prepared.operation
    return not operation.variable_definitions and all(
        isinstance(node, FieldNode) and node.name.value.startswith("__") for node in operation.selection_set.selections
    )
