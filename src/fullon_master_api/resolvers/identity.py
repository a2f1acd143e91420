"""Global ids: one opaque text for a thing of any kind, and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from fullon_master_api.errors import BadUserInput
from fullon_master_api.executor.fields import reads


def global_id(kind: str, number: int) -> str:
    """The id of `Node.id`: opaque to clients, the same for ever."""
    return base64.urlsafe_b64encode(f"{kind}:{number}".encode()).decode().rstrip("=")


def ids_of(kind: str, attribute: str) -> Callable[..., Any]:
    """A batch resolver of `id`, made from the row's own number."""

    @reads(attribute)
    def ids(rows: Sequence[Any], _ctx: object) -> list[str]:
        return [global_id(kind, getattr(row, attribute)) for row in rows]

    return ids


def read_global_id(text: str) -> tuple[str, int] | None:
    """Kind and number of an id; None where this server never gave it."""
    try:
        decoded = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError):
        return None
    kind, _, number = decoded.partition(":")
    return (kind, int(number)) if kind and number.isdecimal() and len(number) <= 18 else None


def number_of(kind: str, text: str, *, argument: str) -> int:
    """The number behind an id argument: a global id of this kind, or the plain number.

    Raises BadUserInput for anything else; whether such a thing exists is not said here.
    """
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return int(text)
    found = read_global_id(text)
    if found is None or found[0] != kind:
        raise BadUserInput(f"{argument} was {text[:60]!r}, must be the id of {kind}, as its `id` field says", path=(argument,))
    return found[1]
