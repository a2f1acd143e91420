"""Logins and credentials in front of the ORM's routes: E4, E5 and T1 to T8 of the platform's reference."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import update

from fullon_master_api.apis.orm.tables import api_keys
from fullon_master_api.rest.auth import auth_router
from tests.rest.orm.conftest import PREFIX, Client, Stage

PASSWORD = "password"


@dataclass(frozen=True)
class Gate:
    """The stage with the routes of logins beside it, and the trader's password known."""

    stage: Stage
    http: httpx.AsyncClient

    async def login(self, mail: str = "trader@fullon", password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/api/v1/auth/login", data={"username": mail, "password": password})

    async def token(self) -> str:
        return str((await self.login()).json()["access_token"])

    async def verify(self, headers: dict[str, str]) -> httpx.Response:
        return await self.http.get("/api/v1/auth/verify", headers=headers)

    async def me(self, headers: dict[str, str]) -> httpx.Response:
        return await self.http.get(f"{PREFIX}/users/me", headers=headers)


@pytest.fixture
async def gate(stage: Stage) -> Gate:
    stage.app.include_router(auth_router(stage.sessions), prefix="/api/v1")
    password_hash = await stage.sessions.hash_password(PASSWORD)
    await stage.orm.users.set_password_hash(stage.demo.trader.uid, password_hash, None)
    return Gate(stage, httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="http://test"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_e4_t1_t2_t3_a_login_gives_a_token_that_says_whose_it_is(gate: Gate) -> None:
    answer = await gate.login()
    body = answer.json()
    assert answer.status_code == 200
    assert (body["token_type"], body["expires_in"]) == ("bearer", 60)
    verified = await gate.verify(bearer(body["access_token"]))
    trader = gate.stage.demo.trader
    assert verified.json() == {"user_id": trader.uid, "username": trader.mail, "email": trader.mail, "is_active": True}
    for wrong in (await gate.login(password="wrong"), await gate.login(mail="nobody@fullon")):
        assert (wrong.status_code, wrong.json()["detail"]) == (401, "Invalid credentials")
        assert wrong.headers["www-authenticate"] == "Bearer"
    assert (await gate.verify(bearer("nonsense"))).status_code == 401
    assert (await gate.verify({})).status_code == 403
    missing = await gate.http.post("/api/v1/auth/login", data={"username": "x"})
    assert missing.status_code == 422


async def test_e5_t4_t6_a_token_opens_the_callers_own_data(gate: Gate) -> None:
    client = Client(gate.stage.app, bearer(await gate.token()))
    me = await client.get("/users/me")
    assert (me["uid"], me["mail"], me["name"]) == (gate.stage.demo.trader.uid, "trader@fullon", "jimmy")
    assert [user["uid"] for user in await client.get("/users")] == [me["uid"]]
    bot = await client.post("/bots/", {"uid": me["uid"], "name": "made"})
    assert bot["bot_id"] in [row["bot_id"] for row in await client.get("/bots/by-user", user_id=me["uid"])]


async def test_t5_no_bad_token_opens_anything(gate: Gate) -> None:
    good = jwt.decode(await gate.token(), "s" * 32, algorithms=["HS256"], audience="test")

    def signed(secret: str = "s" * 32, **changes: Any) -> str:
        claims = {name: value for name, value in (good | changes).items() if value is not None}
        return jwt.encode(claims, secret, algorithm="HS256")

    assert (await gate.me(bearer(signed()))).status_code == 200
    past = datetime.now(UTC) - timedelta(hours=1)
    bad = {
        "none": {},
        "empty": {"Authorization": ""},
        "no token": {"Authorization": "Bearer"},
        "malformed": bearer("a.b.c"),
        "wrong scheme": {"Authorization": f"Basic {signed()}"},
        "over": bearer(signed(exp=past)),
        "another secret": bearer(signed(secret="x" * 32)),
        "without a user": bearer(signed(user_id=None, sub=None)),
        "of a missing user": bearer(signed(user_id=999_999, sub="999999")),
        "without a signature": bearer(jwt.encode(good, "", algorithm="none")),
        "another audience": bearer(signed(aud="else")),
    }
    for name, headers in bad.items():
        answer = await gate.me(headers)
        assert answer.status_code == 401, name
        assert "authenticated" in answer.json()["detail"], name


async def test_t7_a_key_shows_the_same_user_and_its_last_use_grows(gate: Gate) -> None:
    client = Client(gate.stage.app, bearer(await gate.token()))
    made = await client.post("/api_keys/me", {"name": "mine"})
    by_key = Client(gate.stage.app, {"X-API-Key": made["key"]})
    assert await by_key.get("/users/me") == await client.get("/users/me")
    orm = gate.stage.orm
    (used,) = await orm.api_keys.get_many([made["api_key_id"]], None)
    assert used is not None
    assert used.last_used_at is not None
    earlier = used.last_used_at - timedelta(minutes=2)
    async with orm.database.write() as write:
        await write.connection.execute(update(api_keys).values(last_used_at=earlier))
    await by_key.get("/users/me")
    (again,) = await orm.api_keys.get_many([made["api_key_id"]], None)
    assert again is not None
    assert again.last_used_at is not None
    assert again.last_used_at > earlier + timedelta(minutes=1)


async def test_t8_no_bad_key_opens_anything(gate: Gate) -> None:
    client = Client(gate.stage.app, bearer(await gate.token()))
    inactive = await client.post("/api_keys/me", {"name": "inactive"})
    await client.ask("PATCH", f"/api_keys/{inactive['api_key_id']}/deactivate")
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    over = await client.post("/api_keys/me", {"name": "over", "expires_at": past})
    for key in ("fullon_ak_unknown", inactive["key"], over["key"], "short", ""):
        answer = await gate.me({"X-API-Key": key})
        assert answer.status_code == 401, key
        assert "no authenticated user" in answer.json()["detail"]


async def test_a_user_who_is_switched_off_is_refused_with_every_credential(gate: Gate) -> None:
    token = await gate.token()
    client = Client(gate.stage.app, bearer(token))
    made = await client.post("/api_keys/me", {"name": "mine"})
    await gate.stage.admin.ask("PATCH", f"/users/{gate.stage.demo.trader.uid}/toggle-active")
    assert (await gate.login()).status_code == 401
    for headers in (bearer(token), {"X-API-Key": made["key"]}):
        assert (await gate.me(headers)).status_code == 401
