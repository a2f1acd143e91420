"""Which trades of a numbered tape are new, and whether any is missing."""

from __future__ import annotations

from collections import deque
from typing import Final

from fullon_master_api.errors import ExchangeUnavailable

MISSING_S: Final = 2.0  # how long a hole in the numbers may wait for a message that was overtaken


class TradeSieve:
    """Which trades of a market are new, and whether any is missing. Numbers rise by one."""

    def __init__(self, exchange: str, symbol: str) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._newest: int | None = None
        self._missing: set[int] = set()
        self._since_s: float | None = None
        self._recent: deque[int] = deque(maxlen=5_000)
        self._seen: set[int] = set()

    def is_new(self, number: int) -> bool:
        if number in self._seen:
            return False
        if self._newest is None or number > self._newest:
            if self._newest is not None:
                self._missing.update(range(self._newest + 1, number))
            self._newest = number
        else:
            self._missing.discard(number)
        if len(self._recent) == self._recent.maxlen:
            self._seen.discard(self._recent[0])
        self._recent.append(number)
        self._seen.add(number)
        return True

    def check(self, now_s: float) -> None:
        """Raises: ExchangeUnavailable when a number has been missing for longer than `MISSING_S`."""
        if not self._missing:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > MISSING_S:
            first, count = min(self._missing), len(self._missing)
            raise ExchangeUnavailable(f"{self.exchange}: {count} trades of {self.symbol} are missing, the first is {first}")
