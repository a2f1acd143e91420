"""The short way of a POST to GraphQL: past the routing of the framework, whose work is the same for each request."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fullon_master_api.transport.http import HttpEndpoint

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


class DirectPosts:
    """ASGI middleware: answers POST of `path` by the endpoint itself, and hands on everything else."""

    def __init__(self, app: ASGIApp, *, endpoint: HttpEndpoint, path: str) -> None:
        self._app = app
        self._endpoint = endpoint
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        response = await self._endpoint(PostRequest(scope, receive, send))
        await response(scope, receive, send)
