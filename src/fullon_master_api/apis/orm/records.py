"""Records made of rows: all of a record's columns, or only those that somebody wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from fullon_master_api import model
from fullon_master_api.model import Record

T = TypeVar("T", bound=Record)
Convert = Callable[[Any], Any]

PARTIAL_MAX: Final = 1_000

Wanted = model.Wanted | None
"""Names of the fields that will be read; None for all. The others hold `msgspec.UNSET`, which no answer takes for a value."""


class Chosen(NamedTuple):
    """The fields of a record that a statement reads, in the record's order, and those of them that come as their text."""

    names: tuple[str, ...]
    texts: frozenset[str] = frozenset()


@lru_cache(maxsize=PARTIAL_MAX)
def chosen_of(every: Chosen, wanted: model.Wanted, shown: frozenset[str], needed: tuple[str, ...]) -> Chosen:
    """What is read of `every` field where this is wanted, `shown` of it only shown, and these are needed with it."""
    names = tuple(name for name in every.names if name in wanted or name in needed)
    return Chosen(names, (shown & every.texts).difference(needed))


@lru_cache(maxsize=PARTIAL_MAX)
def partial_of(record: type[T], names: tuple[str, ...]) -> type[T]:
    """The same record made of these fields alone; what it holds can hold no cycle, so it is not tracked for one."""
    fields: list[Any] = [(name, Any) if name in names else (name, Any, msgspec.UNSET) for name in record.__struct_fields__]
    made = msgspec.defstruct(record.__name__, fields, bases=(record,), frozen=True, kw_only=True, gc=False)
    assert issubclass(made, record)
    return made


def builder(record: type[T], names: tuple[str, ...], converts: Sequence[Convert | None]) -> Callable[[Sequence[Any]], list[T]]:
    """Records of a driver's rows, whose first columns are the record's; `converts` is for all columns of a row."""
    whole = names == record.__struct_fields__
    known: dict[str, Any] = {"made": record if whole else partial_of(record, names)}
    values = []
    for place, name in enumerate(names):
        value = f"v{place}"
        if converts[place] is not None:
            known[f"c{place}"] = converts[place]
            value = f"c{place}({value})"
        values.append(f"{name}={value}")
    row = "".join(f"v{place}, " for place in range(len(converts)))
    source = f"lambda rows: [made({', '.join(values)}) for ({row}) in rows]"
    build: Callable[[Sequence[Any]], list[T]] = eval(source, known)  # noqa: S307 - Names of our own records alone.
    return build
