"""`/health`: how the platform is, in the original's words, for anybody; checks on demand, for admins."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel

from fullon_master_api.errors import Forbidden
from fullon_master_api.rest.access import Admin
from fullon_master_api.rest.faults import ErrorBody
from fullon_master_api.services.health_views import HealthDesk

AWAY: Final[dict[int | str, dict[str, Any]]] = {503: {"model": ErrorBody}}
REFUSED: Final[dict[int | str, dict[str, Any]]] = {401: {"model": ErrorBody}, 403: {"model": ErrorBody}}


class ServiceLine(BaseModel):
    service: str
    status: str
    is_running: bool
    state: str


class ServiceLines(BaseModel):
    services: dict[str, ServiceLine]


class Monitoring(BaseModel):
    enabled: bool
    is_running: bool
    check_interval_seconds: float
    last_check: str | None
    next_check: str | None


class AutoRestart(BaseModel):
    enabled: bool
    cooldown_seconds: float
    max_restarts_per_hour: int
    services_to_monitor: list[str]


class Metrics(BaseModel):
    uptime_seconds: float
    total_checks: int
    total_issues_found: int
    total_recovery_actions: int
    service_restart_counts: dict[str, int]
    action_history_count: int
    is_running: bool


class Action(BaseModel):
    timestamp: str
    service_name: str
    action_type: str
    reason: str


class Monitor(BaseModel):
    """What the health monitor knows."""

    status: str
    monitoring: Monitoring
    auto_restart: AutoRestart
    metrics: Metrics
    issues: list[str]
    recovery_actions: list[str]
    recent_actions: list[Action]


class Health(Monitor):
    """The same with this server and its services."""

    version: str
    service: str
    services: dict[str, ServiceLine]


class Check(BaseModel):
    timestamp: str
    checks_performed: list[str]
    issues_found: list[str]
    recovery_actions: list[str]
    overall_status: str
    metrics: Metrics


class Checked(BaseModel):
    status: str
    result: Check


def health_router(desk: HealthDesk) -> APIRouter:
    """The router of `/health`."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("", summary="How the platform is")
    async def health() -> Health:
        return Health.model_validate(await desk.health())

    @router.get("/services", summary="How the services are", responses=AWAY)
    async def services() -> ServiceLines:
        return ServiceLines.model_validate({"services": await desk.services()})

    @router.get("/monitor", summary="What the health monitor knows")
    async def monitor() -> Monitor:
        return Monitor.model_validate(await desk.monitor())

    @router.post("/check", summary="Look now", responses=REFUSED)
    async def check(admin: Admin) -> Checked:
        if not admin.may_write:
            raise Forbidden("this credential may only read: use one with the scope 'write'")
        return Checked(status="completed", result=Check.model_validate(await desk.check()))

    @router.get("/deep", summary="Latencies, pools, queues, ages of the data", responses=REFUSED)
    async def deep(admin: Admin) -> dict[str, Any]:
        return await desk.deep()

    return router
