"""pytest plugin: lets graphql-core's own execution tests run against our executor instead of graphql-core's.

Loaded with `-p core_suite` in a process of its own, since the suite's folder is called `tests` too. Whatever asks for what only
graphql-core has (middleware, hooks, an own executor class, abort signals) goes there.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from types import SimpleNamespace
from typing import Any

import graphql
import graphql.execution
from graphql import ExecutionResult, GraphQLSchema
from graphql.execution import Executor

from fullon_master_api.executor.answers import plain
from fullon_master_api.executor.emission import Objects
from fullon_master_api.executor.plan import Planner, Plans
from fullon_master_api.executor.run import Frame

core = importlib.import_module("graphql.execution.execute")
core_execute, core_execute_sync = core.execute, core.execute_sync
counts = {"planned": 0, "core": 0}


def bare(schema: GraphQLSchema) -> Any:
    """A schema without Strawberry: every field is resolved by whatever graphql-core would call."""
    return SimpleNamespace(
        _schema=schema, exception_handlers=(), config=SimpleNamespace(default_resolver=getattr), get_extensions=lambda: []
    )


def planned(schema: Any, document: Any, root: Any, context: Any, variables: Any, name: str | None) -> Any:
    """A coroutine of the result, or None when it is graphql-core's to run or to refuse."""
    if not isinstance(schema, GraphQLSchema) or schema.get_directive("defer") or schema.get_directive("stream"):
        return None
    executor = Executor.build(schema, document, root, context, variables, name)
    if isinstance(executor, list) or schema.get_root_type(executor.operation.operation) is None:
        return None
    planner = Planner(bare(schema))
    plan = Plans(planner, document, executor.operation).get(executor.variable_values)
    if plan is None:
        return None
    frame = Frame(bare(schema), planner, Objects(), plan, executor.variable_values, context, root)

    async def run() -> ExecutionResult:
        data = plain(await frame.run())
        return ExecutionResult(data, frame.errors or None)

    return run()


def execute(
    schema: Any,
    document: Any,
    root_value: Any = None,
    context_value: Any = None,
    variable_values: Any = None,
    operation_name: str | None = None,
    *others: Any,
    **options: Any,
) -> Any:
    given = (schema, document, root_value, context_value, variable_values, operation_name)
    run = planned(*given) if not others and not options else None
    counts["planned" if run else "core"] += 1
    if run is None:
        return core_execute(*given, *others, **options)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run)
    return run


def execute_sync(
    schema: Any,
    document: Any,
    root_value: Any = None,
    context_value: Any = None,
    variable_values: Any = None,
    operation_name: str | None = None,
    *others: Any,
    **options: Any,
) -> Any:
    given = (schema, document, root_value, context_value, variable_values, operation_name)
    run = planned(*given) if not others and not options else None
    counts["planned" if run else "core"] += 1
    if run is None:
        return core_execute_sync(*given, *others, **options)
    results: list[Any] = []
    # A test may run in a loop already, and a loop cannot wait for another one in its own thread.
    thread = threading.Thread(target=lambda: results.append(asyncio.run(run)))
    thread.start()
    thread.join()
    return results[0]


for module in (core, graphql.execution, graphql):
    module.execute = execute  # type: ignore[attr-defined]
    module.execute_sync = execute_sync  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"planned={counts['planned']} core={counts['core']}")
