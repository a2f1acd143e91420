"""The hub's figures as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from fullon_master_api.transport.figures import HubCollector
from tests.transport.stage import connect, open_stage

TICKER = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'


async def test_what_the_hub_does_can_be_read_by_prometheus() -> None:
    async with open_stage() as stage:
        registry = CollectorRegistry()
        registry.register(HubCollector(stage.hub))
        async with connect(stage, init=None) as one, connect(stage, init=None) as two, connect(stage) as bad:
            for client in (one, two):
                await client.say("subscribe", id="1", payload={"query": TICKER})
            await bad.say("subscribe", id="1", payload={"query": TICKER})
            await bad.closed()
            await stage.until(streams=2)
            await stage.publish("BTC/USD", "1")
            for client in (one, two):
                await client.hear()
            told = generate_latest(registry).decode().splitlines()
        for line in (
            "fullon_live_groups 1.0",
            "fullon_live_members 2.0",
            "fullon_live_lagging 0.0",
            "fullon_live_executions_total 1.0",
            "fullon_live_delivered_total 2.0",
            'fullon_live_closes_total{code="4401"} 1.0',
            'fullon_live_lag_seconds_bucket{le="+Inf"} 1.0',
        ):
            assert line in told
