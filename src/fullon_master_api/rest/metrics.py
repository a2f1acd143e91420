"""`/metrics`: what Prometheus reads, for admins."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fullon_master_api.rest.access import Admin
from fullon_master_api.rest.faults import ErrorBody

REFUSED: Final[dict[int | str, dict[str, Any]]] = {401: {"model": ErrorBody}, 403: {"model": ErrorBody}}


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    """The router of `/metrics`; a scraper authenticates with an admin's API key."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures in Prometheus form", response_class=Response, responses=REFUSED)
    async def metrics(admin: Admin) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
