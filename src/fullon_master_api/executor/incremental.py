"""Incremental delivery: `@defer` and `@stream`, run by graphql-core and told as frames in the format of graphql-js 17.

Source: the RFC on incremental delivery of the GraphQL specification: `pending`, `incremental`, `completed`, `hasNext`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

from graphql import (
    ExecutionResult,
    InitialIncrementalExecutionResult,
    SubsequentIncrementalExecutionResult,
    experimental_execute_incrementally,
)
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext

from fullon_master_api.executor.answers import refusal, render_errors
from fullon_master_api.executor.documents import Prepared

Frame = dict[str, Any]


async def run_incrementally(
    schema: Schema, prepared: Prepared, variables: dict[str, Any], context: Any, timeout_s: float
) -> AsyncGenerator[Frame]:
    """The frames of one operation; after `timeout_s` seconds what is still pending is completed with TIMEOUT."""
    request_id: str = context.request_id
    until_s = asyncio.get_running_loop().time() + timeout_s
    pending: set[str] = set()
    late = render_errors([refusal("TIMEOUT", f"the operation took longer than {timeout_s:g} s and was stopped")], request_id)
    try:
        async with asyncio.timeout_at(until_s):
            result = experimental_execute_incrementally(
                schema._schema,
                prepared.document,
                context_value=context,
                variable_values=variables,
                operation_name=prepared.name,
                executor_class=StrawberryGraphQLCoreExecutionContext,
                operation_extensions=None,
            )
            if isawaitable(result):
                result = await result
    except TimeoutError:
        yield {"data": None, "errors": late, "hasNext": False}
        return
    if isinstance(result, ExecutionResult):
        shown = {"data": result.data, **_errors(result.errors, request_id)}
        yield {**shown, "hasNext": False}
        return
    first = result.initial_result
    pending.update(part.id for part in first.pending)
    yield _first(first, request_id)
    async with aclosing(result.subsequent_results) as rest:
        while True:
            try:
                async with asyncio.timeout_at(until_s):
                    frame = await anext(rest, None)
            except TimeoutError:
                yield {"completed": [{"id": each, "errors": late} for each in sorted(pending)], "hasNext": False}
                return
            if frame is None:
                return
            pending.update(part.id for part in frame.pending or ())
            pending.difference_update(part.id for part in frame.completed or ())
            yield _next(frame, request_id)


def _first(result: InitialIncrementalExecutionResult, request_id: str) -> Frame:
    parts = [part.formatted for part in result.pending]
    return {"data": result.data, **_errors(result.errors, request_id), "pending": parts, "hasNext": result.has_next}


def _next(result: SubsequentIncrementalExecutionResult, request_id: str) -> Frame:
    """The frame with its errors rendered as all others are: coded, and masked where they are unknown."""
    frame: Frame = {"hasNext": result.has_next}
    if result.pending:
        frame["pending"] = [part.formatted for part in result.pending]
    if result.incremental:
        frame["incremental"] = [{**part.formatted, **_errors(part.errors, request_id)} for part in result.incremental]
    if result.completed:
        frame["completed"] = [{**part.formatted, **_errors(part.errors, request_id)} for part in result.completed]
    return frame


def _errors(errors: Any, request_id: str) -> Frame:
    return {"errors": render_errors(list(errors), request_id)} if errors else {}
