"""Access tokens: signed, checked, and cached until they end."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import jwt as pyjwt

from fullon_master_api.errors import BadUserInput, TokenExpired, Unauthenticated
from fullon_master_api.model import Record, Scope
from fullon_master_api.settings import Settings

CACHED_MAX: Final = 10_000
TOKEN_LENGTH_MAX: Final = 8_192
UID_DIGITS_MAX: Final = 18
ALL_SCOPES: Final = frozenset(Scope)


class Claims(Record, frozen=True, kw_only=True):
    """What a checked token says. At least one of `uid` and `mail` is there; times in UTC seconds since 1970."""

    uid: int | None
    mail: str | None
    token_id: str | None
    token_version: int | None
    scopes: frozenset[Scope]
    expires_s: float


class Signer:
    """Signs and checks access tokens with one secret; a checked token is not checked again before it ends.

    Ours carry `sub` (the uid), `user_id`, `username` and `email` (the mail), `jti`, `iat`, `exp`, `iss`, `aud` and `ver`, the
    user's token version. Tokens of the original are taken too: `user_id` with `sub` = mail, without the rest.
    """

    def __init__(self, *, secret: str, algorithm: str, issuer: str, audience: str, life_s: float) -> None:
        self._secret = secret
        self._algorithm = algorithm
        self._issuer = issuer
        self._audience = audience
        self.life_s = life_s
        self._checked: OrderedDict[str, Claims] = OrderedDict()

    @classmethod
    def from_settings(cls, settings: Settings) -> Signer:
        """Raises BadUserInput where no secret is set."""
        if settings.jwt_secret_key is None:
            raise BadUserInput("JWT_SECRET_KEY is not set: give it at least 32 random bytes")
        return cls(
            secret=settings.jwt_secret_key.get_secret_value(),
            algorithm=settings.jwt_algorithm,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            life_s=settings.jwt_expiration_minutes * 60,
        )

    def sign(self, *, uid: int, mail: str | None = None, version: int = 0, life_s: float | None = None) -> str:
        """A new access token of this user."""
        now = time.time()
        claims: dict[str, Any] = {
            "sub": str(uid),
            "user_id": uid,
            "iat": int(now),
            "exp": int(now + (self.life_s if life_s is None else life_s)),
            "iss": self._issuer,
            "aud": self._audience,
            "jti": secrets.token_urlsafe(16),
            "ver": version,
        }
        if mail is not None:
            claims |= {"username": mail, "email": mail}
        return pyjwt.encode(claims, self._secret, algorithm=self._algorithm)

    def verify(self, token: str) -> Claims:
        """What the token says. Raises TokenExpired, or Unauthenticated where it is not a token of ours."""
        claims = self._checked.get(token)
        if claims is None:
            claims = self._check(token)
            self._checked[token] = claims
            if len(self._checked) > CACHED_MAX:
                self._checked.popitem(last=False)
        if claims.expires_s <= time.time():
            self._checked.pop(token, None)
            raise TokenExpired("not authenticated: the token has expired, log in again or refresh it")
        return claims

    def _check(self, token: str) -> Claims:
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated("not authenticated: the token is too long to be one of ours")
        try:
            claims = pyjwt.decode(
                token,
                self._secret,
                algorithms=[self._algorithm],
                options={"require": ["exp"], "verify_aud": False, "verify_iss": False, "verify_sub": False},
            )
        except pyjwt.ExpiredSignatureError as error:
            raise TokenExpired("not authenticated: the token has expired, log in again or refresh it") from error
        except pyjwt.InvalidTokenError as error:
            raise Unauthenticated("not authenticated: invalid authentication token") from error
        if claims.get("iss", self._issuer) != self._issuer or claims.get("aud", self._audience) != self._audience:
            raise Unauthenticated("not authenticated: the token was made for another service")
        uid, subject = claims.get("user_id"), claims.get("sub")
        if uid is None and isinstance(subject, str) and subject.isdecimal() and len(subject) <= UID_DIGITS_MAX:
            uid = int(subject)
        if not isinstance(uid, int) or isinstance(uid, bool):
            raise Unauthenticated("not authenticated: invalid token payload, it names no user")
        return Claims(
            uid=uid,
            mail=claims.get("email") or (subject if isinstance(subject, str) and "@" in subject else None),
            token_id=claims.get("jti"),
            token_version=claims.get("ver"),
            scopes=ALL_SCOPES,
            expires_s=expiry_of(claims),
        )


def expiry_of(claims: Mapping[str, Any]) -> float:
    """When a token ends, in UTC seconds since 1970. Raises Unauthenticated for an end that no clock will see."""
    try:
        return float(claims["exp"])
    except OverflowError as error:
        raise Unauthenticated("not authenticated: invalid authentication token") from error


def create_access_token(
    user_id: int, *, mail: str | None = None, expires_in_s: float | None = None, settings: Settings | None = None
) -> str:
    """An access token signed with `JWT_SECRET_KEY`, for scripts that share the server's secret."""
    return Signer.from_settings(settings or Settings()).sign(uid=user_id, mail=mail, life_s=expires_in_s)
