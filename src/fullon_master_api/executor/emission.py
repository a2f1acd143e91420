"""Emission: the generated function that turns the rows of a level into what the JSON encoder writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from graphql import is_non_null_type

from fullon_master_api.executor.fragments import Fragments
from fullon_master_api.executor.plan import Field, Kind, Level

ROWS_WORTH: Final = 16
"""A level with this many rows, or one that runs a second time, is worth its generated function."""


class Objects:
    """Struct classes by response keys: the encoder writes one faster than a dict, and making one costs half as much.

    `fragments` is what was written before and may be asked again.
    """

    COUNT_MAX: Final = 2_000

    def __init__(self, fragments_bytes_max: int = 0) -> None:
        self._classes: dict[tuple[str, ...], type[msgspec.Struct]] = {}
        self.fragments = Fragments(fragments_bytes_max)

    def of(self, keys: tuple[str, ...]) -> type[msgspec.Struct]:
        """The class of an object with these keys in this order."""
        made = self._classes.get(keys)
        if made is None:
            if len(self._classes) >= self.COUNT_MAX:
                self._classes.clear()
            names = [f"f{position}" for position in range(len(keys))]
            made = msgspec.defstruct(
                "Selected",
                [(name, Any) for name in names],
                rename=dict(zip(names, keys, strict=True)),
                gc=False,
                eq=False,
            )
            self._classes[keys] = made
        return made


def build_of(level: Level, objects: Objects) -> Callable[..., None]:
    """`build(built, rows, columns…)` of a level: appends one object per row; it raises at a row that it does not know.

    Only attribute names of the schema's own classes and numbers enter the source; response keys never do.
    """
    names: dict[str, Any] = {"Selected": objects.of(level.keys), "Decimal": Decimal}
    body: list[str] = []
    values: list[str] = []
    for position, item in enumerate(level.fields):
        variable = f"v{position}"
        values.append(variable)
        if item.way.kind is Kind.TYPENAME:
            names[variable] = level.type.name
        elif item.inline:
            body.append(f"{variable} = row.{item.way.attribute}")
            body.extend(_leaf_lines(item, position, names))
    columns = [f"c{position}" for position in level.pending]
    heads = [f"v{position}" for position in level.pending]
    selected = f"Selected({', '.join(values)})"
    loop = f"for row, {', '.join(heads)} in zip(rows, {', '.join(columns)})" if columns else "for row in rows"
    head = f"def build({', '.join(['built', 'rows', *columns])}):"
    if body:
        lines = [head, "    append = built.append", f"    {loop}:", *(f"        {line}" for line in body)]
        lines.append(f"        append({selected})")
    else:
        lines = [head, f"    built.extend([{selected} {loop}])"]
    exec(compile("\n".join(lines), f"<level {level.type.name}>", "exec"), names)  # noqa: S102 - See the docstring.
    build: Callable[..., None] = names["build"]
    return build


def built_at_once(build: Callable[..., None], rows: Sequence[Any], columns: Sequence[Sequence[Any]]) -> list[Any] | None:
    """The objects of all these rows; None where one of them is odd: then it is found out which."""
    built: list[Any] = []
    try:
        build(built, rows, *columns)
    except Exception:  # They are built once more, one by one where it is odd, and its error is told at its place.
        return None
    return built


def _leaf_lines(item: Field, position: int, names: dict[str, Any]) -> list[str]:
    assert item.leaf is not None
    variable, converter, extra = f"v{position}", f"convert{position}", f"names{position}"
    names[converter] = item.leaf.converter(nullable=not is_non_null_type(item.type))
    for name, value in item.leaf.names.items():
        names[name.replace("{e}", extra)] = value
    return [line.format(v=variable, c=converter, e=extra) for line in item.leaf.lines]
