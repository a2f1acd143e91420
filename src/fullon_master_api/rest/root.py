"""`GET /`: the dashboard for a browser, for other clients what this server is and where to go on."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from fullon_master_api.settings import Settings
from fullon_master_api.web.pages import dashboard_page, wants_page


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

    @router.get("/", summary="What this server is", response_model=Root)
    async def root(request: Request) -> Response | Root:
        if wants_page(request.headers.get("accept")):
            return dashboard_page(root_path=request.scope.get("root_path", ""), graphiql=settings.graphiql != "nobody")
        return body

    return router
