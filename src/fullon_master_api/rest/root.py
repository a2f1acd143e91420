"""`GET /`: what this server is and where to go on."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from fullon_master_api.settings import Settings


class Root(BaseModel):
    """The original's body, and where GraphQL is."""

    service: str
    version: str
    docs: str
    health: str
    api: str
    graphql: str


def root_router(settings: Settings) -> APIRouter:
    """The router of `/`."""
    router = APIRouter(tags=["root"])
    body = Root(
        service="fullon_master_api",
        version=settings.api_version,
        docs="/docs",
        health="/health",
        api=settings.api_prefix,
        graphql="/graphql",
    )

    @router.get("/", summary="What this server is")
    async def root() -> Root:
        return body

    return router
