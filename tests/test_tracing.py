"""Spans of queries, resolvers, stores and events; the log of slow operations; what `/readyz` says when a store is gone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import strawberry
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from fullon_master_api import tracing
from fullon_master_api.auth.jwt import create_access_token
from fullon_master_api.executor.engine import Engine, Limits
from fullon_master_api.executor.fields import rooted
from tests.e2e.test_inside import ask, gateway_of
from tests.spans import chains, recorded
from tests.transport.stage import connect, open_stage

__all__ = ["recorded"]

SECRET = "hunter2 and more"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}


async def fail(_ctx: object, *, word: str) -> int:
    raise LookupError(f"no {word}")


@strawberry.type
class Query:
    one: int = 1
    failing: int | None = rooted(fail, description="never answers")


class Ctx:
    request_id = "r1"


async def test_a_query_its_resolvers_and_their_stores_are_one_trace(tmp_path: Path, recorded: InMemorySpanExporter) -> None:
    fields = "symbol ticker { bid } candles(timeframe: MINUTE_1, limit: 1) { close }"
    query = f"query Board {{ symbols(first: 2) {{ nodes {{ {fields} }} }} }}"
    async with gateway_of(tmp_path) as gateway:
        recorded.clear()
        await ask(gateway, query, 1)
        found = chains(recorded.get_finished_spans())
    assert found >= {
        ("graphql query",),
        ("resolve Query.symbols", "graphql query"),
        ("orm read", "resolve Query.symbols", "graphql query"),
        ("resolve Symbol.ticker", "graphql query"),
        ("cache read", "resolve Symbol.ticker", "graphql query"),
        ("resolve Symbol.candles", "graphql query"),
        ("ohlcv read", "resolve Symbol.candles", "graphql query"),
    }
    (whole,) = (span for span in recorded.get_finished_spans() if span.name == "graphql query")
    assert whole.attributes is not None
    assert whole.attributes["operation"] == "Board"
    assert whole.attributes["document"] == sha256(query.encode()).hexdigest()


def in_trace(spans: Iterable[ReadableSpan]) -> set[tuple[str, ...]]:
    """The spans of the trace that `CALLER` names, down from the caller's own span."""
    inside = [span for span in spans if span.context and f"{span.context.trace_id:032x}" == TRACE_ID]
    tops = {f"{span.parent.span_id:016x}" for span in inside if span.parent and span.parent.is_remote}
    assert tops <= {SPAN_ID}
    return chains(inside)


async def test_the_spans_of_a_request_belong_to_the_trace_that_its_caller_names(
    tmp_path: Path, recorded: InMemorySpanExporter
) -> None:
    query = {"query": "{ exchanges { nodes { name } } }"}
    async with gateway_of(tmp_path) as gateway:
        token = create_access_token(1, settings=gateway.settings)
        headers = {"authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client:
            recorded.clear()
            assert "errors" not in (await client.post("/graphql", json=query, headers=CALLER)).json()
            by_graphql = in_trace(recorded.get_finished_spans())
            recorded.clear()
            assert (await client.get("/api/v1/orm/exchanges/catalog", headers=CALLER)).status_code == 200
            by_rest = in_trace(recorded.get_finished_spans())
            recorded.clear()
            for wrong in ({}, {"traceparent": "00-" + "0" * 32 + f"-{SPAN_ID}-01"}, {"traceparent": "x"}):
                assert "errors" not in (await client.post("/graphql", json=query, headers=wrong)).json()
            roots = [span for span in recorded.get_finished_spans() if span.name == "graphql query"]

    assert ("orm read", "resolve Query.exchanges", "graphql query") in by_graphql
    assert ("orm read",) in by_rest
    assert [span.parent for span in roots] == [None] * 3


@pytest.mark.parametrize("ws", [None, "websockets-sansio"], ids=["own socket", "any server"])
async def test_the_operations_of_a_socket_belong_to_the_trace_of_its_handshake(recorded: InMemorySpanExporter, ws: Any) -> None:
    async with open_stage(ws=ws) as stage, connect(stage, init=None, additional_headers=CALLER) as client:
        await client.say("subscribe", id="1", payload={"query": "{ hello }"})
        assert (await client.hear())["payload"] == {"data": {"hello": "hello world"}}
        assert (await client.hear())["type"] == "complete"
        assert ("graphql query",) in in_trace(recorded.get_finished_spans())

    async with open_stage(ws=ws) as stage, connect(stage, init=None) as client:
        recorded.clear()
        await client.say("subscribe", id="1", payload={"query": "{ hello }"})
        assert (await client.hear())["type"] == "next"
        assert in_trace(recorded.get_finished_spans()) == set()


async def test_an_event_is_traced_from_the_bus_to_its_readers(recorded: InMemorySpanExporter) -> None:
    async with open_stage() as stage, connect(stage, init={"token": "user:1"}) as client:
        query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'
        await client.say("subscribe", id="1", payload={"query": query})
        await stage.until(1)
        recorded.clear()
        await stage.publish("BTC/USD", "1")
        assert (await client.hear())["payload"]["data"]["ticker"] == {"last": "1"}
        alone = chains(recorded.get_finished_spans())
        for number in "234":
            await stage.publish("BTC/USD", number)
        assert [(await client.hear())["payload"]["data"]["ticker"]["last"] for _ in range(3)] == ["2", "3", "4"]
    assert {("graphql subscription", "live event"), ("live deliver", "live event"), ("bus send",)} <= alone
    assert not any(chain[0] == "live flush" for chain in alone)  # What comes alone is written as it is delivered.
    assert ("live flush", "live deliver", "live event") in chains(recorded.get_finished_spans())


async def test_a_span_of_a_failure_says_its_class_and_tells_nothing_of_variables(recorded: InMemorySpanExporter) -> None:
    engine = Engine(strawberry.Schema(Query))
    await engine.execute(engine.prepare("query($word: String!) { failing(word: $word) }"), {"word": SECRET}, Ctx())
    with pytest.raises(LookupError), tracing.span("outer"):
        raise LookupError(SECRET)

    spans = recorded.get_finished_spans()
    assert {span.name for span in spans} == {"graphql query", "resolve Query.failing", "outer"}
    assert SECRET not in "".join(span.to_json() for span in spans)
    (outer,) = (span for span in spans if span.name == "outer")
    assert (outer.status.status_code, outer.status.description) == (StatusCode.ERROR, "LookupError")


def test_without_a_recorder_no_span_is_made() -> None:
    tracing.record_as_set_up()

    assert not tracing.is_recording()
    assert tracing.span("anything", rows=3) is tracing.NOTHING
    assert tracing.trace_here() is tracing.trace_of_caller(CALLER) is None
    assert tracing.within(None) is tracing.NOTHING


async def test_a_slow_operation_is_logged_by_its_hash_and_a_fast_one_is_not() -> None:
    query = "query Slow($word: String!) { failing(word: $word) one }"
    for slow_s, count in ((0.0, 0), (1e-9, 1), (3_600.0, 0)):
        engine = Engine(strawberry.Schema(Query), Limits(slow_s=slow_s))
        with capture_logs() as events:
            await engine.execute(engine.prepare(query), {"word": SECRET}, Ctx())
        slow = [event for event in events if event["event"] == "operation.slow"]
        assert len(slow) == count
        for event in slow:
            assert (event["operation"], event["document"]) == ("Slow", sha256(query.encode()).hexdigest())
            assert SECRET not in repr(event)


async def test_readyz_names_the_store_that_does_not_answer_and_livez_goes_on(tmp_path: Path) -> None:
    async with gateway_of(tmp_path) as gateway:
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["stores"]) == (200, {"orm": True, "ohlcv": True, "cache": True})
            await gateway.stores.ohlcv.driver.aclose()
            gone = await client.get("/readyz")
            assert (gone.status_code, gone.json()["stores"]) == (503, {"orm": True, "ohlcv": False, "cache": True})
            assert (await client.get("/livez")).status_code == 200
