"""Live candles in their order: which changed, and which are final because a later one opened."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from fullon_master_api.model import Candle


class CandleSequence:
    """What a stream said of one symbol's candles so far."""

    def __init__(self) -> None:
        self._newest: Candle | None = None

    def read(self, candles: Iterable[Candle | None]) -> list[Candle]:
        """The candles that changed, oldest first, all but the newest final. Repeats and what was overtaken are left out."""
        changed: dict[int, Candle] = {}
        for candle in candles:
            newest = self._newest
            if candle is None or candle == newest or (newest is not None and candle.opened_ns < newest.opened_ns):
                continue
            if newest is not None and candle.opened_ns > newest.opened_ns:
                changed[newest.opened_ns] = structs.replace(newest, final=True)
            changed[candle.opened_ns] = self._newest = candle
        return [changed[opened_ns] for opened_ns in sorted(changed)]
