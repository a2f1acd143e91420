"""What an account holds of a symbol, from its fills: average entry, realised profit."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from fullon_master_api.model import Position, Side

ZERO: Final = Decimal(0)


def apply_fill(position: Position, *, side: Side, quantity: Decimal, price: Decimal, fee: Decimal, event_ns: int) -> Position:
    """The position after one more fill; `quantity` above zero, `fee` in quote currency.

    What adds to the position moves the average entry. What reduces it realises (exit - entry) × quantity and leaves the
    entry alone; what crosses zero realises all of the old side and enters the rest at the fill's price.
    """
    signed = quantity if side is Side.BUY else -quantity
    held, realized, entry = position.quantity, position.realized_pnl, position.price
    after = held + signed
    if held * signed >= 0:
        entry = (abs(held) * entry + quantity * price) / abs(after)
    else:
        closed = min(abs(held), quantity)
        realized += (price - entry) * closed * (1 if held > 0 else -1)
        if after == 0:
            entry = ZERO
        elif after * held < 0:
            entry = price
    return msgspec.structs.replace(
        position,
        quantity=after,
        price=entry,
        cost=abs(after) * entry,
        fee=position.fee + fee,
        count=position.count + 1,
        realized_pnl=realized,
        updated_ns=max(position.updated_ns, event_ns),
    )


def flat(ex_id: int, symbol: str) -> Position:
    """No position."""
    return Position(ex_id=ex_id, symbol=symbol, quantity=ZERO, price=ZERO, cost=ZERO, fee=ZERO, count=0, updated_ns=0)


def open_positions(positions: Iterable[Position]) -> list[Position]:
    """Those that hold something, by symbol."""
    return sorted((position for position in positions if position.quantity), key=lambda position: position.symbol)
