"""Logins and callers: mail and password to tokens, a token or a key to the principal behind it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.users import Credentials, PrincipalFacts
from fullon_master_api.auth.issuers import ExternalIssuer, is_signed_with_public_key
from fullon_master_api.auth.jwt import ALL_SCOPES, Signer
from fullon_master_api.auth.passwords import Passwords
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.auth.totp import totp_step
from fullon_master_api.errors import BadUserInput, TokenExpired, Unauthenticated, UnknownUser
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal, Record, Role, Scope

log = get_logger(__name__)

KEY_PREFIX: Final = "fullon_ak_"
REFRESH_PREFIX: Final = "fullon_rt_"
FACTS_LIFE_S: Final = 0.5
FACTS_MAX: Final = 50_000
READS_MAX: Final = 64
USER_SCOPES: Final = frozenset({Scope.READ, Scope.WRITE})


class Session(Record, frozen=True, kw_only=True):
    """What a login gives: the access token for requests, the refresh token for the next one, spent when used."""

    uid: int
    access_token: str
    refresh_token: str
    expires_in_s: int


class Sessions:
    """Who asks. What a request must know of its user is read at most twice a second per user, and never trusted from a token.

    A deactivated user, a changed role and a new password therefore hold within a second on every process.
    """

    def __init__(
        self,
        orm: Orm,
        signer: Signer,
        passwords: Passwords,
        throttle: LoginThrottle,
        *,
        refresh_days: int,
        api_keys: bool,
        external: ExternalIssuer | None = None,
    ) -> None:
        self._external = external
        self._uids: OrderedDict[str, int] = OrderedDict()
        self._orm = orm
        self._signer = signer
        self._passwords = passwords
        self._throttle = throttle
        self._refresh_life = timedelta(days=refresh_days)
        self._api_keys = api_keys
        self._facts: OrderedDict[int, tuple[float, PrincipalFacts]] = OrderedDict()
        self._turns = [asyncio.Lock() for _ in range(READS_MAX)]

    async def login(self, *, mail: str, password: str, address: str, totp: str | None = None) -> Session:
        """A new session. Raises Unauthenticated with the same words and after the same work whatever was wrong; RateLimited."""
        keys = [f"mail:{mail.lower()[:80]}", *([f"address:{address}"] if address else [])]
        async with self._throttle.turn(*keys):
            known = await self._orm.users.credentials_by_mail(mail)
            good = await self._passwords.matches(known.password_hash if known else None, password)
            if known is None or not good or not known.user.active:
                self._throttle.failed(*keys)
                log.info("login.refused", address=address)
                raise Unauthenticated("Invalid credentials")
            if known.totp_secret and not await self._spend_code(known, totp or ""):
                self._throttle.failed(*keys)
                log.info("login.refused", address=address, reason="second factor")
                raise Unauthenticated("Invalid credentials")
            self._throttle.succeeded(keys[0])
        if self._passwords.is_outdated(known.password_hash):
            newer = await self._passwords.hash(password)
            await self._orm.users.rehash_password(known.user.uid, newer, token_version=known.token_version)
        refresh = REFRESH_PREFIX + secrets.token_urlsafe(32)
        await self._orm.users.add_refresh_token(
            known.user.uid,
            hash_secret(refresh),
            family=secrets.token_hex(16),
            expires_at=self._refresh_end(),
            token_version=known.token_version,
        )
        log.info("login.done", uid=known.user.uid, address=address)
        return self._session(known.user.uid, known.user.mail, known.token_version, refresh)

    async def _spend_code(self, known: Credentials, code: str) -> bool:
        """Whether this is a code of the second factor that was not used before (RFC 6238, 5.2)."""
        step = totp_step(known.totp_secret, code, time.time())
        return step is not None and await self._orm.users.spend_totp_step(known.user.uid, step)

    async def refresh(self, refresh_token: str) -> Session:
        """Spend a refresh token for a new session. One that was spent before ends all sessions that came of its login.

        Raises: Unauthenticated, TokenExpired.
        """
        new = REFRESH_PREFIX + secrets.token_urlsafe(32)
        facts = await self._orm.users.rotate_refresh_token(
            hash_secret(refresh_token), hash_secret(new), expires_at=self._refresh_end()
        )
        return self._session(facts.uid, facts.mail, facts.token_version, new)

    async def logout(self, refresh_token: str) -> None:
        """End the login that this refresh token came of; an unknown one ends nothing."""
        await self._orm.users.revoke_refresh_family(hash_secret(refresh_token))

    async def authenticate(self, authorization: str | None, api_key: str | None) -> Principal | None:
        """The caller behind the two headers, None where both are absent. A good token wins over a key.

        Raises: Unauthenticated, TokenExpired where a credential is there and not valid.
        """
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("not authenticated: the header must be 'Authorization: Bearer <token>'")
            return await self.principal_of_token(token.strip())
        if api_key is not None:
            return await self.principal_of_key(api_key)
        return None

    async def principal_of_token(self, token: str) -> Principal:
        """Raises: Unauthenticated, TokenExpired."""
        if token.startswith(KEY_PREFIX):
            return await self.principal_of_key(token)
        if self._external is not None and is_signed_with_public_key(token):
            claims = await self._external.verify(token)
            uid = await self._uid_of(claims.mail or "")
        else:
            claims = self._signer.verify(token)
            assert claims.uid is not None, "our own tokens name their user"
            uid = claims.uid
        facts = await self._facts_of(uid)
        if claims.uid is None and facts.mail != claims.mail:
            self._uids.pop(claims.mail or "", None)
            raise Unauthenticated("not authenticated: the mail of this token is not its user's any more")
        if claims.token_version is not None and claims.token_version != facts.token_version:
            raise Unauthenticated("not authenticated: the session was ended, log in again")
        return Principal(
            uid=facts.uid,
            mail=facts.mail,
            role=facts.role,
            scopes=_allowed(claims.scopes, facts.role),
            token_id=claims.token_id,
            expires_s=claims.expires_s,
        )

    async def principal_of_key(self, key: str) -> Principal:
        """Raises: Unauthenticated, TokenExpired."""
        if not self._api_keys:
            raise Unauthenticated("not authenticated: API keys are switched off on this server")
        found = await self._orm.api_keys.find(hash_secret(key)) if key.startswith(KEY_PREFIX) else None
        if found is None or not found.key.is_active:
            raise Unauthenticated("not authenticated: invalid API key")
        row, facts = found.key, _active(found.owner)
        if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
            raise TokenExpired("not authenticated: the API key has expired")
        await self._orm.api_keys.touch(row.api_key_id)
        return Principal(
            uid=facts.uid,
            mail=facts.mail,
            role=facts.role,
            scopes=_allowed(row.scopes, facts.role),
            api_key_id=row.api_key_id,
            expires_s=row.expires_at.timestamp() if row.expires_at else None,
        )

    async def check_password(self, principal: Principal, password: str) -> None:
        """Raises BadUserInput where it is not this caller's own password; RateLimited after too many tries."""
        key = f"password:{principal.uid}"
        async with self._throttle.turn(key):
            known = await self._orm.users.credentials_by_mail(principal.mail)
            if not await self._passwords.matches(known.password_hash if known else None, password):
                self._throttle.failed(key)
                raise BadUserInput(
                    "currentPassword is not the password of this user: give the one in use", path=("current_password",)
                )

    def forget(self, uid: int) -> None:
        """Read this user anew at their next request: something about them has changed."""
        self._facts.pop(uid, None)

    async def hash_password(self, password: str) -> str:
        """The hash to store for a new password. Raises BadUserInput."""
        return await self._passwords.hash(password)

    async def _uid_of(self, mail: str) -> int:
        """Our user of a mail that another issuer vouches for, spelled exactly."""
        uid = self._uids.get(mail)
        if uid is None:
            (user,) = await self._orm.users.by_mails([mail], None)
            if user is None:
                raise Unauthenticated("not authenticated: nobody here has the mail of this token")
            uid = self._uids[mail] = user.uid
            if len(self._uids) > FACTS_MAX:
                self._uids.popitem(last=False)
        return uid

    async def _facts_of(self, uid: int) -> PrincipalFacts:
        return _active(self._fresh_facts(uid) or await self._read_facts(uid))

    def _fresh_facts(self, uid: int) -> PrincipalFacts | None:
        read_at, facts = self._facts.get(uid, (0.0, None))
        return facts if time.monotonic() - read_at <= FACTS_LIFE_S else None

    async def _read_facts(self, uid: int) -> PrincipalFacts:
        """From the store. A crowd of one user asks once: the others wait for the first one's answer."""
        async with self._turns[uid % READS_MAX]:
            facts = self._fresh_facts(uid)
            if facts is None:
                now = time.monotonic()
                facts = (await self._orm.users.principal_facts([uid]))[0]
                if facts is None:
                    raise UnknownUser("not authenticated: the user of this credential does not exist")
                self._facts[uid] = (now, facts)
                self._facts.move_to_end(uid)
                if len(self._facts) > FACTS_MAX:
                    self._facts.popitem(last=False)
        return facts

    def _session(self, uid: int, mail: str, version: int, refresh_token: str) -> Session:
        return Session(
            uid=uid,
            access_token=self._signer.sign(uid=uid, mail=mail, version=version),
            refresh_token=refresh_token,
            expires_in_s=int(self._signer.life_s),
        )

    def _refresh_end(self) -> datetime:
        return datetime.now(UTC) + self._refresh_life


class NewKey(Record, frozen=True, kw_only=True):
    """An API key that was just made: `key` is for its owner's eyes, once; the other two are stored."""

    key: str
    key_hash: str
    prefix: str


def new_api_key() -> NewKey:
    """32 random bytes behind a prefix that tells what they are."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return NewKey(key=key, key_hash=hash_secret(key), prefix=key[: len(KEY_PREFIX) + 6])


def hash_secret(secret: str) -> str:
    """How random secrets are stored and looked up: SHA-256, which needs no salt for 32 random bytes."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _active(facts: PrincipalFacts) -> PrincipalFacts:
    if not facts.active:
        raise Unauthenticated("not authenticated: the user of this credential is switched off")
    return facts


@cache  # Few sets, each shared by all principals that have it.
def _allowed(scopes: frozenset[Scope], role: Role) -> frozenset[Scope]:
    """No credential may do more than its user's role; whoever may do anything may read."""
    allowed = scopes & (ALL_SCOPES if role is Role.ADMIN else USER_SCOPES)
    return allowed | {Scope.READ} if allowed else allowed
