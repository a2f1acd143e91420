"""Reads and writes of the candle store as spans, in both shapes."""

from __future__ import annotations

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fullon_master_api.apis.ohlcv import OhlcvStore
from tests.apis.ohlcv.test_store_writes import KEY, read, trade
from tests.spans import names_of, recorded

__all__ = ["recorded"]


async def test_each_visit_of_the_store_is_a_span(recorded: InMemorySpanExporter, store: OhlcvStore) -> None:
    recorded.clear()
    await store.append_trades(*KEY, [trade(1, 5)])
    written = names_of(recorded.get_finished_spans())
    recorded.clear()
    assert len(await read(store)) == 1
    was_read = names_of(recorded.get_finished_spans())

    assert (set(written), set(was_read)) == ({"ohlcv write"}, {"ohlcv read"})
