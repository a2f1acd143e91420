"""Spans of time: which are missing between those that are covered, and in what pieces they are filled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from fullon_master_api.apis.ohlcv import Interval

MINUTE_NS: Final = 60_000_000_000
DAY_NS: Final = 86_400_000_000_000
CHUNKS_MAX: Final = 30
NIGHT_NS: Final = 5 * MINUTE_NS
"""The day before is read again so long after midnight UTC."""

Span = tuple[int, int]
"""Half-open, [start_ns, end_ns)."""


def holes(covered: Sequence[Interval], start_ns: int, end_ns: int) -> list[Span]:
    """What of [start_ns, end_ns) is not covered, oldest first. `covered` is in order and does not overlap."""
    found: list[Span] = []
    at_ns = start_ns
    for interval in covered:
        if interval.end_ns <= at_ns:
            continue
        if interval.start_ns >= end_ns:
            break
        if interval.start_ns > at_ns:
            found.append((at_ns, interval.start_ns))
        at_ns = interval.end_ns
    if at_ns < end_ns:
        found.append((at_ns, end_ns))
    return found


def chunks(spans: Sequence[Span]) -> list[Span]:
    """The spans in pieces of a day, or of a thirtieth where they are longer than a month; newest first, as they are wanted."""
    pieces: list[Span] = []
    for start_ns, end_ns in spans:
        width_ns = max(DAY_NS, (end_ns - start_ns) // CHUNKS_MAX)
        while end_ns > start_ns:
            pieces.append((max(start_ns, end_ns - width_ns), end_ns))
            end_ns -= width_ns
    return sorted(pieces, reverse=True)


def to_next_night_s(now_ns: int) -> float:
    """Seconds until the day that ends next may be read again."""
    since_ns = (now_ns - NIGHT_NS) % DAY_NS
    return (DAY_NS - since_ns) / 1e9


class MarketClock:
    """The exchange's time, told by its messages: our clock minus the smallest lag seen.

    Our own clock is no judge of when its minute is over: it may be wrong, and a recording is a year late.
    """

    def __init__(self) -> None:
        self._lag_ns: int | None = None
        self.lag_ms: float | None = None

    def saw(self, event_ns: int) -> None:
        """A message of this exchange time has arrived now."""
        lag_ns = time.time_ns() - event_ns
        self.lag_ms = max(0.0, lag_ns / 1e6)
        self._lag_ns = lag_ns if self._lag_ns is None else min(self._lag_ns, lag_ns)

    def now_ns(self) -> int:
        """What the exchange's clock says now; our own where it never spoke."""
        return time.time_ns() - (self._lag_ns or 0)
