"""The short way to GraphQL of a POST and of a socket: past all of the framework, whose work is the same for each."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from fullon_master_api.transport.finished import Finished
from fullon_master_api.transport.headers import SecureHeaders
from fullon_master_api.transport.routes import GraphqlRoutes


class DirectGraphql:
    """Answers POSTs and sockets of GraphQL's path by their endpoints, and hands on everything else.

    It stands before the framework, or innermost among its middleware where some of that is for GraphQL too.
    """

    def __init__(self, app: ASGIApp, *, routes: GraphqlRoutes, hsts_max_age_s: int = 0) -> None:
        self._app = app
        self._routes = routes
        self._hsts_max_age_s = hsts_max_age_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and scope["path"] == self._routes.path and scope["method"] == "POST":
            answer = await self._routes.endpoint.answer(scope, receive)
            if not isinstance(answer, Finished):
                answer = SecureHeaders(answer, hsts_max_age_s=self._hsts_max_age_s)
            elif answer.send_at_once(send):
                return
            await answer(scope, receive, send)
        elif kind == "websocket" and scope["path"] == self._routes.path:
            await self._routes.socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)
