"""Which pages may ask, by the origin that their browser tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def is_origin_allowed(headers: Mapping[str, str], allowed: Sequence[str]) -> bool:
    """Whether a page of that origin may open a socket. Programs send no `Origin`; browsers always do (RFC 6455, 10.2)."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
