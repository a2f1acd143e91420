"""`/users` over REST."""

from __future__ import annotations

import httpx

from tests.rest.orm.conftest import PREFIX, Client, Stage


async def test_me_is_the_caller(stage: Stage) -> None:
    me = await stage.trader.get("/users/me")
    assert (me["uid"], me["mail"], me["name"]) == (stage.demo.trader.uid, "trader@fullon", "jimmy")
    assert me["timestamp"].endswith("Z")
    assert not {"password", "password_hash", "f2a", "token_version"} & me.keys()


async def test_without_a_good_token_every_words_of_the_refusal_are_the_originals(stage: Stage) -> None:
    tokens = [
        "Bearer ",
        "Bearer nonsense",
        "Basic abc",
        f"Bearer {stage.signer.sign(uid=999, mail='x')}",
        f"Bearer {stage.signer.sign(uid=1, life_s=-10)}",
    ]
    for headers in ({}, *({"Authorization": token} for token in tokens)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="http://test") as http:
            answer = await http.get(f"{PREFIX}/users/me", headers=headers)
        assert answer.status_code == 401
        assert "no authenticated user" in answer.json()["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_admin_lists_all_users_and_anybody_else_themself(stage: Stage) -> None:
    assert [user["mail"] for user in await stage.admin.get("/users")] == ["admin@fullon", "trader@fullon", "ben@fullon"]
    assert [user["mail"] for user in await stage.admin.get("/users", page=2, page_size=2)] == ["ben@fullon"]
    assert [user["mail"] for user in await stage.other.get("/users")] == ["ben@fullon"]
    assert [user["mail"] for user in await stage.admin.get("/users/search", q="RICH")] == []
    assert [user["mail"] for user in await stage.admin.get("/users/search", query="BEN")] == ["ben@fullon"]
    await stage.other.get(f"/users/{stage.demo.trader.uid}", status=404)
    await stage.other.get("/users/by-email/trader@fullon", status=404)


async def test_an_admin_adds_changes_and_removes_a_user(stage: Stage) -> None:
    new = {"mail": "new@fullon", "password": "long enough", "name": "New"}
    await stage.trader.post("/users/", new, status=403)
    user = await stage.admin.post("/users/", new)
    await stage.admin.post("/users/", new, status=409)
    changed = await stage.admin.ask("PATCH", f"/users/{user['uid']}", {"lastname": "Er", "role": "admin"})
    assert (changed["lastname"], changed["role"]) == ("Er", "ADMIN")
    toggled = await stage.admin.ask("PATCH", f"/users/{user['uid']}/toggle-active")
    assert toggled["active"] is False
    assert [row["uid"] for row in await stage.admin.get("/users/active")] == [1, 2, 3]
    await stage.admin.ask("DELETE", f"/users/{user['uid']}")
    await stage.admin.get(f"/users/{user['uid']}", status=404)


async def test_a_missing_field_is_named(stage: Stage) -> None:
    refused = await stage.admin.post("/users/", {"password": "long enough"}, status=422)
    assert refused["detail"][0]["loc"] == ["body", "mail"]
    assert refused["code"] == "BAD_USER_INPUT"
    refused = await stage.admin.post("/users/", {"mail": "nohost", "password": "long enough"}, status=422)
    assert refused["detail"][0]["loc"] == ["mail"]


async def test_a_new_password_ends_the_callers_session(stage: Stage) -> None:
    path, known = f"/users/{stage.ben.uid}/password", await stage.sessions.hash_password("the old one")
    await stage.orm.users.rehash_password(stage.ben.uid, known, token_version=0)
    await stage.other.ask("PATCH", path, {"password": "something new"}, status=422)
    await stage.other.ask("PATCH", path, {"password": "something new", "current_password": "the old one"})
    await stage.other.get("/users/me", status=401)
    session = await stage.sessions.login(mail="ben@fullon", password="something new", address="")
    again = Client(stage.app, {"Authorization": f"Bearer {session.access_token}"})
    assert (await again.get("/users/me"))["uid"] == stage.ben.uid


async def test_a_key_sets_no_password_whatever_its_scopes(stage: Stage) -> None:
    admin = Client(stage.app, dict(stage.admin.http.headers))
    made = await admin.post("/api_keys/me", {"name": "all", "scopes": "read,write,admin"})
    key = Client(stage.app, {"X-API-Key": made["key"]})
    for uid in ((await admin.get("/users/me"))["uid"], stage.ben.uid):
        body = {"password": "something new", "current_password": "password"}
        await key.ask("PATCH", f"/users/{uid}/password", body, status=403)
