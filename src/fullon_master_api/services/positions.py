"""What an account holds of each symbol, told by its stored fills."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from fullon_master_api.model import Position, Trade

ZERO: Final = Decimal(0)


class PositionBook:
    """Positions of one account, by symbol; fills come in the order in which they were stored."""

    def __init__(self, ex_id: int) -> None:
        self._ex_id = ex_id
        self._positions: dict[str, Position] = {}

    def add(self, trades: Iterable[Trade]) -> None:
        for trade in trades:
            before = self._positions.get(trade.symbol) or Position(
                ex_id=self._ex_id,
                symbol=trade.symbol,
                quantity=ZERO,
                price=ZERO,
                cost=ZERO,
                fee=ZERO,
                count=0,
                updated_ns=0,
            )
            self._positions[trade.symbol] = msgspec.structs.replace(
                before,
                quantity=trade.cur_volume or ZERO,
                price=trade.cur_avg_price or ZERO,
                cost=trade.cur_avg_cost or ZERO,
                fee=trade.cur_fee or ZERO,
                count=before.count + 1,
                realized_pnl=before.realized_pnl + (trade.roi or ZERO),
                updated_ns=max(before.updated_ns, int(trade.time.timestamp() * 1_000_000) * 1_000),
            )

    @property
    def symbols(self) -> set[str]:
        """Every symbol that was ever traded."""
        return set(self._positions)

    def open(self) -> list[Position]:
        """Those that hold something, by symbol."""
        held = (position for position in self._positions.values() if position.quantity)
        return sorted(held, key=lambda position: position.symbol)
