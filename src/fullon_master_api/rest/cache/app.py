"""The application with the cache's sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, WebSocket

from fullon_master_api.rest.cache import tickers
from fullon_master_api.rest.cache.desk import Desk, Endpoint
from fullon_master_api.rest.cache.door import admit
from fullon_master_api.rest.cache.session import Session

ENDPOINTS: Final[dict[str, Endpoint]] = {"tickers": tickers.ENDPOINT}


def create_app(desk: Callable[[], Desk]) -> FastAPI:
    """An application to mount at `/api/v1/cache`. `desk` is called when a socket opens, so it may be built before the stores."""
    app = FastAPI(title="Fullon cache", openapi_url=None)
    for noun, endpoint in ENDPOINTS.items():
        _add(app, noun, endpoint, desk)
    return app


def _add(app: FastAPI, noun: str, endpoint: Endpoint, desk: Callable[[], Desk]) -> None:
    @app.websocket(f"/ws/{noun}/{{connection_id:path}}")
    async def serve(socket: WebSocket, connection_id: str) -> None:
        here = desk()
        principal = await admit(socket, here, admin_only=endpoint.admin_only)
        if principal is not None:
            await Session(socket, here, principal, endpoint, connection_id).run()
