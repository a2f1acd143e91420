"""Access tokens."""

from __future__ import annotations

import time

import jwt as pyjwt
import pytest

from fullon_master_api.auth import jwt as module
from fullon_master_api.auth.jwt import Signer, create_access_token
from fullon_master_api.errors import BadUserInput, TokenExpired, Unauthenticated
from fullon_master_api.settings import Settings

SECRET = "a secret that is long enough for every algorithm we take, 64 bytes at least"


def signer(**changed: object) -> Signer:
    options: dict[str, object] = {
        "secret": SECRET,
        "algorithm": "HS256",
        "issuer": "fullon-master-api",
        "audience": "fullon",
        "life_s": 3600.0,
    }
    return Signer(**(options | changed))  # type: ignore[arg-type]


def test_a_token_says_whose_it_is_and_when_it_ends() -> None:
    began_s = time.time()
    claims = signer().verify(signer().sign(uid=7, mail="a@b", version=3))

    assert (claims.uid, claims.mail, claims.token_version) == (7, "a@b", 3)
    assert claims.token_id
    assert began_s - 1 < claims.expires_s - 3600 <= time.time()  # Whole seconds.


def test_our_tokens_carry_sub_and_user_id() -> None:
    claims = pyjwt.decode(signer().sign(uid=7), SECRET, algorithms=["HS256"], audience="fullon")

    assert (claims["sub"], claims["user_id"], claims["iss"]) == ("7", 7, "fullon-master-api")
    assert {"jti", "iat", "exp"} <= set(claims)


def test_a_token_of_the_original_is_taken() -> None:
    original = {"sub": "a@b", "user_id": 7, "username": "a@b", "email": "a@b", "exp": int(time.time()) + 60}

    claims = signer().verify(pyjwt.encode(original, SECRET, algorithm="HS256"))

    assert (claims.uid, claims.mail, claims.token_version) == (7, "a@b", None)


def test_an_expired_token_is_told_apart_from_a_bad_one() -> None:
    with pytest.raises(TokenExpired):
        signer().verify(signer().sign(uid=7, life_s=-1))


def test_a_token_that_was_good_ends_although_it_is_remembered() -> None:
    checker = signer()
    token = checker.sign(uid=7, life_s=2)
    checker.verify(token)
    checker._checked[token] = checker._checked[token].__class__(
        uid=7, mail=None, token_id=None, token_version=0, scopes=frozenset(), expires_s=time.time() - 1
    )

    with pytest.raises(TokenExpired):
        checker.verify(token)
    assert token not in checker._checked


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        "x" * 9000,
        signer(secret="another secret that is long enough for every algorithm, 64 bytes here").sign(uid=7),
        signer(issuer="somebody else").sign(uid=7),
        signer(audience="something else").sign(uid=7),
        pyjwt.encode({"sub": "a@b", "exp": 9999999999}, SECRET, algorithm="HS256"),
        pyjwt.encode({"user_id": True, "exp": 9999999999}, SECRET, algorithm="HS256"),
        pyjwt.encode({"user_id": "7; drop table", "exp": 9999999999}, SECRET, algorithm="HS256"),
        pyjwt.encode({"user_id": 7}, SECRET, algorithm="HS256"),
        pyjwt.encode({"user_id": 7, "exp": 10**400}, SECRET, algorithm="HS256"),
        pyjwt.encode({"sub": "7" * 5000, "exp": 9999999999}, SECRET, algorithm="HS256"),
        pyjwt.encode({"user_id": 7, "exp": 9999999999}, SECRET, algorithm="HS512"),
        pyjwt.encode({"user_id": 7, "exp": 9999999999}, "", algorithm="none"),
    ],
    ids=[
        *("empty", "text", "dots", "long", "key", "issuer", "audience", "nobody", "bool", "text id", "endless", "eternal"),
        *("long id", "hs512", "none"),
    ],
)
def test_what_is_not_our_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        signer().verify(token)


def test_scripts_that_share_the_secret_sign_and_check_without_a_server() -> None:
    settings = Settings(jwt_secret_key=SECRET)

    assert Signer.from_settings(settings).verify(create_access_token(user_id=5, settings=settings)).uid == 5


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(BadUserInput, match="JWT_SECRET_KEY"):
        create_access_token(user_id=5, settings=Settings(jwt_secret_key=None))


def test_a_token_may_name_its_user_by_its_subject_alone() -> None:
    token = pyjwt.encode({"sub": "7", "exp": int(time.time()) + 60}, SECRET, algorithm="HS256")

    assert signer().verify(token).uid == 7


def test_how_many_checked_tokens_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_MAX", 2)
    ours = signer()
    tokens = [ours.sign(uid=uid, mail="a@b", version=1) for uid in (1, 2, 3)]

    assert [ours.verify(token).uid for token in tokens * 2] == [1, 2, 3, 1, 2, 3]
    assert len(ours._checked) == 2
