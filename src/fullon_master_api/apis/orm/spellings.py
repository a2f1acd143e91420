"""Every spelling in which the platform's clients, old and new, write sides, order types, statuses and roles."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import OrderStatus, OrderType, Role, Scope, Side

E = TypeVar("E", bound=StrEnum)

_ALIASES: Final[Mapping[type[StrEnum], Mapping[str, StrEnum]]] = {
    Side: {"long": Side.BUY, "short": Side.SELL, "bid": Side.BUY, "ask": Side.SELL},
    OrderType: {"stop_loss": OrderType.STOP, "stop_loss_limit": OrderType.STOP_LIMIT},
    OrderStatus: {
        "closed": OrderStatus.FILLED,
        "done": OrderStatus.FILLED,
        "cancelled": OrderStatus.CANCELED,
        "partial": OrderStatus.PARTIALLY_FILLED,
        "partially_canceled": OrderStatus.CANCELED,
        "failed": OrderStatus.ERROR,
    },
    Role: {},
    Scope: {},
}


def parse(enum: type[E], text: str, *, path: tuple[str | int, ...] = ()) -> E:
    """The member that a text means: its own word in any case, with `-`, ` ` or `_` between words, or an old alias.

    Raises: BadUserInput.
    """
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    alias = _ALIASES.get(enum, {}).get(word)
    if isinstance(alias, enum):
        return alias
    for member in enum:
        if member.value.lower() == word:
            return member
    known = ", ".join(member.value for member in enum)
    raise BadUserInput(f"{path[-1] if path else enum.__name__} was {text!r}, must be one of {known}", path=path)
