"""The second factor: codes that change every 30 seconds."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from typing import Final
from urllib.parse import quote

STEP_S: Final = 30
DIGITS: Final = 6


def new_totp_secret() -> str:
    """A secret of 160 bits in base32, the length RFC 4226 (section 4, R6) recommends."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def totp_uri(secret: str, mail: str) -> str:
    """The address that authenticator apps take, as text or as a QR code. Source: the Key URI Format of Google Authenticator."""
    return f"otpauth://totp/{quote(f'Fullon:{mail}')}?secret={secret}&issuer=Fullon&digits={DIGITS}&period={STEP_S}"


def totp_code(secret: str, counter: int) -> str:
    """The code of a time step, from the base32 secret. Source: RFC 4226 5.3 and RFC 6238 4.2. Raises ValueError."""
    try:
        key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    except binascii.Error as error:
        raise ValueError("the secret of the second factor is not base32") from error
    digest = hmac.digest(key, struct.pack(">Q", counter), "sha1")
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def totp_step(secret: str, code: str, now_s: float) -> int | None:
    """The time step whose code this is: that of now, or the one before or after, as clocks differ. None for any other code."""
    now = int(now_s) // STEP_S
    given = code.strip().encode()
    found = None
    for step in (now - 1, now, now + 1):
        if hmac.compare_digest(totp_code(secret, step).encode(), given):
            found = step
    return found
