"""A plan as text: levels, resolvers, arguments and how often each is called; and what a run of it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import print_ast

from fullon_master_api.executor.documents import Prepared
from fullon_master_api.executor.plan import Field, Kind, Level, Plan
from fullon_master_api.executor.watching import Watch
from fullon_master_api.tracing import Note

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
    named, given = _resolver(item), _arguments(item)
    return f"<- {CALLS[item.way.kind]}{f' of {named}' if named else ''}{f' ({given})' if given else ''}"


def _resolver(item: Field) -> str:
    function = item.way.function
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}" if function is not None else ""


def _arguments(item: Field) -> str:
    """As the document has them: a variable by its name."""
    return ", ".join(f"{node.name.value}: {print_ast(node.value)}" for node in item.details[0].node.arguments or ())


# ---- a run -------------------------------------------------------------------------------------------------------------


def explanation(plan: Plan | None, unsupported: str, cost: int, watch: Watch, by_core: list[Note]) -> dict[str, Any]:
    """What a run did: its fields with resolver, rows, times and statements, level by level; statements without their values."""
    told: dict[str, Any] = {"cost": cost, "tookMs": _ms(watch.elapsed_ns())}
    if plan is None:
        return told | {"runBy": "graphql-core", "why": unsupported, "statements": [_statement(note) for note in by_core]}
    return told | {"runBy": "plan", "fields": list(_fields(plan, plan.root, watch, 0, ""))}


def _fields(plan: Plan, level: Level, watch: Watch, depth: int, path: str) -> Iterator[dict[str, Any]]:
    for position in level.pending:
        item = level.fields[position]
        here = f"{path}.{item.key}" if path else item.key
        if item in watch.times:
            began, ended = watch.times[item]
            yield {
                "level": depth,
                "path": here,
                "type": str(item.type),
                "resolver": _resolver(item) or None,
                "called": CALLS[item.way.kind],
                "arguments": _arguments(item) or None,
                "rows": watch.rows.get(item, 0),
                "beganMs": _ms(began),
                "tookMs": _ms(ended - began),
                "statements": [_statement(note) for note in watch.notes.get(item, ())],
            }
        for below in plan.levels(item):
            yield from _fields(plan, below, watch, depth + 1, here)


def _statement(note: Note) -> dict[str, Any]:
    return {"sql": note.sql, "rows": note.rows, "tookMs": _ms(note.took_ns)}


def _ms(ns: int) -> float:
    return round(ns / 1e6, 3)


def explanation_text(told: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    lines = [f"run by {told['runBy']} in {told['tookMs']} ms, cost {told['cost']}"]
    for note in told.get("statements", ()):
        lines += _statement_lines(note, "  ")
    for item in told.get("fields", ()):
        indent = "  " * (item["level"] + 1)
        named = f" of {item['resolver']}" if item["resolver"] else ""
        lines.append(f"{indent}{item['path']}: {item['called']}{named}, {item['rows']} rows, {item['tookMs']} ms")
        for note in item["statements"]:
            lines += _statement_lines(note, indent + "  ")
    return "\n".join(lines) + "\n"


def _statement_lines(note: Mapping[str, Any], indent: str) -> list[str]:
    head = f"{indent}statement, {note['rows']} rows, {note['tookMs']} ms:"
    return [head, *(f"{indent}  {line.strip()}" for line in note["sql"].strip().splitlines())]
