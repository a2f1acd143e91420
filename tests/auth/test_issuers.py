"""Tokens of another issuer, whose keys are served over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fullon_master_api.apis.orm import open_orm
from fullon_master_api.auth import issuers as module
from fullon_master_api.auth import sessions as sessions_module
from fullon_master_api.auth.issuers import ExternalIssuer, is_signed_with_public_key
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.errors import TokenExpired, Unauthenticated, Unavailable
from fullon_master_api.settings import Settings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER = "https://login.example"


class Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        public = json.loads(pyjwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        body = json.dumps({"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    thread.join()
    server.server_close()


def token(key: Any = KEY, kid: str = "k1", **changed: object) -> str:
    claims = {"iss": ISSUER, "aud": "fullon", "exp": int(time.time()) + 60, "email": "ada@fullon", "email_verified": True}
    given = {name: value for name, value in (claims | changed).items() if value is not None}
    return pyjwt.encode(given, key, algorithm="RS256", headers={"kid": kid})


@pytest.fixture
async def sessions(tmp_path: Path, jwks_url: str) -> AsyncIterator[Sessions]:
    async with open_orm(f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}") as orm, open_passwords() as passwords:
        await orm.users.add(None, {"mail": "ada@fullon"}, password_hash="unused")
        signer = Signer(secret="s" * 64, algorithm="HS256", issuer="fullon-master-api", audience="fullon", life_s=60)
        external = ExternalIssuer(jwks_url=jwks_url, issuer=ISSUER, audience="fullon")
        throttle = LoginThrottle(attempts_max=3, window_s=60)
        yield Sessions(orm, signer, passwords, throttle, refresh_days=1, api_keys=True, external=external)


async def test_a_token_of_the_named_issuer_is_our_user_of_its_mail(sessions: Sessions) -> None:
    for _ in range(2):
        principal = await sessions.principal_of_token(token())
        assert (principal.mail, principal.is_admin) == ("ada@fullon", False)


@pytest.mark.parametrize(
    "bad",
    [
        {"key": OTHER},
        {"kid": "unknown"},
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"email": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email": "Ada@fullon"},
        {"exp": None},
    ],
    ids=["key", "kid", "issuer", "audience", "no mail", "unverified", "not said", "only text", "case", "endless"],
)
async def test_what_the_issuer_did_not_say_is_refused(sessions: Sessions, bad: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await sessions.principal_of_token(token(**bad))


async def test_an_expired_token_of_the_issuer_is_told_apart(sessions: Sessions) -> None:
    with pytest.raises(TokenExpired):
        await sessions.principal_of_token(token(exp=int(time.time()) - 1))


async def test_a_published_key_is_never_taken_for_a_shared_secret(sessions: Sessions) -> None:
    public = pyjwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())
    forged = pyjwt.encode({"user_id": 1, "exp": int(time.time()) + 60}, public * 2, algorithm="HS256", headers={"kid": "k1"})

    with pytest.raises(Unauthenticated):
        await sessions.principal_of_token(forged)


async def test_an_issuer_that_is_away_is_not_taken_for_a_bad_token() -> None:
    issuer = ExternalIssuer(jwks_url="http://127.0.0.1:9/keys", issuer=ISSUER, audience="fullon")

    with pytest.raises(Unavailable):
        await issuer.verify(token())


def test_keys_without_an_issuer_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="JWT_EXTERNAL_ISSUER"):
        Settings(jwt_jwks_url="https://login.example/keys")
    assert ExternalIssuer.from_settings(Settings()) is None


async def test_the_issuer_is_the_one_of_the_settings(jwks_url: str) -> None:
    assert ExternalIssuer.from_settings(Settings(_env_file=None)) is None
    named = Settings(_env_file=None, jwt_jwks_url=jwks_url, jwt_external_issuer=ISSUER)

    issuer = ExternalIssuer.from_settings(named)

    assert issuer is not None
    assert (await issuer.verify(token())).mail == "ada@fullon"


async def test_a_remembered_token_ends_and_few_are_remembered(jwks_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_MAX", 1)
    issuer = ExternalIssuer(jwks_url=jwks_url, issuer=ISSUER, audience="fullon")
    first, second = token(jti="1"), token(jti="2")
    assert [(await issuer.verify(one)).token_id for one in (first, second, first)] == ["1", "2", "1"]
    assert list(issuer._checked) == [first]

    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(TokenExpired):
        await issuer.verify(first)
    assert list(issuer._checked) == []


@pytest.mark.parametrize("text", ["no token", "a.b.c", "x" * 10_000])
def test_what_is_no_token_is_not_signed_with_a_public_key(text: str) -> None:
    assert is_signed_with_public_key(text) is False


async def test_a_token_of_a_mail_that_moved_to_another_user_is_refused_once(sessions: Sessions) -> None:
    asked = token()
    first = await sessions.principal_of_token(asked)
    orm = sessions._orm
    await orm.users.modify(first.uid, None, {"mail": "moved@fullon"})
    sessions.forget(first.uid)

    with pytest.raises(Unauthenticated, match="not its user's any more"):
        await sessions.principal_of_token(asked)
    with pytest.raises(Unauthenticated, match="nobody here has the mail"):
        await sessions.principal_of_token(asked)
    new = await orm.users.add(None, {"mail": "ada@fullon"}, password_hash="unused")
    assert (await sessions.principal_of_token(asked)).uid == new.uid


async def test_how_many_mails_are_remembered_is_bounded(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "FACTS_MAX", 1)
    ben = await sessions._orm.users.add(None, {"mail": "ben@fullon"}, password_hash="unused")

    assert (await sessions.principal_of_token(token())).mail == "ada@fullon"
    assert (await sessions.principal_of_token(token(email="ben@fullon"))).uid == ben.uid
    assert list(sessions._uids) == ["ben@fullon"]
