"""`/api/v1/services`: admins start, stop and watch the collecting services."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from fullon_master_api.model import DesiredState, Service, ServiceName, ServiceState
from fullon_master_api.rest.access import Admin
from fullon_master_api.rest.faults import ErrorBody
from fullon_master_api.services.manager import ServiceManager

REFUSED: Final[dict[int | str, dict[str, Any]]] = {401: {"model": ErrorBody}, 403: {"model": ErrorBody}}
CONTRADICTED: Final[dict[int | str, dict[str, Any]]] = {**REFUSED, 400: {"model": ErrorBody}}
ALIVE: Final = (ServiceState.RUNNING, ServiceState.STARTING, ServiceState.DEGRADED)


class Changed(BaseModel):
    """The original's answer to a change, and the state that was really observed."""

    service: str
    status: str
    state: str


class Status(BaseModel):
    """The original's words, and ours: the exact state with its last error."""

    service: str
    status: str
    is_running: bool
    state: str
    last_error: str | None = None


class Statuses(BaseModel):
    services: dict[str, Status]


def services_router(manager: ServiceManager) -> APIRouter:
    """The router of `/services`, to be mounted under the API's prefix."""
    router = APIRouter(prefix="/services", tags=["services"])

    @router.get("", summary="All services", responses=REFUSED)
    async def services(admin: Admin) -> Statuses:
        return Statuses(services={service.name.value: status_of(service) for service in await manager.get_all()})

    @router.get("/{name}/status", summary="One service", responses=REFUSED)
    async def status(name: ServiceName, admin: Admin) -> Status:
        return status_of(await manager.get(name))

    @router.post("/{name}/start", summary="Start a service", responses=CONTRADICTED)
    async def start(name: ServiceName, admin: Admin) -> Changed:
        if is_wanted(await manager.get(name)):
            raise HTTPException(400, f"ServiceName.{name.name} is already running")
        return changed(await manager.start(name, by=admin), "started")

    @router.post("/{name}/stop", summary="Stop a service", responses=CONTRADICTED)
    async def stop(name: ServiceName, admin: Admin) -> Changed:
        if (await manager.get(name)).desired is DesiredState.STOPPED:
            raise HTTPException(400, f"ServiceName.{name.name} is not running")
        return changed(await manager.stop(name, by=admin), "stopped")

    @router.post("/{name}/restart", summary="Restart a service", responses=CONTRADICTED)
    async def restart(name: ServiceName, admin: Admin) -> Changed:
        return changed(await manager.restart(name, by=admin), "restarted")

    return router


def is_wanted(service: Service) -> bool:
    """Whether starting it would change nothing: it is meant to run, and has not failed."""
    return service.desired is DesiredState.RUNNING and service.state not in (ServiceState.FAILED, ServiceState.CRASH_LOOP)


def status_of(service: Service) -> Status:
    """`running` only while the observed state says so."""
    alive = service.state in ALIVE
    return Status(
        service=service.name.value,
        status="running" if alive else "stopped",
        is_running=alive,
        state=service.state.value,
        last_error=service.last_error,
    )


def changed(service: Service, word: str) -> Changed:
    return Changed(service=service.name.value, status=word, state=service.state.value)
