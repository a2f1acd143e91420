"""The OHLCV routes over real stores: a catalogue with two symbols, and who may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from fullon_master_api.apis.ohlcv import OhlcvStore, open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.apis.orm.store import Orm
from fullon_master_api.bus import Bus, open_bus
from fullon_master_api.errors import Unauthenticated
from fullon_master_api.model import MarketTrade, Principal, Role, Scope, Side
from fullon_master_api.rest.faults import install_faults
from fullon_master_api.rest.ohlcv import FullonOhlcvGateway
from tests.rest.edges import add_edge

NS = 10**9
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z
READER = Principal(uid=2, mail="trader@fullon", role=Role.USER, scopes=frozenset({Scope.READ}))
WRITER = Principal(uid=3, mail="writer@fullon", role=Role.USER, scopes=frozenset({Scope.WRITE}))
PEOPLE = {"reader": READER, "writer": WRITER}


async def authenticate(token: str) -> Principal:
    """A token is a name here: how tokens are signed is another room's matter."""
    if token not in PEOPLE:
        raise Unauthenticated("Not authenticated")
    return PEOPLE[token]


@pytest.fixture
async def orm(tmp_path: Path) -> AsyncIterator[Orm]:
    async with open_orm(f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}") as opened:
        for name in ("kraken", "bitmex"):
            exchange = await opened.exchanges.install(None, name)
            for symbol in ("BTC/USD", "ETH/USD:USD"):
                await opened.symbols.add(None, {"cat_ex_id": exchange.cat_ex_id, "symbol": symbol, "decimals": 2})
        yield opened


@pytest.fixture
async def ohlcv(tmp_path: Path) -> AsyncIterator[OhlcvStore]:
    """Three minutes of BTC/USD at kraken, the second one without trades."""
    async with open_ohlcv(f"sqlite+aiosqlite:///{tmp_path / 'ohlcv.db'}") as opened:
        trades = [
            MarketTrade(trade_id="9", event_ns=DAY_S * NS + 500, price="100.10", quantity="0.1", side=Side.BUY),
            MarketTrade(trade_id="10", event_ns=DAY_S * NS + 500, price="99.05", quantity="0.2", side=Side.SELL),
            MarketTrade(trade_id="11", event_ns=(DAY_S + 120) * NS, price="101", quantity="0.00000001", side=Side.BUY),
        ]
        await opened.append_trades("kraken", "BTC/USD", trades, price_decimals=2, quantity_decimals=8)
        yield opened


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with open_bus("memory://") as opened:
        yield opened


@pytest.fixture
def app(orm: Orm, ohlcv: OhlcvStore, bus: Bus) -> FastAPI:
    app = FastAPI()
    app.state.stores = SimpleNamespace(orm=orm, ohlcv=ohlcv, bus=bus)
    app.state.authenticate = authenticate
    install_faults(app)
    for router in FullonOhlcvGateway().get_routers():
        app.include_router(router, prefix="/api/v1/ohlcv")

    @app.middleware("http")
    async def name_caller(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.user = PEOPLE.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        request.state.refusal = None
        return await answer(request)

    add_edge(app)
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer reader"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1/ohlcv", headers=headers) as client:
        yield client
