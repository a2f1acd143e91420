"""The cache's sockets on a real server, with people who own different things."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Any

import orjson
import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from fullon_master_api.apis.cache import Cache, open_cache
from fullon_master_api.auth.rates import Rates
from fullon_master_api.bus import Bus, open_bus
from fullon_master_api.errors import StoreUnavailable, TokenExpired, Unauthenticated, UnknownUser
from fullon_master_api.model import Bot, ExchangeAccount, Principal, Role, Scope, Symbol
from fullon_master_api.rest.cache import Desk, create_app
from fullon_master_api.rest.edge import Sockets
from tests.rest.edges import add_edge
from tests.servers import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

WITHIN_S = 60.0
"""Whatever is waited for comes within this, or the test fails: a limit, not a wait."""

DAY = datetime(2026, 3, 1, tzinfo=UTC)

TRADER = Principal(uid=1, mail="trader@fullon", role=Role.USER, scopes=frozenset({Scope.READ, Scope.WRITE}))
OTHER = Principal(uid=2, mail="other@fullon", role=Role.USER, scopes=frozenset({Scope.READ}))
ADMIN = Principal(uid=9, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
SHORT = Principal(uid=1, mail="trader@fullon", role=Role.USER, scopes=frozenset({Scope.READ}), expires_s=0.0)

PEOPLE = {"trader": TRADER, "other": OTHER, "admin": ADMIN}
SWITCHED_OFF: set[str] = set()
"""Tokens that were good a moment ago; each test that adds one takes it back."""

REFUSALS = {
    "expired": TokenExpired("expired"),
    "gone": UnknownUser("gone"),
    "broken": StoreUnavailable("the store is away"),
}


async def authenticate(authorization: str | None, api_key: str | None) -> Principal | None:
    """Tokens are names here; signing is `auth`'s and tested there."""
    if authorization is None and api_key is None:
        return None
    token = api_key if authorization is None else authorization.removeprefix("Bearer ")
    if token in SWITCHED_OFF:
        raise Unauthenticated("the user is switched off")
    if token in REFUSALS:
        raise REFUSALS[token]
    if token is not None and token.startswith("ends-in-"):
        return Principal(uid=1, mail="x@fullon", role=Role.USER, scopes=frozenset(), expires_s=time() + float(token[8:]))
    if token not in PEOPLE:
        raise Unauthenticated("nobody")
    return PEOPLE[token]


async def get_accounts(principal: Principal) -> Sequence[ExchangeAccount]:
    """The trader owns account 1 on kraken and 3 on bitmex, the other one account 2 on kraken."""
    owners = {1: [(1, "kraken"), (3, "bitmex")], 2: [(2, "kraken")]}
    return [
        ExchangeAccount(ex_id=ex_id, uid=principal.uid, cat_ex_id=1, exchange=exchange, name=f"my {exchange}", created_at=DAY)
        for ex_id, exchange in owners.get(principal.uid, [])
    ]


async def get_bots(principal: Principal) -> Sequence[Bot]:
    """The trader owns bot 10, the other one bot 20."""
    owners = {1: [10], 2: [20]}
    return [Bot(bot_id=bot_id, uid=principal.uid, name="b", created_at=DAY) for bot_id in owners.get(principal.uid, [])]


async def get_symbols() -> Sequence[Symbol]:
    """BTC/USD and ETH/USD on kraken."""
    return [
        Symbol(symbol_id=number, cat_ex_id=1, exchange="kraken", symbol=f"{base}/USD", base=base, quote="USD")
        for number, base in enumerate(["BTC", "ETH"])
    ]


class QuietServer(uvicorn.Server):
    """A server inside a test: the signals stay pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Client:
    """A plain `websockets` client that speaks JSON."""

    socket: ClientConnection
    sent: int = field(default=0)

    async def send(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str | bytes) else orjson.dumps(message).decode())

    async def receive(self) -> Any:
        return orjson.loads(await asyncio.wait_for(self.socket.recv(), WITHIN_S))

    async def open(self, action: str, **params: Any) -> str:
        """Start a stream; its key."""
        answer = await self.ask(action, **params)
        assert answer["success"] is True, answer
        return str(answer["stream_key"])

    async def ask(self, action: str, **params: Any) -> Any:
        """Send one request and take the next message."""
        self.sent += 1
        await self.send({"action": action, "request_id": f"r{self.sent}", "params": params})
        return await self.receive()


@dataclass
class House:
    """What a test drives: the stores behind the server, and clients of it."""

    url: str
    cache: Cache
    bus: Bus

    @contextlib.asynccontextmanager
    async def client(
        self, path: str, token: str | None = "trader", headers: dict[str, str] | None = None
    ) -> AsyncIterator[Client]:
        query = "" if token is None else f"?token={token}"
        async with connect(f"{self.url}{path}{query}", additional_headers=headers, open_timeout=WITHIN_S) as socket:
            yield Client(socket)


@contextlib.asynccontextmanager
async def open_house(url: str, sockets: Sockets | None = None, rates: Rates | None = None) -> AsyncIterator[House]:
    """A server over a bus and a cache at this URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with open_bus(url) as bus, open_cache(bus, url) as cache, asyncio.TaskGroup() as tasks:
            desk = Desk(
                cache=cache,
                bus=bus,
                authenticate=authenticate,
                get_accounts=get_accounts,
                get_bots=get_bots,
                get_symbols=get_symbols,
            )
            outer = FastAPI()
            outer.mount("/api/v1/cache", create_app(lambda: desk))
            add_edge(outer, sockets, rates)
            config = uvicorn.Config(outer, lifespan="off", ws="websockets-sansio", log_config=None)
            server = QuietServer(config)
            serving = tasks.create_task(server.serve([listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            port = listening.getsockname()[1]
            yield House(f"ws://127.0.0.1:{port}/api/v1/cache", cache, bus)
            server.should_exit = True
            await serving


@pytest.fixture
def house_url(request: pytest.FixtureRequest) -> str:
    """In one process, or on Redis where a test asks for `redis`."""
    return str(request.getfixturevalue("redis_url")) if getattr(request, "param", "memory") == "redis" else "memory://"


@pytest.fixture
async def house(house_url: str) -> AsyncIterator[House]:
    async with open_house(house_url) as house:
        yield house
