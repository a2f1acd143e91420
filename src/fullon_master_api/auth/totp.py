"""The second factor: codes that change every 30 seconds."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import Final

STEP_S: Final = 30
DIGITS: Final = 6


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


def totp_matches(secret: str, code: str, now_s: float) -> bool:
    """Whether the code is that of now, or of the step before or after: clocks differ."""
    counter = int(now_s) // STEP_S
    given = code.strip().encode()
    return any(hmac.compare_digest(totp_code(secret, counter + step).encode(), given) for step in (-1, 0, 1))
