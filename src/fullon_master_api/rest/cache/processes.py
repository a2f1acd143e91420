"""The processes socket: the platform's running parts and their health, for admins."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from time import time
from typing import Annotated

import msgspec

from fullon_master_api.apis.cache.processes import is_stale
from fullon_master_api.bus import PROCESSES_TOPIC
from fullon_master_api.model import Principal, Process
from fullon_master_api.rest.cache.desk import Action, Desk, Endpoint, Json, Name, Params, Stream, patiently

SINCE_MINUTES = 5.0


class SomeProcesses(Params, frozen=True):
    process_type: Name | None = None
    component: Name | None = None
    since_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] = SINCE_MINUTES


def render(process: Process) -> Json:
    """The original's row, with what it left out; `last_seen` in epoch seconds."""
    return {
        "process_id": process.process_id,
        "name": process.component,
        "process_type": process.process_type,
        "status": process.status,
        "message": process.message,
        "pid": process.params.get("pid"),
        "stale": is_stale(process),
        "last_seen": process.heartbeat_at.timestamp(),
    }


async def get_system_health(desk: Desk, _principal: Principal, _params: Params) -> Json:
    health = await desk.cache.processes.health()
    return {name: getattr(health, name) for name in health.__struct_fields__}


async def get_active_processes(desk: Desk, _principal: Principal, params: SomeProcesses) -> Json:
    found = await desk.cache.processes.active(
        process_type=params.process_type, component=params.component, since_s=params.since_minutes * 60
    )
    return {"processes": [render(process) for process in found]}


async def stream_process_health(desk: Desk, _principal: Principal, _params: Params) -> AsyncGenerator[Json]:
    return _watch(desk)


async def _watch(desk: Desk) -> AsyncGenerator[Json]:
    """The active processes whenever one comes, goes, or says something else; a mere heartbeat is no news."""
    async with desk.bus.subscribe(PROCESSES_TOPIC) as mailbox:
        rows = [render(process) for process in await desk.cache.processes.active()]
        yield {"active_processes": rows, "timestamp": time()}
        told = _gist(rows)
        async for _topic, _message in mailbox:
            rows = [render(process) for process in await patiently(desk.cache.processes.active)]
            if _gist(rows) != told:
                told = _gist(rows)
                yield {"active_processes": rows, "timestamp": time()}


def _gist(rows: list[Json]) -> dict[str, Json]:
    return {row["process_id"]: {**row, "last_seen": None} for row in rows}


ENDPOINT = Endpoint(
    actions={
        "get_system_health": Action(Params, get_system_health, admin_only=True),
        "get_active_processes": Action(SomeProcesses, get_active_processes, admin_only=True),
    },
    streams={"stream_process_health": Stream(Params, stream_process_health, "process_health_update", admin_only=True)},
    admin_only=True,
)
