"""Reads and writes of the cache as spans, in both shapes."""

from __future__ import annotations

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fullon_master_api.apis.cache import Cache
from tests.apis.cache.records import tick
from tests.spans import names_of, recorded

__all__ = ["recorded"]


async def test_each_read_and_each_write_is_a_span(recorded: InMemorySpanExporter, cache: Cache) -> None:
    recorded.clear()
    await cache.tickers.set(tick())
    assert await cache.tickers.get_many([("kraken", "BTC/USD")]) != [None]
    assert len(await cache.tickers.all("kraken")) == 1
    assert await cache.tickers.delete("kraken", "BTC/USD")

    names = [name for name in names_of(recorded.get_finished_spans()) if name != "bus send"]
    assert names == ["cache write", "cache read", "cache read", "cache write"]
