"""What the edge reads from a request before GraphQL begins: its id."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_request_id() -> str:
    """Tells requests apart in a log; nothing is kept safe by it."""
    return f"{random.getrandbits(64):016x}"


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's `X-Request-Id` where it is a plain one, else a new id."""
    given = headers.get("x-request-id")
    return given if given is not None and REQUEST_ID.fullmatch(given) else new_request_id()
