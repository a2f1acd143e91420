"""The bodies that the health routes answer: the original's words, and the truth of this moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fullon_master_api.errors import Unavailable
from fullon_master_api.model import Service, ServiceName, ServiceState
from fullon_master_api.services.health import HealthReport, last_report
from fullon_master_api.services.health_checks import Findings, look
from fullon_master_api.services.health_deep import look_deep
from fullon_master_api.services.manager import UP, ServiceManager
from fullon_master_api.services.resources import Resources

RECENT_MAX: Final = 10


class HealthDesk:
    """Answers for the REST routes of any process; it only looks, whoever asks and however often."""

    def __init__(self, resources: Resources, manager: ServiceManager, live: Callable[[], dict[str, int]]) -> None:
        """`live` tells how many events wait for the readers of this process."""
        self._with, self._manager, self._live = resources, manager, live

    async def services(self) -> dict[str, dict[str, Any]]:
        """`/health/services`: each service as the original says it. Raises: StoreUnavailable."""
        return {row.name.value: service_body(row) for row in await self._manager.get_all()}

    async def monitor(self) -> dict[str, Any]:
        """`/health/monitor`: status, monitoring, limits, metrics, issues and what was done about them."""
        findings, report, rows = await self._known()
        settings = self._with.settings
        monitor = next((row for row in rows if row.name is ServiceName.HEALTH_MONITOR), None)
        running = monitor is not None and monitor.state in UP
        return {
            "status": status_now(findings, report if running else None),
            "monitoring": {
                "enabled": settings.health_monitor_enabled,
                "is_running": running,
                "check_interval_seconds": settings.health_check_interval_seconds,
                "last_check": stamp(report.checked_at) if report is not None else None,
                "next_check": stamp(report.next_check_at) if report is not None and running else None,
            },
            "auto_restart": {
                "enabled": settings.health_auto_restart_enabled,
                "cooldown_seconds": settings.health_auto_restart_cooldown_seconds,
                "max_restarts_per_hour": settings.health_auto_restart_max_per_hour,
                "services_to_monitor": settings.health_services_to_monitor,
            },
            "metrics": metrics_body(report, running=running),
            "issues": findings.issues,
            "recovery_actions": report.recovery_actions if report is not None else [],
            "recent_actions": [
                {
                    "timestamp": stamp(action.timestamp),
                    "service_name": action.service_name,
                    "action_type": action.action_type,
                    "reason": action.reason,
                }
                for action in (report.actions[-RECENT_MAX:] if report is not None else [])
            ],
        }

    async def health(self) -> dict[str, Any]:
        """`/health`: the monitor's body with this server and its services; it answers also when a store is away."""
        try:
            services = await self.services()
        except Unavailable:
            services = {}
        return {
            **await self.monitor(),
            "version": self._with.settings.api_version,
            "service": "fullon_master_api",
            "services": services,
        }

    async def check(self) -> dict[str, Any]:
        """`POST /health/check`: the result of one look now. It repairs nothing: that is the monitor's, under its lease."""
        findings, report, rows = await self._known()
        running = any(row.name is ServiceName.HEALTH_MONITOR and row.state in UP for row in rows)
        return {
            "timestamp": stamp(findings.at),
            "checks_performed": findings.performed,
            "issues_found": findings.issues,
            "recovery_actions": report.recovery_actions if report is not None else [],
            "overall_status": status_now(findings, report if running else None),
            "metrics": metrics_body(report, running=running),
        }

    async def deep(self) -> dict[str, Any]:
        """`/health/deep`, for admins: latencies, pools, queues, ages of the data, the services with their feeds and errors."""
        return await look_deep(self._with, self._manager, self._live)

    async def _known(self) -> tuple[Findings, HealthReport | None, Sequence[Service]]:
        """What a look finds now, the monitor's last report and the services; the last two empty while the store is away."""
        findings = await look(self._with, self._manager)
        try:
            return findings, await last_report(self._with), await self._manager.get_all()
        except Unavailable:
            return findings, None, []


def status_now(findings: Findings, report: HealthReport | None) -> str:
    """`recovering` only while the monitor that runs has just mended all it found; else what is found now."""
    if report is not None and report.overall_status == "recovering":
        return "recovering"
    return "degraded" if findings.issues else "healthy"


def service_body(row: Service) -> dict[str, Any]:
    """`running` where it is up, `stopped` where it is not; the exact state beside it, without the error's text."""
    up = row.state in UP and row.state is not ServiceState.STARTING
    return {"service": row.name.value, "status": "running" if up else "stopped", "is_running": up, "state": row.state.value}


def metrics_body(report: HealthReport | None, *, running: bool) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "uptime_seconds": (now - report.first_at).total_seconds() if report is not None and running else 0.0,
        "total_checks": report.total_checks if report is not None else 0,
        "total_issues_found": report.total_issues_found if report is not None else 0,
        "total_recovery_actions": report.total_recovery_actions if report is not None else 0,
        "service_restart_counts": report.restart_counts if report is not None else {},
        "action_history_count": len(report.actions) if report is not None else 0,
        "is_running": running,
    }


def stamp(instant: datetime) -> str:
    """RFC 3339, UTC, with `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
