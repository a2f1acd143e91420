"""Logging in, and who a credential belongs to."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.auth import sessions as module
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.auth.sessions import KEY_PREFIX, Sessions, hash_secret, new_api_key
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.auth.totp import totp_code
from fullon_master_api.errors import BadUserInput, RateLimited, TokenExpired, Unauthenticated
from fullon_master_api.model import Role, Scope, User
from fullon_master_api.tracing import noted_statements

PASSWORD = "correct horse"
KEY = KEY_PREFIX + "s3cret" * 7


class Stage:
    """A store with one user, and the sessions over it."""

    def __init__(self, orm: Orm, sessions: Sessions, user: User) -> None:
        self.orm = orm
        self.sessions = sessions
        self.user = user

    async def add_key(self, **changed: object) -> None:
        given = {"scopes": [Scope.READ], "uid": self.user.uid, "expires_at": None} | changed
        await self.orm.api_keys.add(
            None,
            key_hash=hash_secret(KEY),
            prefix=KEY[:14],
            name="test",
            **given,  # type: ignore[arg-type]
        )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_orm(f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}") as orm, open_passwords() as passwords:
        signer = Signer(secret="s" * 64, algorithm="HS256", issuer="fullon-master-api", audience="fullon", life_s=60)
        throttle = LoginThrottle(attempts_max=3, window_s=60)
        sessions = Sessions(orm, signer, passwords, throttle, refresh_days=1, api_keys=True)
        values = {"mail": "ada@fullon", "name": "Ada", "role": Role.USER}
        user = await orm.users.add(None, values, password_hash=await passwords.hash(PASSWORD))
        yield Stage(orm, sessions, user)


async def login(stage: Stage, password: str = PASSWORD, mail: str = "ada@fullon", totp: str | None = None) -> str:
    session = await stage.sessions.login(mail=mail, password=password, address="127.0.0.1", totp=totp)
    return session.access_token


async def test_a_login_gives_a_token_that_names_the_user(stage: Stage) -> None:
    principal = await stage.sessions.authenticate(f"Bearer {await login(stage)}", None)

    assert principal is not None
    assert (principal.uid, principal.mail, principal.role) == (stage.user.uid, "ada@fullon", Role.USER)
    assert principal.scopes == {Scope.READ, Scope.WRITE}
    assert not principal.is_admin


async def test_a_wrong_password_and_an_unknown_user_get_the_same_words(stage: Stage) -> None:
    with pytest.raises(Unauthenticated, match="^Invalid credentials$"):
        await login(stage, password="wrong")
    with pytest.raises(Unauthenticated, match="^Invalid credentials$"):
        await login(stage, mail="nobody@fullon")


async def test_mails_are_told_apart_by_case(stage: Stage) -> None:
    with pytest.raises(Unauthenticated):
        await login(stage, mail="Ada@fullon")


async def test_a_deactivated_user_may_not_log_in_and_their_token_ends(stage: Stage) -> None:
    token = await login(stage)
    await stage.orm.users.toggle_active(stage.user.uid, None, active=False)
    stage.sessions.forget(stage.user.uid)

    with pytest.raises(Unauthenticated, match="switched off"):
        await stage.sessions.principal_of_token(token)
    with pytest.raises(Unauthenticated, match="^Invalid credentials$"):
        await login(stage)


async def test_a_new_password_ends_every_session(stage: Stage) -> None:
    session = await stage.sessions.login(mail="ada@fullon", password=PASSWORD, address="")
    await stage.orm.users.set_password_hash(stage.user.uid, await stage.sessions.hash_password("another one"), None)
    stage.sessions.forget(stage.user.uid)

    with pytest.raises(Unauthenticated, match="session was ended"):
        await stage.sessions.principal_of_token(session.access_token)
    with pytest.raises(Unauthenticated):
        await stage.sessions.refresh(session.refresh_token)
    assert await login(stage, password="another one")


async def test_a_refresh_token_is_spent_once_and_a_second_try_ends_the_login(stage: Stage) -> None:
    first = await stage.sessions.login(mail="ada@fullon", password=PASSWORD, address="")
    second = await stage.sessions.refresh(first.refresh_token)
    assert (await stage.sessions.principal_of_token(second.access_token)).uid == stage.user.uid

    with pytest.raises(Unauthenticated):
        await stage.sessions.refresh(first.refresh_token)
    with pytest.raises(Unauthenticated):
        await stage.sessions.refresh(second.refresh_token)


async def test_after_a_logout_nothing_can_be_refreshed(stage: Stage) -> None:
    session = await stage.sessions.login(mail="ada@fullon", password=PASSWORD, address="")

    await stage.sessions.logout(session.refresh_token)

    with pytest.raises(Unauthenticated):
        await stage.sessions.refresh(session.refresh_token)


async def test_failed_logins_are_bounded_per_account(stage: Stage) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await login(stage, password="wrong")

    with pytest.raises(RateLimited):
        await login(stage)


async def test_wrong_passwords_that_come_together_are_counted_as_those_that_come_one_by_one(stage: Stage) -> None:
    ended = await asyncio.gather(*(login(stage, password="wrong") for _ in range(12)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in ended) == ["RateLimited"] * 9 + ["Unauthenticated"] * 3


async def test_a_crowd_that_logs_in_from_one_address_is_let_in(stage: Stage) -> None:
    assert len(set(await asyncio.gather(*(login(stage) for _ in range(12))))) == 12


async def test_guesses_of_the_own_password_that_come_together_are_counted(stage: Stage) -> None:
    principal = await stage.sessions.principal_of_token(await login(stage))

    guesses = [stage.sessions.check_password(principal, "wrong") for _ in range(12)]
    ended = await asyncio.gather(*guesses, return_exceptions=True)

    assert sorted(type(each).__name__ for each in ended) == ["BadUserInput"] * 3 + ["RateLimited"] * 9


async def test_a_second_factor_is_asked_where_one_is_set(stage: Stage) -> None:
    secret = "JBSWY3DPEHPK3PXP"
    await stage.orm.users.set_totp_secret(stage.user.uid, secret, None)

    with pytest.raises(Unauthenticated, match="^Invalid credentials$"):
        await login(stage)
    assert await login(stage, totp=totp_code(secret, int(time.time()) // 30))


async def test_a_code_of_the_second_factor_is_good_once_however_many_come_with_it(stage: Stage) -> None:
    secret = "JBSWY3DPEHPK3PXP"
    await stage.orm.users.set_totp_secret(stage.user.uid, secret, None)
    step = int(time.time()) // 30

    tries = [login(stage, totp=totp_code(secret, step)) for _ in range(2)]
    ended = await asyncio.gather(*tries, return_exceptions=True)

    assert [type(each) for each in ended if isinstance(each, Exception)] == [Unauthenticated]
    with pytest.raises(Unauthenticated):
        await login(stage, totp=totp_code(secret, step - 1))
    assert await login(stage, totp=totp_code(secret, step + 1))


async def test_a_key_that_may_write_may_read(stage: Stage) -> None:
    await stage.add_key(scopes=[Scope.WRITE])

    principal = await stage.sessions.authenticate(None, KEY)

    assert principal is not None
    assert principal.scopes == {Scope.READ, Scope.WRITE}


async def test_a_key_may_do_what_its_scopes_and_its_user_may(stage: Stage) -> None:
    await stage.add_key(scopes=[Scope.READ])

    principal = await stage.sessions.authenticate(None, KEY)

    assert principal is not None
    assert principal.uid == stage.user.uid
    assert principal.scopes == {Scope.READ}
    assert not principal.may_write


async def test_the_use_of_a_key_is_remembered(stage: Stage) -> None:
    await stage.add_key()

    await stage.sessions.principal_of_key(KEY)

    row = (await stage.orm.api_keys.of_users([stage.user.uid], None))[0][0]
    assert row.last_used_at is not None


async def test_a_good_token_wins_over_a_key(stage: Stage) -> None:
    await stage.add_key()

    principal = await stage.sessions.authenticate(f"Bearer {await login(stage)}", KEY)

    assert principal is not None
    assert principal.api_key_id is None


async def test_an_expired_key_is_refused(stage: Stage) -> None:
    await stage.add_key(expires_at=datetime.now(UTC) - timedelta(hours=1))

    with pytest.raises(TokenExpired):
        await stage.sessions.principal_of_key(KEY)


@pytest.mark.parametrize("key", ["", "short", "invalid_api_key_without_prefix", KEY_PREFIX + "unknown" * 5])
async def test_what_is_no_key_is_refused(stage: Stage, key: str) -> None:
    with pytest.raises(Unauthenticated):
        await stage.sessions.principal_of_key(key)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "nonsense", "Bearer nonsense"])
async def test_a_header_that_is_no_good_token_is_refused(stage: Stage, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await stage.sessions.authenticate(header, None)


async def test_without_a_credential_nobody_asks(stage: Stage) -> None:
    assert await stage.sessions.authenticate(None, None) is None


async def test_keys_can_be_switched_off(stage: Stage) -> None:
    await stage.add_key()
    stage.sessions._api_keys = False

    with pytest.raises(Unauthenticated, match="switched off"):
        await stage.sessions.authenticate(None, KEY)


async def test_a_token_of_a_user_who_is_gone_is_refused(stage: Stage) -> None:
    token = await login(stage)
    await stage.orm.users.remove(stage.user.uid, None)
    stage.sessions.forget(stage.user.uid)

    with pytest.raises(Unauthenticated, match="does not exist"):
        await stage.sessions.principal_of_token(token)


async def test_a_short_password_is_refused_with_what_is_allowed(stage: Stage) -> None:
    with pytest.raises(BadUserInput, match="must have 8 to 256"):
        await stage.sessions.hash_password("short")


def test_secrets_are_stored_as_their_sha_256() -> None:
    assert hash_secret("x") == hashlib.sha256(b"x").hexdigest()


async def test_a_crowd_of_one_user_is_looked_up_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.auth.sessions.FACTS_LIFE_S", 60.0)
    token = await login(stage)
    stage.sessions.forget(stage.user.uid)
    with noted_statements() as reads:
        found = await asyncio.gather(*(stage.sessions.principal_of_token(token) for _ in range(50)))
    assert {principal.uid for principal in found} == {stage.user.uid}
    assert len(reads) == 1


async def test_a_key_may_come_as_a_bearer_token(stage: Stage) -> None:
    made = new_api_key()
    assert made.key.startswith(KEY_PREFIX)
    assert made.key.startswith(made.prefix)
    scopes = [Scope.READ]
    await stage.orm.api_keys.add(
        None, key_hash=made.key_hash, prefix=made.prefix, name="made", scopes=scopes, uid=stage.user.uid, expires_at=None
    )

    principal = await stage.sessions.principal_of_token(made.key)

    assert (principal.uid, set(principal.scopes)) == (stage.user.uid, {Scope.READ})


async def test_the_own_password_is_checked_as_often_as_a_login(stage: Stage) -> None:
    principal = await stage.sessions.principal_of_token(await login(stage))
    await stage.sessions.check_password(principal, PASSWORD)

    for wrong in ("wrong", "x" * 257, "wrong again"):
        with pytest.raises(BadUserInput, match="currentPassword"):
            await stage.sessions.check_password(principal, wrong)
    with pytest.raises(RateLimited):
        await stage.sessions.check_password(principal, PASSWORD)


async def test_a_hash_of_older_parameters_is_made_anew_at_the_next_login(stage: Stage) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await stage.orm.users.set_password_hash(stage.user.uid, weak, None)

    token = await login(stage)

    kept = await stage.orm.users.credentials_by_mail("ada@fullon")
    assert kept is not None
    assert kept.password_hash != weak
    assert (await stage.sessions.principal_of_token(token)).uid == stage.user.uid
    assert await login(stage)


async def test_how_many_users_are_remembered_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FACTS_MAX", 1)
    ben = await stage.orm.users.add(None, {"mail": "ben@fullon"}, password_hash=await stage.sessions.hash_password(PASSWORD))
    tokens = [await login(stage), await login(stage, mail="ben@fullon")]

    found = [(await stage.sessions.principal_of_token(token)).uid for token in tokens * 2]

    assert found == [stage.user.uid, ben.uid] * 2
    assert len(stage.sessions._facts) == 1
