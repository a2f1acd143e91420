"""Which failures of a mutation are data, and how they are told."""

from __future__ import annotations

from typing import Final

from fullon_master_api.errors import BadUserInput, Conflict, ErrorCode, ExchangeRefused, GatewayError, NotFound, Unavailable
from fullon_master_api.model import Record

EXPECTED: Final = (BadUserInput, Conflict, ExchangeRefused, NotFound, Unavailable)
"""What a caller has to expect of a mutation; everything else fails the request."""


class UserErrorRow(Record, frozen=True, kw_only=True):
    code: ErrorCode
    message: str
    path: list[str] | None


def user_error(error: GatewayError, renamed: dict[str, str] | None = None) -> UserErrorRow:
    """An expected failure as data; `renamed` maps names of the stores to those of the input."""
    path = ["input", *((renamed or {}).get(str(step), str(step)) for step in error.path)] if error.path else None
    return UserErrorRow(code=ErrorCode(error.code), message=error.message, path=path)
