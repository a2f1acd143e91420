"""A small live schema on a real server: the transport's tests talk to it by socket and by HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, Final

import msgspec
import strawberry
import websockets
from fastapi import FastAPI
from strawberry.schema.config import StrawberryConfig
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from fullon_master_api.bus import Bus, open_bus, orders_topic, public_trades_topic, ticker_topic
from fullon_master_api.errors import Forbidden, NotFound, TokenExpired, Unauthenticated
from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.engine import Engine, Limits
from fullon_master_api.executor.fields import batched, rooted
from fullon_master_api.executor.live import PUBLIC, Delivery, Feed, Snapshot, live, own_share, read_stream_cursor, stream_cursor
from fullon_master_api.model import Event, MarketTrades, Principal, Role, Scope, Ticker
from fullon_master_api.settings import Settings
from fullon_master_api.transport.direct import DirectGraphql
from fullon_master_api.transport.headers import CallerTraces
from fullon_master_api.transport.hub import Hub
from fullon_master_api.transport.persisted import FindDocument
from fullon_master_api.transport.routes import graphql_routes
from fullon_master_api.transport.server import Server, bind_socket, server_config

WITHIN_S = 60.0
"""Whatever is waited for comes within this, or the test fails: a limit, not a wait."""


@dataclass(slots=True)
class Context:
    """A context of the kind that `app` makes."""

    bus: Bus
    principal: Principal | None
    request_id: str
    latest: dict[str, Ticker]
    outbox: Outbox
    loaders: dict[Any, Any] = field(default_factory=dict)

    @property
    def user(self) -> Principal:
        if self.principal is None:
            raise Unauthenticated("log in first")
        return self.principal


class Outbox:
    """Events in memory, read as the SQL outbox is."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def read_after(self, topic: str, sequence: int, limit: int) -> list[Event]:
        return [event for event in self.events if event.topic == topic and event.sequence > sequence][:limit]

    async def last_sequence(self, topic: str) -> int:
        return max((event.sequence for event in self.events if event.topic == topic), default=0)

    def append(self, topic: str, value: Mapping[str, Any]) -> Event:
        event = Event(
            sequence=len(self.events) + 1,
            topic=topic,
            kind="order",
            payload=json.dumps(value).encode(),
            created_at=datetime.now(UTC),
        )
        self.events.append(event)
        return event


async def reader_names(parents: Sequence[Ticker], ctx: Context) -> list[str | Exception]:
    return [ctx.user.mail for _ in parents]


async def member_only(parents: Sequence[Ticker], ctx: Context) -> list[str | Exception]:
    assert ctx.user is not None
    return ["for members" for _ in parents]


@strawberry.type(name="Ticker")
class TickerView:
    symbol: str
    last: str | None
    sequence: int
    reader: str | None = batched(reader_names, description="who reads")
    member: str | None = batched(member_only, description="something for those who are signed in")


@strawberry.type
class TickersEvent:
    items: list[TickerView]
    sequence: int
    gap: bool


@dataclass(frozen=True, slots=True)
class Changed:
    items: Sequence[Ticker]
    sequence: int
    gap: bool


@strawberry.type
class OrderEvent:
    number: int
    cursor: str


@dataclass(frozen=True, slots=True)
class OrderNews:
    number: int
    cursor: str


async def open_ticker(
    ctx: Context, *, exchange: str, symbol: str, snapshot: bool = False, min_interval: float = 0.0, shared: bool = True
) -> Feed:
    if symbol == "NO/PE":
        raise NotFound(f"no symbol {symbol!r} on {exchange!r}")
    topic = ticker_topic(exchange, symbol)

    async def read() -> Snapshot:
        return Snapshot(events=[ctx.latest[topic]] if topic in ctx.latest else [])

    return Feed(
        topics=[topic],
        project=lambda _topic, message: message,
        share=PUBLIC if shared else None,
        snapshot=read if snapshot else None,
        min_interval_s=min_interval,
    )


async def open_tickers(ctx: Context, *, exchange: str, symbols: list[str], snapshot: bool = False) -> Feed:
    topics = [ticker_topic(exchange, symbol) for symbol in symbols]

    async def read() -> Snapshot:
        return Snapshot(events=[ctx.latest[topic] for topic in topics if topic in ctx.latest])

    return Feed(
        topics=topics,
        project=lambda _topic, message: message,
        merge=Changed,
        share=PUBLIC,
        snapshot=read if snapshot else None,
    )


async def open_trades(ctx: Context, *, exchange: str, symbol: str) -> Feed:
    def project(_topic: str, message: MarketTrades) -> list[str]:
        return [trade.trade_id for trade in message.trades]

    return Feed(topics=[public_trades_topic(exchange, symbol)], project=project, delivery=Delivery.EVERY, share=PUBLIC)


async def open_orders(ctx: Context, *, after: str | None = None, snapshot: bool = False) -> Feed:
    topic = orders_topic(ctx.user.uid)

    def project(topic: str, event: Event) -> OrderNews:
        return OrderNews(json.loads(event.payload)["number"], stream_cursor(topic, event.sequence))

    async def read() -> Snapshot:
        last = await ctx.outbox.last_sequence(topic)
        return Snapshot(events=[OrderNews(-last, stream_cursor(topic, last))], after=last)

    return Feed(
        topics=[topic],
        project=project,
        delivery=Delivery.LOSSLESS,
        share=own_share(ctx.user),
        after=read_stream_cursor(topic, after),
        snapshot=read if snapshot else None,
    )


async def open_secret(ctx: Context) -> Feed:
    if ctx.user.role is not Role.ADMIN:
        raise Forbidden("Admin access required")
    return Feed(topics=["secret"], project=lambda _topic, message: message.symbol)


@strawberry.type
class Subscription:
    ticker: TickerView = live(open_ticker, description="one symbol", arguments={"symbol": "the pair"})
    tickers: TickersEvent = live(open_tickers, description="many symbols")
    trades: list[str] = live(open_trades, description="the tape")
    orders: OrderEvent = live(open_orders, description="own orders")
    secret: str = live(open_secret, description="admins only")


async def hello(ctx: Context, *, name: str = "world") -> str:
    return f"hello {name}"


async def whoami(ctx: Context) -> str:
    return ctx.user.mail


async def slow(ctx: Context) -> str:
    await asyncio.Event().wait()
    return "never"


async def broken(ctx: Context) -> str:
    raise ZeroDivisionError("a secret of ours")


async def numbers(ctx: Context) -> list[int]:
    return [1, 2, 3]


@strawberry.type
class Query:
    numbers: list[int] = rooted(numbers, description="a list")
    hello: str = rooted(hello, description="a greeting")
    whoami: str | None = rooted(whoami, description="who asks")
    slow: str | None = rooted(slow, description="never answers")
    broken: str | None = rooted(broken, description="fails")


async def shout(ctx: Context, *, word: str) -> str:
    return word.upper()


@strawberry.type
class Mutation:
    shout: str = rooted(shout, description="louder")


SCHEMA = strawberry.Schema(
    Query,
    Mutation,
    Subscription,
    execution_context_class=SteadyExecution,
    config=StrawberryConfig(enable_experimental_incremental_execution=True),
)


def principal(uid: int, *, role: Role = Role.USER, expires_s: float | None = None, token_id: str | None = None) -> Principal:
    return Principal(
        uid=uid, mail=f"user{uid}@fullon", role=role, scopes=frozenset(Scope), expires_s=expires_s, token_id=token_id
    )


class Door:
    """Knows whom a credential names, until it is told otherwise."""

    def __init__(self) -> None:
        self.revoked: set[int] = set()
        self.roles: dict[int, Role] = {}
        self.ends_s: dict[str, float] = {}
        """When each credential `for:<seconds>` ends, in seconds since 1970: its life begins when it is first shown."""

    async def __call__(self, headers: Mapping[str, str]) -> Principal | None:
        who = self._brief(headers.get("authorization", "")) or await authenticate(headers)
        if who is not None and who.uid in self.revoked:
            raise Unauthenticated("the session was ended, log in again")
        return who if who is None else msgspec.structs.replace(who, role=self.roles.get(who.uid, who.role))

    def _brief(self, said: str) -> Principal | None:
        token = said.removeprefix("Bearer ")
        if not token.startswith("for:"):
            return None
        until = self.ends_s.setdefault(token, time.time() + float(token[4:]))
        if until <= time.time():
            raise TokenExpired("the token's time is over")
        return principal(2, expires_s=until)


async def authenticate(headers: Mapping[str, str]) -> Principal | None:
    """`Bearer user:7`, `Bearer admin`, `Bearer until:<seconds since 1970>`, or an API key `key-7`."""
    token, key = headers.get("authorization", "").removeprefix("Bearer "), headers.get("x-api-key", "")
    if key.startswith("key-"):
        return principal(int(key[4:]))
    if not token:
        return None
    if token == "admin":
        return principal(1, role=Role.ADMIN)
    if token.startswith("user:"):
        return principal(int(token[5:]), token_id=str(time.monotonic_ns()))
    if token.startswith("until:"):
        until = float(token[6:])
        if until <= time.time():
            raise TokenExpired("the token's time is over")
        return principal(2, expires_s=until)
    raise Unauthenticated("the token is not valid")


@dataclass(slots=True)
class Stage:
    """The running server and what stands behind it."""

    url: str
    bus: Bus
    hub: Hub
    engine: Engine
    outbox: Outbox
    latest: dict[str, Ticker]
    settings: Settings
    door: Door
    server: Server = field(init=False)

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def store(self, symbol: str, last: str) -> Ticker:
        """The latest ticker, as a snapshot finds it."""
        tick = Ticker(exchange="kraken", symbol=symbol, last=last, received_ns=time.time_ns(), sequence=0)
        self.latest[ticker_topic("kraken", symbol)] = tick
        return tick

    async def publish(self, symbol: str, last: str) -> None:
        await self.bus.publish(ticker_topic("kraken", symbol), self.store(symbol, last))

    async def order(self, uid: int, number: int) -> Event:
        event = self.outbox.append(orders_topic(uid), {"number": number})
        await self.bus.publish(event.topic, event)
        return event

    async def until(self, streams: int) -> None:
        """Until the hub opened that many streams."""
        async with asyncio.timeout(WITHIN_S):
            while self.hub.figures.streams_opened < streams:
                await asyncio.sleep(0.002)


@asynccontextmanager
async def open_stage(
    *,
    timeout_s: float = 5.0,
    ws: Any = None,
    http: Any = None,
    deflate: bool = False,
    find_document: FindDocument | None = None,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """Everything, on a server of its own."""
    async with open_backstage(timeout_s=timeout_s, **changes) as stage:
        app = FastAPI()
        make_context = stage.hub.make_context
        routes = graphql_routes(stage.engine, stage.hub, stage.door, make_context, stage.settings, find_document=find_document)
        app.include_router(routes)
        config = server_config(
            CallerTraces(DirectGraphql(app, routes=routes)),
            uvloop_enabled=False,
            message_bytes_max=stage.settings.socket_message_bytes_max,
            trusted_proxies=stage.settings.trusted_proxies,
        )
        config.ws_per_message_deflate = deflate
        config.ws = ws or config.ws
        config.http = http or config.http
        server = stage.server = Server(config, on_stop=stage.hub.drain)
        listener = bind_socket("127.0.0.1", 0)
        stop = asyncio.Event()
        stage.url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve_until(stop, listener))
            await server.ready.wait()
            try:
                yield stage
            finally:
                stop.set()


@asynccontextmanager
async def open_backstage(*, timeout_s: float = 5.0, limits: Limits | None = None, **changes: Any) -> AsyncIterator[Stage]:
    """The bus, the engine and the hub, without a server."""
    settings = Settings(_env_file=None, operation_timeout_s=timeout_s, **changes)
    engine = Engine(SCHEMA, limits or Limits(timeout_s=timeout_s))
    outbox, latest = Outbox(), dict[str, Ticker]()
    async with open_bus("memory://") as bus:
        bus.attach_history(outbox)

        def make_context(who: Principal | None, request_id: str, _address: str) -> Context:
            return Context(bus, who, request_id, latest, outbox)

        async with Hub(bus, engine, make_context) as hub:
            yield Stage("", bus, hub, engine, outbox, latest, settings, Door())


RECEIVE_BYTES: Final = 65_536


@dataclass(slots=True)
class Client:
    """A plain WebSocket client that speaks one of the protocols, word by word."""

    socket: ClientConnection

    async def say(self, kind: str, **rest: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **rest}))

    async def hear(self, timeout_s: float = WITHIN_S) -> dict[str, Any]:
        """The next message that is not a heartbeat."""
        async with asyncio.timeout(timeout_s):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                if message["type"] != "ka":
                    return message

    def stop_reading(self) -> None:
        """Leave what comes to the kernel, whose buffer stays small: grown it could hold all that a test sends."""
        self.socket.transport.pause_reading()
        self.socket.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES)

    async def closed(self, timeout_s: float = WITHIN_S) -> tuple[int, str]:
        """Code and reason with which the server closes."""
        async with asyncio.timeout(timeout_s):
            with suppress(websockets.ConnectionClosedError):
                async for _on_its_way in self.socket:
                    continue
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""


@asynccontextmanager
async def connect(
    stage: Stage, *, protocol: str = "graphql-transport-ws", init: Any = "none", **options: Any
) -> AsyncIterator[Client]:
    """A client; with `init` (a payload or None) it has said connection_init and heard the ack."""
    query = options.pop("query", "")
    options.setdefault("close_timeout", 0.5)
    options.setdefault("open_timeout", WITHIN_S)
    async with websockets.connect(stage.ws_url + query, subprotocols=[Subprotocol(protocol)], **options) as socket:
        client = Client(socket)
        if init != "none":
            await client.say("connection_init", payload=init)
            assert (await client.hear())["type"] == "connection_ack"
        yield client
