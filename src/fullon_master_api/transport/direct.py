"""The short way to GraphQL of a POST and of a socket: past the routing of the framework, whose work is the same for each."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fullon_master_api.transport.routes import GraphqlRoutes

LATIN: Final = "latin-1"


class PlainHeaders(dict[str, str]):
    """Headers by their lower-case names; of a header that was sent twice the first counts, as in Starlette."""

    def __init__(self, scope: Scope) -> None:
        super().__init__((name.decode(LATIN), value.decode(LATIN)) for name, value in reversed(scope["headers"]))


class PostRequest(Request):
    """A request whose headers are looked up in a dict: an edge reads several, and Starlette walks the whole list for each."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._plain = PlainHeaders(scope)

    @property
    def headers(self) -> PlainHeaders:  # type: ignore[override]
        return self._plain


class DirectGraphql:
    """ASGI middleware: answers POSTs and sockets of GraphQL's path by their endpoints, and hands on everything else."""

    def __init__(self, app: ASGIApp, *, routes: GraphqlRoutes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and scope["path"] == self._routes.path and scope["method"] == "POST":
            response = await self._routes.endpoint(PostRequest(scope, receive, send))
            await response(scope, receive, send)
        elif kind == "websocket" and scope["path"] == self._routes.path:
            await self._routes.socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)
