"""One process: owns the server and the supervisor as siblings, and the signals."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from fullon_master_api.app import MasterGateway, lasting_objects, open_gateway
from fullon_master_api.errors import GatewayError
from fullon_master_api.logs import get_logger
from fullon_master_api.notify import READY, STOPPING, notify
from fullon_master_api.settings import Settings
from fullon_master_api.transport.server import Server, server_config

log = get_logger(__name__)

READY_POLL_S: Final = 0.05

OnReady = Callable[[MasterGateway], Awaitable[None]]


async def serve(settings: Settings, listener: socket.socket, on_ready: OnReady) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT; then tell the sockets, stop the services, release the leases.

    A sibling that ends by itself or fails ends the others, and its error is raised here.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(settings) as gateway:
        config = server_config(
            gateway.app,
            uvloop_enabled=settings.uvloop_enabled,
            message_bytes_max=settings.socket_message_bytes_max,
            grace_s=settings.drain_timeout_s,
            trusted_proxies=settings.trusted_proxies,
        )

        def leave() -> None:
            ready.cancel()
            end(gateway)

        server = Server(config, on_stop=leave)
        with lasting_objects():
            async with asyncio.TaskGroup() as siblings:
                siblings.create_task(lasting("server", server.serve_until(stop, listener), stop), name="server")
                if settings.is_embedded:
                    siblings.create_task(lasting("supervisor", gateway.run_services(), stop), name="supervisor")
                ready = siblings.create_task(announce(server, gateway, on_ready), name="ready")
    log.info("server.stopped")


async def work(settings: Settings, on_ready: OnReady) -> None:
    """Run the collecting services whose leases this process wins, until SIGTERM or SIGINT; nothing is served."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(settings) as gateway, asyncio.TaskGroup() as siblings:
        siblings.create_task(lasting("supervisor", gateway.run_services(), stop), name="supervisor")
        await on_ready(gateway)
        notify(READY)
        await stop.wait()
        end(gateway)
    log.info("worker.stopped")


async def lasting(name: str, work: Awaitable[None], stop: asyncio.Event) -> None:
    """Work that must last until the process is stopped: ending before is a failure."""
    await work
    if not stop.is_set():
        raise GatewayError(f"the {name} ended by itself: the process ends with it")


async def announce(server: Server, gateway: MasterGateway, on_ready: OnReady) -> None:
    """Say that it is ready once requests are taken and `/readyz` would answer 200, and not before."""
    await server.ready.wait()
    embedded = gateway.settings.is_embedded
    while not (found := await gateway.readiness()).ready or (embedded and not found.settled):  # noqa: ASYNC110  stores and leases tell nobody when they are ready
        await asyncio.sleep(READY_POLL_S)
    await on_ready(gateway)
    notify(READY)


def end(gateway: MasterGateway) -> None:
    """Begin to stop: tell the service manager, the sockets and the supervisor."""
    notify(STOPPING)
    gateway.stop()


if __name__ == "__main__":
    from fullon_master_api.cli import main

    main()
