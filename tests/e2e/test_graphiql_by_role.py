"""Who is sent GraphiQL, who its login, and who is refused."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from fullon_master_api.app import open_gateway
from fullon_master_api.auth.jwt import create_access_token
from fullon_master_api.model import Role
from fullon_master_api.settings import Audience, Settings

SECRET = "a secret that is long enough to sign with"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def what(answer: httpx.Response) -> str:
    """The page that was sent, or the code of the refusal."""
    if "text/html" not in answer.headers["content-type"]:
        code: str = answer.json()["errors"][0]["extensions"]["code"]
        return f"{answer.status_code} {code}"
    assert answer.status_code == 200
    assert "Authorization" in answer.headers["vary"]
    return next(name for name in ("graphiql.js", "door.js") if f"/static/{name}" in answer.text)


@pytest.mark.parametrize(
    ("audience", "stranger", "user", "admin"),
    [
        ("everyone", "graphiql.js", "graphiql.js", "graphiql.js"),
        ("users", "door.js", "graphiql.js", "graphiql.js"),
        ("admins", "door.js", "403 FORBIDDEN", "graphiql.js"),
        ("nobody", "400 BAD_USER_INPUT", "400 BAD_USER_INPUT", "400 BAD_USER_INPUT"),
    ],
)
async def test_the_page_goes_to_whom_the_setting_names(
    tmp_path: Path, audience: Audience, stranger: str, user: str, admin: str
) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, jwt_secret_key=SECRET, graphiql=audience)
    async with open_gateway(settings) as gateway:
        transport = httpx.ASGITransport(app=gateway.app)
        users = gateway.stores.orm.users
        callers = {"stranger": {}, "forged": {"authorization": "Bearer a.b.c"}}
        for role in (Role.USER, Role.ADMIN):
            made = await users.add(None, {"mail": f"{role}@fullon", "name": "x", "role": role}, password_hash="x")
            token = create_access_token(made.uid, settings=settings)
            callers[role.value.lower()] = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://desk.test", headers={"accept": BROWSER}) as client:
            got = {who: what(await client.get("/graphql", headers=headers)) for who, headers in callers.items()}

    assert got == {"stranger": stranger, "user": user, "admin": admin, "forged": "401 UNAUTHENTICATED"}
