"""Tokens of another issuer: checked with the public keys that it publishes."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any, Final

import jwt as pyjwt

from fullon_master_api.auth.jwt import ALL_SCOPES, TOKEN_LENGTH_MAX, Claims, expiry_of
from fullon_master_api.errors import TokenExpired, Unauthenticated, Unavailable
from fullon_master_api.settings import Settings

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""Signatures with a public key. A shared secret is never looked for among published keys."""

CACHED_MAX: Final = 10_000
FETCH_S: Final = 5


class ExternalIssuer:
    """An identity provider. Its users are ours by their mail: it proves who asks, we decide what they may.

    Source of the key set's form: RFC 7517 5.
    """

    def __init__(self, *, jwks_url: str, issuer: str, audience: str) -> None:
        self._keys = pyjwt.PyJWKClient(jwks_url, cache_keys=True, timeout=FETCH_S)
        self._issuer = issuer
        self._audience = audience
        self._checked: OrderedDict[str, Claims] = OrderedDict()

    @classmethod
    def from_settings(cls, settings: Settings) -> ExternalIssuer | None:
        """None where no provider is configured."""
        if settings.jwt_jwks_url is None:
            return None
        return cls(
            jwks_url=settings.jwt_jwks_url,
            issuer=settings.jwt_external_issuer or "",
            audience=settings.jwt_external_audience or settings.jwt_audience,
        )

    async def verify(self, token: str) -> Claims:
        """What the token says; its user is named by `mail`. Raises TokenExpired, Unauthenticated; Unavailable without keys."""
        claims = self._checked.get(token)
        if claims is None:
            claims = await asyncio.to_thread(self._check, token)
            self._checked[token] = claims
            if len(self._checked) > CACHED_MAX:
                self._checked.popitem(last=False)
        if claims.expires_s <= time.time():
            self._checked.pop(token, None)
            raise TokenExpired("not authenticated: the token has expired, log in again")
        return claims

    def _check(self, token: str) -> Claims:
        """Blocking: the keys may have to be fetched."""
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = pyjwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud"]},
            )
        except pyjwt.ExpiredSignatureError as error:
            raise TokenExpired("not authenticated: the token has expired, log in again") from error
        except pyjwt.PyJWKClientConnectionError as error:
            raise Unavailable("the keys of the token's issuer cannot be fetched: try again") from error
        except (pyjwt.InvalidTokenError, pyjwt.PyJWKClientError) as error:
            raise Unauthenticated("not authenticated: invalid authentication token") from error
        mail = claims.get("email")
        if not isinstance(mail, str) or claims.get("email_verified") is not True:
            raise Unauthenticated("not authenticated: the token carries no verified mail")
        return Claims(
            uid=None,
            mail=mail,
            token_id=claims.get("jti"),
            token_version=None,
            scopes=ALL_SCOPES,
            expires_s=expiry_of(claims),
        )


def is_signed_with_public_key(token: str) -> bool:
    """Whether a token claims one of the algorithms of other issuers; ours are signed with a secret."""
    if len(token) > TOKEN_LENGTH_MAX:
        return False
    try:
        return pyjwt.get_unverified_header(token).get("alg") in ALGORITHMS
    except pyjwt.InvalidTokenError:
        return False
