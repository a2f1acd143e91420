"""Sealing of exchange credentials: AES-256-GCM under a named key, bound to the account they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fullon_master_api.errors import Unavailable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Secrets(msgspec.Struct, frozen=True):
    """What an exchange account is used with. Its repr shows nothing."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Secrets(***)"


class Vault:
    """Opens what any of its keys sealed; seals with the first one."""

    def __init__(self, keys: str | None) -> None:
        """`keys` as CREDENTIALS_KEY: 32 bytes in base64, several between commas, the newest first.

        Raises: ValueError for a key that is not 32 bytes of base64.
        """
        self._keys: dict[str, AESGCM] = {}
        for word in (keys or "").split(","):
            if word.strip():
                raw = _decoded(word.strip())
                self._keys[hashlib.sha256(raw).hexdigest()[:16]] = AESGCM(raw)
        self.key_id = next(iter(self._keys), None)

    def seal(self, ex_id: int, secrets: Secrets) -> tuple[str, bytes]:
        """(key id, sealed bytes). Raises: Unavailable when there is no key."""
        if self.key_id is None:
            raise Unavailable("this server keeps no exchange credentials: CREDENTIALS_KEY is not set")
        nonce = os.urandom(NONCE_BYTES)
        return self.key_id, nonce + self._keys[self.key_id].encrypt(nonce, msgspec.json.encode(secrets), _bound_to(ex_id))

    def open(self, ex_id: int, key_id: str, sealed: bytes) -> Secrets:
        """Raises: Unavailable when the key is not among ours, or when the bytes are not what that key sealed."""
        key = self._keys.get(key_id)
        if key is None:
            raise Unavailable(f"the credentials of account {ex_id} were sealed with a key that is not in CREDENTIALS_KEY")
        try:
            plain = key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(ex_id))
        except InvalidTag as error:
            raise Unavailable(f"the credentials of account {ex_id} are damaged: enter them anew") from error
        return msgspec.json.decode(plain, type=Secrets)


def _bound_to(ex_id: int) -> bytes:
    """Authenticated with the bytes, so that one account's row cannot be put in place of another's."""
    return f"ex_id:{ex_id}".encode()


def _decoded(word: str) -> bytes:
    try:
        raw = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("CREDENTIALS_KEY is not base64") from error
    if len(raw) != KEY_BYTES:
        raise ValueError(f"CREDENTIALS_KEY has {len(raw)} bytes, must have {KEY_BYTES}")
    return raw
