"""The health monitor: checks on a period, starts again what failed, and keeps a report that every process can read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from fullon_master_api.apis.ohlcv.pruning import Retention, prune
from fullon_master_api.errors import HistoryGap, Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Fence, Record, ServiceName
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.health_checks import Findings, look
from fullon_master_api.services.heartbeats import BEAT_S, Heartbeats
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources
from fullon_master_api.settings import Settings

log = get_logger(__name__)

HEALTH_TOPIC: Final = "health"
HISTORY_MAX: Final = 100
HOUR: Final = timedelta(hours=1)
RETRY_S: Final = 60.0
EVENTS_KEPT: Final = timedelta(days=7)
"""How long the outbox is kept: a reader that was away for longer gets GAP and reads the state anew."""


class HealthAction(Record, frozen=True, kw_only=True):
    """A try to start a service again; also a failed try counts against the limits."""

    timestamp: datetime
    service_name: str
    action_type: str = "auto_restart"
    reason: str = "service_not_running"
    succeeded: bool = True


class HealthReport(Record, frozen=True, kw_only=True):
    """What the monitor saw and did: the last check, and the sums since it first ran, over restarts and owners."""

    first_at: datetime
    checked_at: datetime
    next_check_at: datetime
    performed: list[str]
    issues: list[str]
    recovery_actions: list[str]
    overall_status: str
    total_checks: int
    total_issues_found: int
    total_recovery_actions: int
    restart_counts: dict[str, int]
    actions: list[HealthAction]


def may_restart(service: str, actions: Sequence[HealthAction], now: datetime, settings: Settings) -> bool:
    """Whether the limits allow one more try: the cooldown since the last one is over, and the hour has room."""
    tries = [action.timestamp for action in actions if action.service_name == service and now - action.timestamp < HOUR]
    if not settings.health_auto_restart_enabled or len(tries) >= settings.health_auto_restart_max_per_hour:
        return False
    return not tries or (now - max(tries)).total_seconds() >= settings.health_auto_restart_cooldown_seconds


def status_of(findings: Findings, tried: Sequence[HealthAction]) -> str:
    """`recovering` while everything that is wrong is being mended; a failed try is no recovery."""
    if tried and all(action.succeeded for action in tried):
        return "recovering"
    return "degraded" if findings.issues else "healthy"


class HealthMonitor:
    """One owner among all processes, as every service; its report goes to the outbox, where any process finds it."""

    def __init__(self, resources: Resources, manager: ServiceManager, fence: Fence, board: FeedBoard) -> None:
        self._with, self._manager, self._fence, self._board = resources, manager, fence, board
        self._tidied = datetime.min.replace(tzinfo=UTC)
        processes = resources.cache.processes
        self._heartbeats = Heartbeats(processes, board, process_type="health", component="health_monitor")

    async def run(self) -> None:
        interval_s = self._with.settings.health_check_interval_seconds
        async with aclosing(self._heartbeats):
            while True:
                self._board.ready()
                await self._heartbeats.beat()
                try:
                    report = await self.check()
                    await self._tidy(report.checked_at)
                    wait_s = interval_s
                except Unavailable as away:
                    log.warning("health.unchecked", error=away.message)
                    wait_s = min(RETRY_S, interval_s)
                while wait_s > 0:
                    await asyncio.sleep(min(wait_s, BEAT_S))
                    wait_s -= BEAT_S
                    await self._heartbeats.beat()

    async def check(self) -> HealthReport:
        """One check with its repairs and its report. Raises: StoreUnavailable, StaleEpoch."""
        findings = await look(self._with, self._manager)
        last = await last_report(self._with)
        known = list(last.actions) if last is not None else []
        tried: list[HealthAction] = []
        for service in findings.down:
            if may_restart(service, [*known, *tried], findings.at, self._with.settings):
                tried.append(await self._restart(ServiceName(service)))
        report = _summed(last, findings, tried, self._with.settings.health_check_interval_seconds)
        await self._with.orm.events.append(HEALTH_TOPIC, "health", report, fence=self._fence)
        log.info("health.checked", status=report.overall_status, issues=len(report.issues), actions=len(tried))
        return report

    async def _tidy(self, now: datetime) -> None:
        """Forget what nobody asks for any more, at most once an hour."""
        if now - self._tidied < HOUR:
            return
        gone = await self._with.orm.events.prune(now - EVENTS_KEPT)
        await self._with.orm.users.prune_refresh_tokens()
        settings = self._with.settings
        retention = Retention(trades_days=settings.ohlcv_trades_days, minutes_days=settings.ohlcv_minutes_days)
        if retention != Retention():
            await prune(self._with.ohlcv, retention, now_ns=time.time_ns(), fence=self._fence)
        processes = await self._with.cache.processes.clean_stale()
        self._tidied = now  # Only now: what could not be done is tried again by the next check.
        log.info("health.tidied", events=gone, processes=processes)

    async def _restart(self, service: ServiceName) -> HealthAction:
        log.warning("health.restart", service=service.value)
        try:
            row = await self._manager.restart(service, by=None)
            succeeded = row.state.value in ("RUNNING", "DEGRADED", "STARTING")
        except Unavailable as away:
            log.warning("health.restart_failed", service=service.value, error=away.message)
            succeeded = False
        return HealthAction(timestamp=datetime.now(UTC), service_name=service.value, succeeded=succeeded)


async def last_report(resources: Resources) -> HealthReport | None:
    """The newest report of any owner; None before the first one. Raises: StoreUnavailable."""
    sequence = await resources.orm.events.last_sequence(HEALTH_TOPIC)
    if sequence == 0:
        return None
    try:
        found = await resources.orm.events.read_after(HEALTH_TOPIC, sequence - 1, 1)
    except HistoryGap:  # It was pruned: the monitor has not run for longer than events are kept.
        return None
    return msgspec.json.decode(found[-1].payload, type=HealthReport) if found else None


def _summed(last: HealthReport | None, findings: Findings, tried: list[HealthAction], interval_s: float) -> HealthReport:
    counts = dict(last.restart_counts) if last is not None else {}
    for action in tried:
        counts[action.service_name] = counts.get(action.service_name, 0) + 1
    done = [
        f"Restarted service {action.service_name}" if action.succeeded else f"Could not restart service {action.service_name}"
        for action in tried
    ]
    return HealthReport(
        first_at=last.first_at if last is not None else findings.at,
        checked_at=findings.at,
        next_check_at=findings.at + timedelta(seconds=interval_s),
        performed=findings.performed,
        issues=findings.issues,
        recovery_actions=done,
        overall_status=status_of(findings, tried),
        total_checks=(last.total_checks if last is not None else 0) + 1,
        total_issues_found=(last.total_issues_found if last is not None else 0) + len(findings.issues),
        total_recovery_actions=(last.total_recovery_actions if last is not None else 0) + len(tried),
        restart_counts=counts,
        actions=([*last.actions, *tried] if last is not None else tried)[-HISTORY_MAX:],
    )
