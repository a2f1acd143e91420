"""Traces of single answers, as a supergraph's router asks for them: `ftv1`, a base64 Trace of Apollo's reports.proto.

Source: `Trace` in reports.proto of npm `@apollo/usage-reporting-protobuf`. A field's times are those of the call that
answered it for all its rows; a field read from its row has those of the call that gave the row.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from graphql import GraphQLError

from fullon_master_api.executor.answers import plain, render_error
from fullon_master_api.executor.plan import Field, Level, Plan
from fullon_master_api.executor.watching import Watch

HEADER: Final = "apollo-federation-include-trace"
NODES_MAX: Final = 20_000
"""A trace with more nodes is cut there and says so."""

Times = tuple[int, int]


def trace_of(plan: Plan | None, data: Any, errors: Sequence[GraphQLError], watch: Watch, request_id: str) -> str:
    """The trace of one answer; of an operation that graphql-core ran it has the whole time and the errors only."""
    tree = _Tree(plan, errors, watch, request_id)
    whole = watch.elapsed_ns()
    root = tree.children(plan.root, plain(data), (), (0, whole)) if plan is not None and data is not None else b""
    if plan is not None and data is None:
        root += tree.errors_at(())
    parts = [
        _message(4, _stamp(watch.began_ns)),
        _message(3, _stamp(watch.began_ns + whole)),
        _number(11, whole),
        _message(14, root if plan is not None else tree.all_errors()),
        _number(33, int(plan is None or tree.left <= 0)),
    ]
    return base64.b64encode(b"".join(parts)).decode()


class _Tree:
    """The nodes of one trace: as the answer is shaped, with the times of the plan's fields."""

    def __init__(self, plan: Plan | None, errors: Sequence[GraphQLError], watch: Watch, request_id: str) -> None:
        self._plan = plan
        self._watch = watch
        self._errors: dict[tuple[str | int, ...], list[bytes]] = {}
        for error in errors:
            self._errors.setdefault(tuple(error.path or ()), []).append(_error(render_error(error, request_id)))
        self.left = NODES_MAX

    def children(self, level: Level, row: dict[str, Any], path: tuple[str | int, ...], times: Times) -> bytes:
        """The nodes of an object's fields."""
        found = []
        for item in level.fields:
            if self.left <= 0:
                break
            self.left -= 1
            here, spent = (*path, item.key), self._watch.times.get(item, times)
            name = item.details[0].node.name.value
            parts = [
                _text(1, item.key),
                _text(3, str(item.type)),
                _text(13, item.parent.name),
                _number(8, spent[0]),
                _number(9, spent[1]),
            ]
            if name != item.key:
                parts.append(_text(14, name))
            parts += [self.errors_at(here), self._below(item, row.get(item.key), here, spent)]
            found.append(_message(12, b"".join(parts)))
        return b"".join(found)

    def _below(self, item: Field, value: Any, path: tuple[str | int, ...], times: Times) -> bytes:
        """The nodes under a value: of its fields, or of the places of a list."""
        if item.leaf is not None or value is None:
            return b""
        if isinstance(value, dict):
            assert self._plan is not None
            level = next((level for level in self._plan.levels(item) if level.keys == tuple(value) and _fits(level, value)), None)
            return b"" if level is None else self.children(level, value, path, times)
        found = []
        for index, entry in enumerate(value):
            if self.left <= 0:
                break
            self.left -= 1
            here = (*path, index)
            found.append(
                _message(12, _number(2, index, always=True) + self.errors_at(here) + self._below(item, entry, here, times))
            )
        return b"".join(found)

    def errors_at(self, path: tuple[str | int, ...]) -> bytes:
        return b"".join(_message(11, error) for error in self._errors.get(path, ()))

    def all_errors(self) -> bytes:
        return b"".join(self.errors_at(path) for path in self._errors)


def _fits(level: Level, value: dict[str, Any]) -> bool:
    return bool(value.get("__typename", level.type.name) == level.type.name)


def _error(shown: dict[str, Any]) -> bytes:
    """An error as the client sees it: what is masked there is masked here."""
    places = [_message(2, _number(1, place["line"]) + _number(2, place["column"])) for place in shown.get("locations", ())]
    return b"".join([_text(1, shown["message"]), *places, _text(4, msgspec.json.encode(shown).decode())])


def _stamp(epoch_ns: int) -> bytes:
    seconds, rest = divmod(epoch_ns, 1_000_000_000)
    return _number(1, seconds) + _number(2, rest)


# ---- the wire of protocol buffers (protobuf.dev/programming-guides/encoding) ---------------------------------------------


def _digits(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _number(field: int, value: int, *, always: bool = False) -> bytes:
    """An unsigned integer; 0 is what a reader assumes, so it is left out where nothing hangs on its being there."""
    return bytes([*_digits(field << 3), *_digits(value)]) if value or always else b""


def _message(field: int, body: bytes) -> bytes:
    return bytes([*_digits(field << 3 | 2), *_digits(len(body))]) + body


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())
