"""The checks of the platform's health: they look, and change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from fullon_master_api.errors import GatewayError
from fullon_master_api.model import DesiredState, Record, Service, ServiceName, ServiceState, Timeframe
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources

PROBE_S: Final = 2.0
PROCESSES_S: Final = 86_400.0
"""A process that died is looked for so far back; what stopped in order is not looked for at all."""


class Findings(Record, frozen=True, kw_only=True):
    """What one check found; `issues` name no internals, `down` are the services to start again and why."""

    at: datetime
    performed: list[str]
    issues: list[str]
    down: dict[str, str]


async def look(resources: Resources, manager: ServiceManager) -> Findings:
    """Every check that the settings enable, at once."""
    settings = resources.settings
    checks: dict[str, Callable[[], Awaitable[list[str]]]] = {}
    down: dict[str, str] = {}

    async def services() -> list[str]:
        found = await failed_services(manager, [ServiceName(name) for name in settings.health_services_to_monitor])
        down.update(found)
        return [f"Service {name} is {reason}" for name, reason in found.items()]

    checks["service_health"] = services
    if settings.health_enable_process_cache_checks:
        checks["process_cache"] = lambda: stale_processes(resources)
    if settings.health_enable_database_checks:
        checks["database"] = lambda: database_issues(resources)
    if settings.health_enable_redis_checks:
        checks["redis"] = lambda: cache_issues(resources)
    found = await asyncio.gather(*(_guarded(name, check) for name, check in checks.items()))
    return Findings(
        at=datetime.now(UTC), performed=list(checks), issues=[issue for issues in found for issue in issues], down=down
    )


async def failed_services(manager: ServiceManager, names: list[ServiceName]) -> dict[str, str]:
    """Those that should run and do not, with their state. One that an admin stopped is well."""
    return {row.name.value: row.state.value for row in await manager.get_all() if row.name in names and is_down(row)}


def is_down(service: Service) -> bool:
    return service.desired is DesiredState.RUNNING and service.state in (ServiceState.FAILED, ServiceState.CRASH_LOOP)


async def stale_processes(resources: Resources) -> list[str]:
    """Components whose newest process neither stopped nor reported for longer than the threshold.

    A process that was killed is no issue once another one does its work.
    """
    threshold = timedelta(minutes=resources.settings.health_stale_process_threshold_minutes)
    newest: dict[tuple[str, str], datetime] = {}
    for process in await resources.cache.processes.active(since_s=PROCESSES_S):
        component = (process.process_type, process.component)
        newest[component] = max(process.heartbeat_at, newest.get(component, process.heartbeat_at))
    oldest = datetime.now(UTC) - threshold
    return [
        f"Process {name} gave no heartbeat for {threshold.total_seconds():g} s"
        for (_type, name), heartbeat_at in sorted(newest.items())
        if heartbeat_at < oldest
    ]


async def database_issues(resources: Resources) -> list[str]:
    """Both SQL stores answer."""
    issues = []
    if not await answers(resources.orm.ping):
        issues.append("Database is unavailable")
    if not await answers(lambda: resources.ohlcv.last_candles([("", "")], Timeframe.MINUTE_1)):
        issues.append("OHLCV database is unavailable")
    return issues


async def cache_issues(resources: Resources) -> list[str]:
    return [] if await answers(lambda: resources.cache.tickers.get_many([("", "")])) else ["Cache is unavailable"]


async def answers(probe: Callable[[], Awaitable[object]]) -> bool:
    """Whether a store answers within two seconds."""
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except (GatewayError, TimeoutError):
        return False
    return True


async def _guarded(name: str, check: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """The issues a check finds; one that cannot be made because its store is away is an issue itself."""
    try:
        async with asyncio.timeout(2 * PROBE_S):
            return await check()
    except (GatewayError, TimeoutError):
        return [f"Check {name} could not be made"]
