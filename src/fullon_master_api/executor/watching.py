"""When the fields of one execution were worked on: for its trace, and as spans where spans are recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fullon_master_api.executor.plan import Field
from fullon_master_api.tracing import span


class Watch:
    """One execution's clock. `times` are nanoseconds from its begin: of the first call of a field to the end of its last."""

    def __init__(self) -> None:
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
            with span(f"resolve {item.parent.name}.{item.details[0].node.name.value}", rows=rows):
                yield
        finally:
            first = self.times.get(item, (began, began))[0]
            self.times[item] = (first, self.elapsed_ns())
