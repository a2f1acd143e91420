"""The ORM's routes in an application with a real edge, over a store with the demo's data."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from sqlalchemy import make_url

from fullon_master_api.apis.cache import Cache, open_cache
from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.apis.orm.demo import Demo, install_demo
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.auth.rates import Rates
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.bus import open_bus
from fullon_master_api.model import User
from fullon_master_api.rest.edge import Edge
from fullon_master_api.rest.faults import install_faults
from fullon_master_api.rest.orm import get_all_routers
from tests.rest.edges import sockets_for
from tests.servers import drop_database, new_database, postgres_server

__all__ = ["postgres_server"]

PREFIX = "/api/v1/orm"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


ROUTES = [route for router in get_all_routers() for route in router.routes if isinstance(route, APIRoute)]


@dataclass(frozen=True)
class Stores:
    orm: Orm
    cache: Cache
    sessions: Sessions


@dataclass(frozen=True)
class Stage:
    """The application, its stores, and a client for each caller."""

    app: FastAPI
    orm: Orm
    cache: Cache
    sessions: Sessions
    demo: Demo
    ben: User
    signer: Signer
    admin: Client
    trader: Client
    other: Client
    nobody: Client


class Client:
    """Requests of one caller; answers are decoded without floats."""

    def __init__(self, app: FastAPI, headers: dict[str, str]) -> None:
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url=f"http://test{PREFIX}", headers=headers)

    async def ask(self, method: str, path: str, body: object = None, *, status: int = 200, **params: Any) -> Any:
        """The decoded answer, whose status is as said."""
        content = None if body is None else body if isinstance(body, str) else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        answer = await self.http.request(method, path, content=content, params=params or None, headers=headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        found = json.loads(answer.text, parse_float=Decimal)
        if status == 200:
            self._check_shape(method, path, found)
        return found

    def _check_shape(self, method: str, path: str, body: object) -> None:
        """Whether the answer is what the OpenAPI document promises, with no field too many."""
        for route in ROUTES:
            if method in (route.methods or ()) and route.path_regex.match(path.partition("?")[0]):
                TypeAdapter(route.response_model).validate_python(body)
                return
        raise AssertionError(f"no route for {method} {path}")

    async def get(self, path: str, *, status: int = 200, **params: Any) -> Any:
        return await self.ask("GET", path, status=status, **params)

    async def post(self, path: str, body: object, *, status: int = 200) -> Any:
        return await self.ask("POST", path, body, status=status)


_templates: dict[str, tuple[str, Demo]] = {}


async def _install(url: str) -> Demo:
    async with open_orm(url, credentials_key=KEY) as orm:
        demo = await install_demo(orm, password_hash="x")
        await orm.users.add(None, {"mail": "ben@fullon", "name": "Ben"}, password_hash="x")
    return demo


@pytest.fixture(params=("sqlite", "postgresql"))
async def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[str, Demo], None]:
    """URL of a store with the demo's data, made once for each kind of store and copied for every test."""
    if request.param == "sqlite":
        if request.param not in _templates:
            path = str(tmp_path_factory.mktemp("template") / "orm.db")
            _templates[request.param] = (path, await _install(f"sqlite+aiosqlite:///{path}"))
        template, demo = _templates[request.param]
        copy = tmp_path_factory.mktemp("orm") / "orm.db"
        shutil.copy(template, copy)
        yield f"sqlite+aiosqlite:///{copy}", demo
        return
    server: str = request.getfixturevalue("postgres_server")
    if request.param not in _templates:
        made = await new_database(server)
        demo = await _install(made)
        _templates[request.param] = (make_url(made).database or "", demo)
    name, demo = _templates[request.param]
    url = await new_database(server, template=name)
    yield url, demo
    await drop_database(server, url)


@pytest.fixture
async def stage(installed: tuple[str, Demo]) -> AsyncGenerator[Stage, None]:
    url, demo = installed
    signer = Signer(secret="s" * 32, algorithm="HS256", issuer="test", audience="test", life_s=60)
    async with (
        open_orm(url, credentials_key=KEY, migrate_up=False) as orm,
        open_passwords() as passwords,
        open_bus("memory://") as bus,
        open_cache(bus, "memory://") as cache,
    ):
        throttle = LoginThrottle(attempts_max=10, window_s=60)
        sessions = Sessions(orm, signer, passwords, throttle, refresh_days=1, api_keys=True)
        (ben,) = await orm.users.by_mails(["ben@fullon"], None)
        assert ben is not None
        app = FastAPI()
        app.state.stores = Stores(orm, cache, sessions)
        install_faults(app)
        for router in get_all_routers():
            app.include_router(router, prefix=PREFIX)
        app.add_middleware(
            Edge,
            authenticate=sessions.authenticate,
            api_key_header="X-API-Key",
            body_bytes_max=100_000,
            foreign_path="/graphql",
            rates=Rates(per_user=0, per_address=0, running_max=100),
            limited_prefix=PREFIX,
            sockets=sockets_for(),
        )

        def client(user: User | None) -> Client:
            token = user and signer.sign(uid=user.uid, mail=user.mail)
            return Client(app, {"Authorization": f"Bearer {token}"} if token else {})

        yield Stage(
            app=app,
            orm=orm,
            cache=cache,
            sessions=sessions,
            demo=demo,
            ben=ben,
            signer=signer,
            admin=client(demo.admin),
            trader=client(demo.trader),
            other=client(ben),
            nobody=client(None),
        )
