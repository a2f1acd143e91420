"""Servers under test in `fanout.py`: our gateway as it is, and Strawberry's own handler, shipped and leak-fixed.

Each prints a line `{"url":…,"token":…,"pid":…}` and then obeys lines on standard input: `tick K` publishes one ticker of
each of the first K symbols; `burst N` publishes N tickers of the first symbol; `rate R S` publishes R tickers a second for S
seconds, then prints `{"done":true}`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import strawberry
import uvloop
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter
from websockets.utils import accept_key

from fullon_master_api.apis.orm import open_orm
from fullon_master_api.apis.orm.demo import install_demo
from fullon_master_api.app import lasting_objects, open_gateway
from fullon_master_api.auth.jwt import create_access_token
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.logs import configure_logs
from fullon_master_api.model import Ticker
from fullon_master_api.settings import Settings
from fullon_master_api.transport.detached import plain_fd
from fullon_master_api.transport.frames import FrameReader, frame_header
from fullon_master_api.transport.links import Rendered, spelling_of
from fullon_master_api.transport.protocols import TRANSPORT_WS, event_tail
from fullon_master_api.transport.server import Server, bind_socket, server_config

SYMBOLS = ["BTC/USD", *(f"B{number:02d}/USD" for number in range(1, 50))]
PRICES: dict[str, Any] = {"bid": "60000.1", "ask": "60000.2", "high": "61000.5", "low": "59000.5", "volume": "123.456"}
Publish = Callable[[str], Awaitable[object]]


async def obey(publish: Publish) -> None:
    """Take commands until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "tick":
            for symbol in SYMBOLS[: int(line[1])]:
                await publish(symbol)
        elif line[0] == "burst":
            for _ in range(int(line[1])):
                await publish(SYMBOLS[0])
        elif line[0] == "rate":
            rate, seconds = float(line[1]), float(line[2])
            start = time.monotonic()
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                await publish(SYMBOLS[0])
            print('{"done":true}', flush=True)


async def serve(app: Any, token: str, publish: Publish, *, ws: Any = None) -> None:
    listener = bind_socket("127.0.0.1", 0)
    config = server_config(app, uvloop_enabled=True, message_bytes_max=1_000_000)
    if ws is not None:
        config.ws = ws
        config.ws_ping_interval = None  # The load client answers no pings.
    server, stop = Server(config), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve_until(stop, listener))
        await server.ready.wait()
        gc.collect()
        gc.freeze()
        url = f"127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"url": url, "token": token, "pid": os.getpid()}), flush=True)
        await obey(publish)
        stop.set()


async def serve_fullon(*, ws: Any = None) -> None:
    """The gateway: its schema, its token, the ticker's path through the cache and the bus."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            jwt_secret_key="benchmark-secret-of-sufficient-length",
            service_auto_start_enabled=False,
            health_monitor_enabled=False,
            socket_connections_per_user_max=10_000,  # All of the load comes from one user at one address.
            socket_connections_per_address_max=10_000,
        )
        async with open_orm(settings.orm_url) as orm, open_passwords() as passwords:
            demo = await install_demo(orm, password_hash=await passwords.hash("password"))
            for symbol in SYMBOLS[1:]:
                await orm.symbols.add(None, {"cat_ex_id": demo.exchange.cat_ex_id, "symbol": symbol})
        token = create_access_token(demo.trader.uid, settings=settings)
        async with open_gateway(settings) as gateway:

            async def publish(symbol: str) -> None:
                stamp = time.monotonic_ns()
                await gateway.stores.cache.tickers.set(
                    Ticker(exchange="kraken", symbol=symbol, last=str(stamp), received_ns=stamp, **PRICES)
                )

            with lasting_objects():  # As `fullon serve` does.
                await serve(gateway.app, token, publish, ws=ws)


@strawberry.type(name="Ticker")
class PlainTicker:
    bid: str | None
    ask: str | None
    last: str | None
    high: str | None
    low: str | None
    volume: str | None


@dataclass
class Readers:
    """One unbounded queue per subscriber, as Strawberry's documentation and `broadcaster` do it."""

    queues: dict[str, set[asyncio.Queue[PlainTicker]]]

    async def publish(self, symbol: str) -> None:
        tick = PlainTicker(last=str(time.monotonic_ns()), **PRICES)
        for queue in self.queues.get(symbol, ()):
            queue.put_nowait(tick)


READERS = Readers({})


@strawberry.type
class PlainSubscription:
    @strawberry.subscription
    async def ticker(self, exchange: str, symbol: str, snapshot: bool = False) -> AsyncGenerator[PlainTicker]:
        queue: asyncio.Queue[PlainTicker] = asyncio.Queue()
        readers = READERS.queues.setdefault(symbol, set())
        readers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            readers.discard(queue)


@strawberry.type
class PlainQuery:
    hello: str = "world"


async def serve_strawberry(*, leak_fixed: bool) -> None:
    execution = {"execution_context_class": SteadyExecution} if leak_fixed else {}
    schema = strawberry.Schema(PlainQuery, subscription=PlainSubscription, **execution)  # type: ignore[arg-type]
    app = FastAPI()
    app.include_router(GraphQLRouter(schema, path="/graphql"))
    await serve(app, "", READERS.publish, ws="websockets-sansio")


class BareSocket(asyncio.Protocol):
    """No GraphQL, only the client's words answered: what a prebuilt frame costs when each socket gets one `send`."""

    readers: ClassVar[dict[BareSocket, None]] = {}
    wire = TRANSPORT_WS
    tail = b""
    spelling = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.frames = FrameReader(1_000_000)
        self.greeted = False

    def data_received(self, data: bytes) -> None:
        if not self.greeted:
            self.greeted = True
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
            names = f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: graphql-transport-ws"
            self.transport.write(f"{head}\r\n{names}\r\n\r\n".encode())
            return
        for message in self.frames.feed(data):
            said = json.loads(message.data or b"{}")
            if said.get("type") == "connection_init":
                ack = b'{"type":"connection_ack"}'
                self.transport.write(frame_header(len(ack)) + ack)
            elif said.get("type") == "subscribe":
                self.tail = event_tail(said["id"])
                self.spelling = spelling_of(self.wire, self.tail)
                self.readers[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.readers.pop(self, None)


async def serve_bare() -> None:
    server = await asyncio.get_running_loop().create_server(BareSocket, "127.0.0.1", 0, backlog=2048)

    async def publish(symbol: str) -> None:
        body = json.dumps({"data": {"ticker": {"last": str(time.monotonic_ns()), **PRICES}}}, separators=(",", ":"))
        event = Rendered(body.encode())
        for reader in BareSocket.readers:
            os.write(plain_fd(reader.transport), event.frame(reader) + reader.tail)

    url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": url, "token": "", "pid": os.getpid()}), flush=True)
    await obey(publish)
    server.close()


def main(name: str) -> None:
    configure_logs(level="CRITICAL", json=True, colors=False)  # Strawberry logs a traceback for each client that leaves.
    work: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "fullon": serve_fullon,
        "fullon_portable": partial(serve_fullon, ws="websockets-sansio"),
        "bare": serve_bare,
        "strawberry": partial(serve_strawberry, leak_fixed=False),
        "strawberry_leak_fixed": partial(serve_strawberry, leak_fixed=True),
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work[name]())


if __name__ == "__main__":
    main(sys.argv[1])
