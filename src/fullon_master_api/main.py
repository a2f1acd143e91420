"""`app` for plain uvicorn, `uvicorn fullon_master_api.main:app`; its lifespan owns what `fullon serve` owns otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from fullon_master_api.app import lasting_objects, open_gateway
from fullon_master_api.cli import start_logs
from fullon_master_api.errors import GatewayError
from fullon_master_api.settings import Settings


def build_app(settings: Settings | None = None) -> ASGIApp:
    """An application that opens the gateway when its server starts, and closes it when the server stops."""
    inner: dict[str, ASGIApp] = {}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        read = settings or Settings()
        if settings is None:
            start_logs(read)
        weak = read.weak_secret()
        if weak is not None:
            raise GatewayError(f"{weak}: set JWT_SECRET_KEY to at least 32 random bytes")
        async with open_gateway(read) as gateway, asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.run_services(), name="supervisor")
            inner["app"] = gateway.app
            try:
                with lasting_objects():
                    yield
            finally:
                gateway.stop()

    outer = Starlette(lifespan=lifespan)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (outer if scope["type"] == "lifespan" else inner["app"])(scope, receive, send)

    return app


def __getattr__(name: str) -> Any:
    """Build `app` when it is asked for, so that importing this module does nothing."""
    if name == "app":
        return build_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
