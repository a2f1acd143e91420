"""An ORM on each of the two stores, and a small world to ask about."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from sqlalchemy import make_url

from fullon_master_api.apis.orm import Orm, migrate, open_orm
from fullon_master_api.model import Bot, Exchange, ExchangeAccount, Principal, Role, Scope, Symbol, User
from tests.servers import drop_database, new_database, postgres_server

__all__ = ["postgres_server"]

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
STORES = ("sqlite", "postgresql")

_templates: dict[tuple[str, bool], str] = {}
_worlds: dict[str, World] = {}


@pytest.fixture
async def url(store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str, None]:
    """URL of a store with the newest schema: with the world in it if the test asks for that, else with no rows.

    Each is made once and copied for every test.
    """
    peopled = "world" in request.fixturenames
    if store == "sqlite":
        template = _templates.get((store, peopled))
        if template is None:
            template = str(tmp_path_factory.mktemp("template") / "orm.db")
            await _fill(f"sqlite+aiosqlite:///{template}", store, peopled=peopled)
            _templates[store, peopled] = template
        copy = tmp_path_factory.mktemp("orm") / "orm.db"
        shutil.copy(template, copy)
        yield f"sqlite+aiosqlite:///{copy}"
        return
    server: str = request.getfixturevalue("postgres_server")
    if (store, peopled) not in _templates:
        made = await new_database(server)
        await _fill(made, store, peopled=peopled)
        _templates[store, peopled] = make_url(made).database or ""
    address = await new_database(server, template=_templates[store, peopled])
    yield address
    await drop_database(server, address)


async def _fill(url: str, store: str, *, peopled: bool) -> None:
    await migrate.upgrade(url)
    if peopled:
        async with open_orm(url, migrate_up=False) as orm:
            _worlds[store] = await people(orm)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def orm(url: str) -> AsyncGenerator[Orm, None]:
    async with open_orm(url, credentials_key=KEY, migrate_up=False) as orm:
        yield orm


@pytest.fixture
async def world(store: str, url: str) -> World:
    return _worlds[store]


def principal_of(user: User, *scopes: Scope) -> Principal:
    """Somebody who is signed in; by default with all scopes of their role."""
    every = {Scope.READ, Scope.WRITE} | ({Scope.ADMIN} if user.role is Role.ADMIN else set())
    return Principal(uid=user.uid, mail=user.mail, role=user.role, scopes=frozenset(scopes) or frozenset(every))


@dataclass(frozen=True)
class World:
    """An admin, two users who trade at one exchange, and a bot and an account of each user."""

    admin: Principal
    ana: Principal
    ben: Principal
    kraken: Exchange
    btc: Symbol
    eth: Symbol
    ana_account: ExchangeAccount
    ben_account: ExchangeAccount
    ana_bot: Bot
    ben_bot: Bot


async def people(orm: Orm) -> World:
    admin = await orm.users.add(None, {"mail": "admin@fullon", "role": "ADMIN"}, password_hash="x")
    ana = await orm.users.add(None, {"mail": "ana@fullon", "name": "Ana"}, password_hash="x")
    ben = await orm.users.add(None, {"mail": "ben@fullon", "name": "Ben"}, password_hash="x")
    kraken = await orm.exchanges.install(None, "kraken")
    btc = await orm.symbols.add(None, {"symbol": "BTC/USD", "cat_ex_id": kraken.cat_ex_id, "decimals": 1})
    eth = await orm.symbols.add(None, {"symbol": "ETH/USD", "cat_ex_id": kraken.cat_ex_id, "decimals": 2})
    accounts, bots = [], []
    for user in (ana, ben):
        owner = principal_of(user)
        accounts.append(await orm.accounts.add(owner, {"cat_ex_id": kraken.cat_ex_id, "name": "main"}))
        bots.append(await orm.bots.add(owner, {"name": f"{user.name}'s bot", "dry_run": False}))
    return World(
        admin=principal_of(admin),
        ana=principal_of(ana),
        ben=principal_of(ben),
        kraken=kraken,
        btc=btc,
        eth=eth,
        ana_account=accounts[0],
        ben_account=accounts[1],
        ana_bot=bots[0],
        ben_bot=bots[1],
    )
