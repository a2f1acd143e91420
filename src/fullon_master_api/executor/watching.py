"""When the fields of one execution were worked on: for its trace, and as spans where spans are recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from fullon_master_api.executor.plan import Field
from fullon_master_api.tracing import Note, noted_statements, span


class Watch:
    """One execution's clock. `times` are nanoseconds from its begin: of the first call of a field to the end of its last.

    With `noting` it knows for how many rows each field was answered and which statements that took.
    """

    def __init__(self, *, noting: bool = False) -> None:
        self.noting = noting
        self.rows: dict[Field, int] = {}
        self.notes: dict[Field, list[Note]] = {}
        self.began_ns = time.time_ns()
        self._zero_ns = time.perf_counter_ns()
        self.times: dict[Field, tuple[int, int]] = {}

    def elapsed_ns(self) -> int:
        return time.perf_counter_ns() - self._zero_ns

    @contextmanager
    def field(self, item: Field, rows: int) -> Iterator[None]:
        """While a field is answered for so many rows."""
        began = self.elapsed_ns()
        try:
            with (
                span(f"resolve {item.parent.name}.{item.details[0].node.name.value}", rows=rows),
                noted_statements() if self.noting else nullcontext() as notes,
            ):
                yield
            if notes is not None:
                self.rows[item] = self.rows.get(item, 0) + rows
                self.notes.setdefault(item, []).extend(notes)
        finally:
            first = self.times.get(item, (began, began))[0]
            self.times[item] = (first, self.elapsed_ns())
