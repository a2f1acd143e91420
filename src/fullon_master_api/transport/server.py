"""The server under the gateway: uvicorn without its own signals, on a socket that was bound before anything else started."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import uvicorn

from fullon_master_api.errors import GatewayError
from fullon_master_api.transport.finishing import FinishingProtocol
from fullon_master_api.transport.upgrade import DetachableProtocol

BACKLOG: Final = 2048
GRACE_S: Final = 5
TICK_S: Final = 0.1


class AddressInUse(GatewayError):
    """Somebody else listens there, or we may not."""

    code, http_status = "CONFLICT", 409


def bind_socket(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything is started. Port 0 takes a free one.

    Raises: AddressInUse, which says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        told = f"cannot listen on {host}:{port} ({error.strerror or error}): stop what listens there, or set PORT to a free port"
        raise AddressInUse(told) from error
    listener.set_inheritable(True)
    return listener


class Server(uvicorn.Server):
    """uvicorn as one task among others: it leaves the signals to who started it, and stops when told."""

    def __init__(self, config: uvicorn.Config, *, on_stop: Callable[[], object] = lambda: None) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self.ready = asyncio.Event()
        self._told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self.ready.set()

    async def main_loop(self) -> None:
        """uvicorn's ticks (its Date header, its limits), ended at once when told to stop and not at the next tick."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Our sockets are told why first: uvicorn's own shutdown only closes them.
        self._on_stop()
        await super().shutdown(sockets=sockets)

    async def serve_until(self, stop: asyncio.Event, listener: socket.socket) -> None:
        """Serve until `stop` is set. Returns after the last answer, at most `GRACE_S` later."""
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self.serve(sockets=[listener]), name="server")
            stopping = tasks.create_task(stop.wait(), name="server.stop")
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.should_exit = True
            self._told.set()
            stopping.cancel()


def server_config(
    app: Any,
    *,
    uvloop_enabled: bool,
    message_bytes_max: int,
    grace_s: float = GRACE_S,
    trusted_proxies: Sequence[str] = (),
) -> uvicorn.Config:
    """How uvicorn serves the gateway: no compression of sockets, no access log, our own heartbeat's time limits.

    `X-Forwarded-For` and `X-Forwarded-Proto` are taken from `trusted_proxies` (addresses, networks, `*`) and from nobody else.
    """
    return uvicorn.Config(
        app,
        loop="uvloop" if uvloop_enabled else "asyncio",
        http=FinishingProtocol,
        ws=DetachableProtocol,
        ws_max_size=message_bytes_max,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=int(grace_s),
        backlog=BACKLOG,
        lifespan="on",
    )
