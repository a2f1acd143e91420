"""`/livez` and `/readyz`: for whoever restarts processes and sends them requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from pydantic import BaseModel

from fullon_master_api.services.readiness import Readiness


class Alive(BaseModel):
    status: str = "alive"


class Ready(BaseModel):
    """Only yes or no of each store: what is behind a no stands in the logs."""

    status: str
    stores: dict[str, bool]


def probe_router(readiness: Callable[[], Awaitable[Readiness]]) -> APIRouter:
    """The router of the two probes."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", summary="Whether the process answers at all")
    async def livez() -> Alive:
        return Alive()

    @router.get("/readyz", summary="Whether requests can be answered", responses={503: {"model": Ready}})
    async def readyz(response: Response) -> Ready:
        found = await readiness()
        if not found.ready:
            response.status_code = 503
        return Ready(status="ready" if found.ready else "not ready", stores=found.stores)

    return router
