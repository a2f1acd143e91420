"""The ORM's routes in an application with a real edge, over a store with the demo's data."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.apis.orm.demo import Demo, install_demo
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.model import User
from fullon_master_api.rest.edge import Edge
from fullon_master_api.rest.faults import install_faults
from fullon_master_api.rest.orm import get_all_routers

PREFIX = "/api/v1/orm"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass(frozen=True)
class Stores:
    orm: Orm
    sessions: Sessions


@dataclass(frozen=True)
class Stage:
    """The application, its stores, and a client for each caller."""

    app: FastAPI
    orm: Orm
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
        return json.loads(answer.text, parse_float=Decimal)

    async def get(self, path: str, *, status: int = 200, **params: Any) -> Any:
        return await self.ask("GET", path, status=status, **params)

    async def post(self, path: str, body: object, *, status: int = 200) -> Any:
        return await self.ask("POST", path, body, status=status)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    signer = Signer(secret="s" * 32, algorithm="HS256", issuer="test", audience="test", life_s=60)
    async with (
        open_orm(f"sqlite+aiosqlite:///{tmp_path / 'orm.db'}", credentials_key=KEY) as orm,
        open_passwords() as passwords,
    ):
        throttle = LoginThrottle(attempts_max=10, window_s=60)
        sessions = Sessions(orm, signer, passwords, throttle, refresh_days=1, api_keys=True)
        demo = await install_demo(orm, password_hash="x")
        ben = await orm.users.add(None, {"mail": "ben@fullon", "name": "Ben"}, password_hash="x")
        app = FastAPI()
        app.state.stores = Stores(orm, sessions)
        install_faults(app)
        for router in get_all_routers():
            app.include_router(router, prefix=PREFIX)
        app.add_middleware(
            Edge, authenticate=sessions.authenticate, api_key_header="X-API-Key", body_bytes_max=100_000, foreign_path="/graphql"
        )

        def client(user: User | None) -> Client:
            token = user and signer.sign(uid=user.uid, mail=user.mail)
            return Client(app, {"Authorization": f"Bearer {token}"} if token else {})

        yield Stage(
            app=app,
            orm=orm,
            sessions=sessions,
            demo=demo,
            ben=ben,
            signer=signer,
            admin=client(demo.admin),
            trader=client(demo.trader),
            other=client(ben),
            nobody=client(None),
        )
