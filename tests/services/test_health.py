"""The health monitor: what counts as down, what is restarted and how often, what every process can read of it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from fullon_master_api.apis.orm.demo import install_demo
from fullon_master_api.bus import Delivery, public_trades_topic
from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.model import DesiredState, Fence, Principal, Role, Scope, ServiceName, ServiceState, Ticker
from fullon_master_api.rest.probes import probe_router
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.health import HealthAction, HealthMonitor, may_restart
from fullon_master_api.services.health_views import HealthDesk
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.readiness import check_readiness
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.wiring import build_manager
from tests.bus.redis_server import RedisServer
from tests.services.stage import WITHIN_S, list_symbols, open_platform, running, settings_of, until

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADMIN = Principal(uid=1, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
MONITORED = ServiceName.TICKER


async def fail(resources: Resources, name: ServiceName) -> None:
    """Leave a service as its owner leaves it after a crash."""
    epoch = (await resources.orm.services.claim([name.value], "crashed", 600.0))[name.value]
    row = await resources.orm.services.set_desired(name, DesiredState.RUNNING, by=None)
    fence = Fence(service=name.value, epoch=epoch)
    generation = row.generation
    await resources.orm.services.observe(
        fence, state=ServiceState.FAILED, observed_generation=generation, last_error="ValueError: x"
    )


async def monitor_of(resources: Resources) -> HealthMonitor:
    name = ServiceName.HEALTH_MONITOR.value
    epoch = (await resources.orm.services.claim([name], "test", 600.0))[name]
    return HealthMonitor(resources, quick(resources), Fence(service=name, epoch=epoch), FeedBoard())


def quick(resources: Resources) -> ServiceManager:
    return ServiceManager(resources.orm.services, resources.bus, wait_s=0.05, ttl_s=30.0)


async def test_a_service_that_failed_is_restarted_once_and_the_status_is_recovering(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        await fail(resources, MONITORED)
        before = await resources.orm.services.get(MONITORED)
        monitor = await monitor_of(resources)
        report = await monitor.check()
        after = await resources.orm.services.get(MONITORED)
        assert (after.generation, after.desired) == (before.generation + 1, DesiredState.RUNNING)
        assert report.issues == ["Service ticker is FAILED"]
        assert report.performed == ["service_health", "process_cache", "database", "redis"]
        assert [action.service_name for action in report.actions] == ["ticker"]
        assert report.restart_counts == {"ticker": 1}
        again = await monitor.check()  # Nobody runs it, so it is still down; the cooldown forbids another try.
        assert (await resources.orm.services.get(MONITORED)).generation == after.generation
        assert (again.total_checks, again.total_issues_found, again.total_recovery_actions) == (2, 2, 1)
        assert again.overall_status == "degraded"


async def test_every_action_is_counted_and_the_newest_ten_are_shown(tmp_path: Path) -> None:
    limits = {"health_auto_restart_cooldown_seconds": 0, "health_auto_restart_max_per_hour": 100}
    async with open_platform(tmp_path, **limits) as resources:
        await fail(resources, MONITORED)
        monitor = await monitor_of(resources)
        for _ in range(13):
            await monitor.check()
        body = await HealthDesk(resources, build_manager(resources), dict).monitor()
    metrics = body["metrics"]
    assert (metrics["total_checks"], metrics["total_issues_found"], metrics["total_recovery_actions"]) == (13, 13, 13)
    assert (metrics["service_restart_counts"], metrics["action_history_count"]) == ({"ticker": 13}, 13)
    assert [(action["service_name"], action["action_type"]) for action in body["recent_actions"]] == [
        ("ticker", "auto_restart")
    ] * 10
    stamps = [action["timestamp"] for action in body["recent_actions"]]
    assert stamps == sorted(stamps)


async def test_a_service_that_an_admin_stopped_is_well(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        report = await (await monitor_of(resources)).check()
        assert (report.overall_status, report.issues, report.actions) == ("healthy", [], [])


@pytest.mark.parametrize(
    ("tries_s_ago", "allowed"),
    [([], True), ([299], False), ([301], True), ([301, 700, 1200, 1900, 2500], False), ([301, 700, 1200, 1900, 3601], True)],
)
def test_restarts_are_limited_by_a_cooldown_and_by_the_hour(tmp_path: Path, tries_s_ago: list[int], allowed: bool) -> None:
    tries = [HealthAction(timestamp=NOW - timedelta(seconds=ago), service_name="ticker") for ago in tries_s_ago]
    others = [HealthAction(timestamp=NOW, service_name="ohlcv", succeeded=False)] * 5
    assert may_restart("ticker", [*others, *tries], NOW, settings_of(tmp_path)) is allowed
    assert not may_restart("ticker", [], NOW, settings_of(tmp_path, health_auto_restart_enabled=False))


async def test_what_could_not_be_tidied_is_tidied_by_the_next_check_and_then_for_an_hour_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_platform(tmp_path) as resources:
        monitor, prune, calls = await monitor_of(resources), resources.orm.events.prune, list[datetime]()

        async def away_once(before: datetime) -> int:
            calls.append(before)
            if len(calls) == 1:
                raise StoreUnavailable("away")
            return await prune(before)

        monkeypatch.setattr(resources.orm.events, "prune", away_once)
        with pytest.raises(StoreUnavailable):
            await monitor._tidy(NOW)
        for minutes in (1, 2, 60):
            await monitor._tidy(NOW + timedelta(minutes=minutes))
        assert len(calls) == 2
        await monitor._tidy(NOW + timedelta(minutes=61))
        assert len(calls) == 3


async def test_a_process_without_a_heartbeat_is_an_issue_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    async with open_platform(tmp_path, health_stale_process_threshold_minutes=1e-6) as resources:
        dead = await resources.cache.processes.register("tick", "dead", status="running")
        gone = await resources.cache.processes.register("tick", "gone", status="running")
        await resources.cache.processes.stop(gone.process_id)
        report = await (await monitor_of(resources)).check()
        assert report.issues == [f"Process {dead.component} gave no heartbeat for 6e-05 s"]


async def test_a_killed_process_is_no_issue_once_another_does_its_work(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        processes = resources.cache.processes
        killed = await processes.register("tick", "ticker_daemon", status="running")
        old = msgspec.structs.replace(killed, heartbeat_at=killed.heartbeat_at - timedelta(days=1), updated_at=datetime.now(UTC))
        await processes._put(old)
        monitor = await monitor_of(resources)
        assert (await monitor.check()).issues == ["Process ticker_daemon gave no heartbeat for 600 s"]
        await processes.register("tick", "ticker_daemon", status="running")
        assert (await monitor.check()).issues == []


async def test_the_bodies_of_the_health_routes_have_the_originals_keys_and_tell_the_truth(tmp_path: Path) -> None:
    async with open_platform(tmp_path, health_check_interval_seconds=300) as resources:
        desk = HealthDesk(resources, build_manager(resources), dict)
        fresh = await desk.health()
        assert (fresh["status"], fresh["monitoring"]["is_running"], fresh["issues"]) == ("healthy", False, [])
        async with running(resources, ServiceName.HEALTH_MONITOR, partial(HealthMonitor, resources, quick(resources))) as board:
            row = await resources.orm.services.get(ServiceName.HEALTH_MONITOR)
            fence = Fence(service=row.name.value, epoch=row.epoch)
            await resources.orm.services.observe(fence, state=board.state())

            async def checked() -> bool:
                return bool((await desk.monitor())["metrics"]["total_checks"])

            await until(checked)
            await fail(resources, MONITORED)
            body = await desk.health()
            assert set(body) == {
                "status", "monitoring", "auto_restart", "metrics", "issues", "recovery_actions", "recent_actions",
                "version", "service", "services",
            }  # fmt: skip
            assert (body["status"], body["issues"]) == ("degraded", ["Service ticker is FAILED"])
            assert body["service"] == "fullon_master_api"
            assert body["services"]["ticker"] == {
                "service": "ticker", "status": "stopped", "is_running": False, "state": "FAILED",
            }  # fmt: skip
            assert list(body["services"]) == ["ticker", "ohlcv", "account", "health_monitor"]
            assert "ValueError" not in str(body)
            result = await desk.check()
            assert result["checks_performed"] == ["service_health", "process_cache", "database", "redis"]
            assert (result["overall_status"], result["issues_found"]) == ("degraded", ["Service ticker is FAILED"])
            assert (await resources.orm.services.get(MONITORED)).generation == 1  # A look repairs nothing.


async def test_readiness_is_503_while_a_store_is_away_and_tells_no_more(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        async with open_platform(tmp_path, redis_url=redis.url) as resources:
            app = FastAPI()
            app.include_router(probe_router(partial(check_readiness, resources, build_manager(resources))))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://probe") as client:
                ready = await client.get("/readyz")
                redis.stop()
                away, alive = await client.get("/readyz"), await client.get("/livez")
                redis.start()

                async def again() -> bool:
                    return (await client.get("/readyz")).status_code == 200

                await until(again, within_s=WITHIN_S)
    finally:
        redis.stop()
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "stores": dict.fromkeys(("orm", "ohlcv", "cache"), True)},
    )
    assert (away.status_code, away.json()["status"]) == (503, "not ready")
    assert away.json()["stores"] == {"orm": True, "ohlcv": True, "cache": False}
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})


async def test_the_deep_look_tells_latencies_ages_and_the_errors_of_services(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        await list_symbols(resources, ["BTC/USD", "ETH/USD"])
        old_ns = time.time_ns() - 600 * 10**9
        await resources.cache.tickers.set(Ticker(exchange="kraken", symbol="ETH/USD", last="1", received_ns=old_ns))
        await fail(resources, MONITORED)
        began_s = time.perf_counter()
        body = await HealthDesk(resources, build_manager(resources), dict).deep()
        took_ms = (time.perf_counter() - began_s) * 1000
        assert {name: found["ok"] for name, found in body["stores"].items()} == {"orm": True, "ohlcv": True, "cache": True}
        assert all(0 <= found["latency_ms"] <= took_ms + 0.01 for found in body["stores"].values())  # It is rounded.
        assert [line["symbol"] for line in body["tickers"]["stale"]] == ["BTC/USD", "ETH/USD"]
        assert 599 < body["tickers"]["oldest_s"] < 700
        assert body["candles"]["stale"][0]["age_s"] is None
        assert {row["name"]: row["last_error"] for row in body["services"]}["ticker"] == "ValueError: x"
        assert body["bus"]["shape"] == "memory"
        msgspec.json.encode(body)


async def test_the_deep_look_tells_what_waits_in_each_queue(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        account = (await install_demo(resources.orm, password_hash="x")).trader_account
        desk = HealthDesk(resources, build_manager(resources), lambda: {"events_waiting": 3})
        assert (await desk.deep())["queues"]["commands"] == {"waiting": 0, "oldest_s": None}
        asked = {"ex_id": account.ex_id, "uid": account.uid, "symbol": "BTC/USD", "side": "buy", "order_type": "market"}
        await resources.orm.orders.place(None, asked | {"volume": Decimal(1), "dry_run": True})
        topic = public_trades_topic("kraken", "BTC/USD")
        async with resources.bus.subscribe(topic, delivery=Delivery.QUEUE), resources.bus.subscribe(topic) as conflating:
            for number in range(3):
                await resources.bus.publish(topic, Ticker(exchange="kraken", symbol="BTC/USD", received_ns=number))
            while conflating.conflated < 2:  # type: ignore[union-attr]
                await asyncio.sleep(0)
            queues = (await desk.deep())["queues"]
    assert queues["bus"] == {"to_be_sent": 0, "mailboxes": 2, "to_be_read": 4, "to_be_read_max": 3}
    assert queues["commands"]["waiting"] == 1
    assert 0 <= queues["commands"]["oldest_s"] < 600
    assert queues["live"] == {"events_waiting": 3}
