"""Profit of fills, matched first in, first out.

A fill that adds to a position opens a lot; one of the other side closes the oldest lots first, and what is left of it opens
a lot of its own side. Profit of what is closed, in quote currency:

    long:   sold for − bought for − fee of buying − fee of selling;   percent of what buying cost, with its fee
    short:  sold for − bought for − fee of selling − fee of buying;   percent of what buying back cost, with its fee

Percent are multiplied by the leverage of the lots, because so much less was put in. Fees always lower the profit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final

from fullon_master_api.model import Record, Side

STEP: Final = Decimal("1e-8")
NOTHING: Final = Decimal("1e-10")
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
PRECISION: Final = 60


class Fill(Record, frozen=True, kw_only=True):
    """What was executed: `cost` without the fee, `fee` in quote currency, both in quote currency."""

    side: Side
    volume: Decimal
    cost: Decimal
    fee: Decimal
    leverage: Decimal = ONE


class Outcome(Record, frozen=True, kw_only=True):
    """The position after a fill (`cur_volume` below zero for short), and the result where it closed something."""

    cur_volume: Decimal
    cur_avg_price: Decimal
    cur_avg_cost: Decimal
    cur_fee: Decimal
    closing: bool
    roi: Decimal | None = None
    roi_pct: Decimal | None = None
    total_fee: Decimal | None = None


@dataclass(slots=True)
class Lot:
    """What is left of a fill that opened; `volume` above zero."""

    volume: Decimal
    cost: Decimal
    fee: Decimal
    leverage: Decimal

    def take(self, volume: Decimal) -> tuple[Decimal, Decimal]:
        """Cost and fee of a part, taken out of the lot; the last part gets all that is left, so nothing is lost."""
        if volume == self.volume:
            cost, fee = self.cost, self.fee
        else:
            cost, fee = self.cost * volume / self.volume, self.fee * volume / self.volume
        self.volume, self.cost, self.fee = self.volume - volume, self.cost - cost, self.fee - fee
        return cost, fee


@dataclass(slots=True)
class Ledger:
    """Open lots of one symbol on one account, oldest first, all of one side."""

    side: Side | None = None
    lots: deque[Lot] = field(default_factory=deque)

    @classmethod
    def replayed(cls, fills: Iterable[Fill]) -> Ledger:
        """A ledger after these fills."""
        ledger = cls()
        for fill in fills:
            ledger.add(fill)
        return ledger

    def add(self, fill: Fill) -> Outcome:
        """Match one fill; answers where the position stands and what was won."""
        with localcontext(prec=PRECISION, rounding=ROUND_HALF_EVEN):
            if not self.lots or self.side is fill.side:
                self.side = fill.side
                self.lots.append(Lot(fill.volume, fill.cost, fill.fee, fill.leverage))
                return self._outcome()
            return self._close(fill)

    def _close(self, fill: Fill) -> Outcome:
        assert self.side is not None, "a side comes with the first lot"
        left = Lot(fill.volume, fill.cost, fill.fee, fill.leverage)
        roi = fees = outlay = levered = ZERO
        long = self.side is Side.BUY
        while self.lots and left.volume:
            lot = self.lots[0]
            volume = min(lot.volume, left.volume)
            entry, entry_fee = lot.take(volume)
            exit_, exit_fee = left.take(volume)
            won = (exit_ - entry if long else entry - exit_) - entry_fee - exit_fee
            paid = entry + entry_fee if long else exit_ + exit_fee
            roi, fees, outlay, levered = roi + won, fees + entry_fee + exit_fee, outlay + paid, levered + won * lot.leverage
            if not lot.volume:
                self.lots.popleft()
        if left.volume:
            self.side = fill.side
            self.lots.append(left)
        percent = 100 * levered / outlay if outlay else ZERO
        return self._outcome(roi=rounded(roi), roi_pct=rounded(percent), total_fee=rounded(fees))

    def _outcome(
        self, *, roi: Decimal | None = None, roi_pct: Decimal | None = None, total_fee: Decimal | None = None
    ) -> Outcome:
        volume = sum((lot.volume for lot in self.lots), ZERO)
        cost = sum((lot.cost for lot in self.lots), ZERO)
        fee = sum((lot.fee for lot in self.lots), ZERO)
        return Outcome(
            cur_volume=-volume if self.side is Side.SELL else volume,
            cur_avg_price=rounded(cost / volume) if volume else ZERO,
            cur_avg_cost=rounded(cost),
            cur_fee=rounded(fee),
            closing=roi is not None,
            roi=roi,
            roi_pct=roi_pct,
            total_fee=total_fee,
        )


def rounded(value: Decimal) -> Decimal:
    """To 8 digits behind the point; what is within 1e-10 of zero is zero."""
    return ZERO if abs(value) < NOTHING else value.quantize(STEP, ROUND_HALF_EVEN)


def quote_fee(symbol: str, *, fee: Decimal, fee_currency: str | None, price: Decimal) -> Decimal:
    """A fee in the symbol's quote currency. One paid in a third currency has no price here and counts as nothing."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    if fee_currency is None or not quote or fee_currency in (quote, rest.partition(":")[2]):
        return fee
    return fee * price if fee_currency == base else ZERO
