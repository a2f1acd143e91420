"""A plan as text: levels, resolvers, arguments and how often each is called."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import print_ast

from fullon_master_api.executor.documents import Prepared
from fullon_master_api.executor.plan import Field, Kind, Level, Plan

CALLS = {
    Kind.BATCHED: "one call for all rows",
    Kind.ROOTED: "one call",
    Kind.CALL: "one call per row",
    Kind.RESOLVE: "graphql-core's resolver, per row",
    Kind.EVENT: "the event",
    Kind.ATTRIBUTE: "attribute",
}


def explain(prepared: Prepared, plan: Plan | None, unsupported: str, cost: int) -> str:
    """The plan of an operation, one line a field, indented by level."""
    name = prepared.operation.name
    head = prepared.kind.value if name is None else f"{prepared.kind.value} {name.value}"
    if plan is None:
        return f"{head}: cost {cost}, run by graphql-core: {unsupported or 'too many variants of @skip and @include'}\n"
    order = "root fields one after the other" if plan.serial else "fields of a level together"
    return "\n".join([f"{head}: cost {cost}, planned, {order}", *_level_lines(plan, plan.root, "  ")]) + "\n"


def _level_lines(plan: Plan, level: Level, indent: str) -> Iterator[str]:
    yield f"{indent}{level.type.name}"
    inline = [item.key for item in level.fields if item.inline]
    if inline:
        yield f"{indent}  {', '.join(inline)}: attributes"
    for position in level.pending:
        item = level.fields[position]
        yield f"{indent}  {item.key}: {item.type} {_source(item)}"
        for below in plan.levels(item):
            yield from _level_lines(plan, below, indent + "    ")


def _source(item: Field) -> str:
    function = item.way.function
    named = f" of {function.__module__.rpartition('.')[2]}.{function.__qualname__}" if function is not None else ""
    given = ", ".join(f"{node.name.value}: {print_ast(node.value)}" for node in item.details[0].node.arguments or ())
    return f"<- {CALLS[item.way.kind]}{named}" + (f" ({given})" if given else "")
