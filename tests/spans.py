"""What was recorded of the work while a test ran: `from tests.spans import recorded`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fullon_master_api import tracing


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.record_with(provider)
    yield exporter
    tracing.record_with(None)
    provider.shutdown()


def chains(spans: Iterable[ReadableSpan]) -> set[tuple[str, ...]]:
    """The names from each span up to its root."""
    known = {span.context.span_id: span for span in spans if span.context}
    found = set()
    for span in known.values():
        names, above = [span.name], span.parent
        while above is not None and above.span_id in known:
            names.append(known[above.span_id].name)
            above = known[above.span_id].parent
        found.add(tuple(names))
    return found


def names_of(spans: Iterable[ReadableSpan]) -> list[str]:
    """In the order in which they ended."""
    return [span.name for span in spans]
