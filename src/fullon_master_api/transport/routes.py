"""The routes of GraphQL, for `app` to mount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.routing import Route, WebSocketRoute

from fullon_master_api.auth.rates import Rates
from fullon_master_api.executor.engine import Engine
from fullon_master_api.settings import Settings
from fullon_master_api.transport.desk import Authenticate, Desk
from fullon_master_api.transport.http import HttpEndpoint, Page
from fullon_master_api.transport.hub import Hub, MakeContext
from fullon_master_api.transport.persisted import FindDocument, PersistedDocuments
from fullon_master_api.transport.socket import SocketEndpoint

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
"""All that a client may try: the endpoint says itself which it takes, in GraphQL's words."""


class GraphqlRoutes(APIRouter):
    """The routes, and the endpoints behind them for `DirectGraphql`."""

    def __init__(self, desk: Desk, path: str, page: Page | None) -> None:
        super().__init__()
        self.path = path
        self.endpoint = HttpEndpoint(desk, page)
        self.socket = SocketEndpoint(desk)
        self.routes.append(Route(path, self.endpoint.__call__, methods=METHODS, include_in_schema=False))
        self.routes.append(WebSocketRoute(path, self.socket))


def graphql_routes(
    engine: Engine,
    hub: Hub,
    authenticate: Authenticate,
    make_context: MakeContext,
    settings: Settings,
    *,
    path: str = "/graphql",
    page: Page | None = None,
    find_document: FindDocument | None = None,
    own_documents: Mapping[str, str] | None = None,
    rates: Rates | None = None,
) -> GraphqlRoutes:
    """`path` for requests and sockets. `page` answers a browser that opens it; None where there is no GraphiQL.

    `find_document` knows the trusted documents; without it there are none but `own_documents`, those of the server's own
    pages by their SHA-256. `rates` is shared with the REST routes where there are any.
    """
    documents = PersistedDocuments(settings, find_document, own_documents or {})
    desk = Desk(engine, hub, authenticate, make_context, settings, documents, rates or Rates.from_settings(settings))
    return GraphqlRoutes(desk, path, page)
