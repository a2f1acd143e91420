"""The application with the cache's sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import uuid4

from fastapi import FastAPI, WebSocket

from fullon_master_api.auth.sockets import SocketAllowance
from fullon_master_api.errors import RateLimited
from fullon_master_api.rest.cache import accounts, bots, candles, generic, orders, processes, tickers, trades
from fullon_master_api.rest.cache.desk import Desk, Endpoint
from fullon_master_api.rest.cache.door import admit
from fullon_master_api.rest.cache.envelopes import Envelope, GenericEnvelope, TypedEnvelope
from fullon_master_api.rest.cache.session import Session
from fullon_master_api.rest.faults import install_faults

TRY_AGAIN_LATER: Final = 1013

TYPED: Final[dict[str, Endpoint]] = {
    "tickers": tickers.ENDPOINT,
    "orders": orders.ENDPOINT,
    "trades": trades.ENDPOINT,
    "accounts": accounts.ENDPOINT,
    "bots": bots.ENDPOINT,
    "ohlcv": candles.ENDPOINT,
    "process": processes.ENDPOINT,
}


def create_app(desk: Callable[[], Desk]) -> FastAPI:
    """An application to mount at `/api/v1/cache`. `desk` is called when a socket opens, so it may be built before the stores.

    Who lets sockets in before it gives each `state.allowance`.
    """
    app = FastAPI(title="Fullon cache", openapi_url=None)
    install_faults(app)
    for noun, endpoint in TYPED.items():
        _add(app, f"/ws/{noun}/{{connection_id:path}}", endpoint, TypedEnvelope(), desk)
    _add(app, "/ws", generic.ENDPOINT, GenericEnvelope(), desk)
    return app


def _add(app: FastAPI, path: str, endpoint: Endpoint, envelope: Envelope, desk: Callable[[], Desk]) -> None:
    @app.websocket(path)
    async def serve(socket: WebSocket, connection_id: str | None = None) -> None:
        here = desk()
        allowance: SocketAllowance = socket.state.allowance
        principal = await admit(socket, here, admin_only=endpoint.admin_only)
        if principal is None:
            return
        try:
            with allowance.held(principal):
                await Session(socket, here, principal, endpoint, envelope, connection_id or uuid4().hex).run()
        except RateLimited as error:
            await socket.close(TRY_AGAIN_LATER, error.message)
