"""How long to wait before the next try: longer after each failure, and never in step with others."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubles from `first_s` to `max_s`; each wait is drawn from the upper half, so that a crowd does not come back at once."""

    def __init__(self, *, first_s: float = 1.0, max_s: float = 60.0, draw: Callable[[], float] = random.random) -> None:
        assert 0 < first_s <= max_s
        self._first_s, self._max_s, self._draw = first_s, max_s, draw
        self.failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure: between half and all of `first_s * 2**failures`, at most `max_s`."""
        whole = min(self._max_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return whole * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """Start from the beginning again: it works."""
        self.failures = 0
