"""Failed logins are counted per account and per address, and refused when there were too many."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fullon_master_api.errors import RateLimited

KEYS_MAX: Final = 50_000
TURNS: Final = 64
"""Locks that all keys share."""


class LoginThrottle:
    """At most `attempts_max` failures per key within `window_s` seconds; the next try is refused before any work is done."""

    def __init__(self, *, attempts_max: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._attempts_max = attempts_max
        self._window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._turns = [asyncio.Lock() for _ in range(TURNS)]

    @asynccontextmanager
    async def turn(self, *keys: str) -> AsyncIterator[None]:
        """One try of these keys after the other, or many at once would all be made before the first has failed.

        Raises RateLimited.
        """
        self.check(*keys)
        async with AsyncExitStack() as stack:
            # In the same order whoever comes, so that no two wait for each other.
            for number in sorted({hash(key) % TURNS for key in keys}):
                await stack.enter_async_context(self._turns[number])
            self.check(*keys)
            yield

    def check(self, *keys: str) -> None:
        """Raises RateLimited while one of the keys has too many recent failures."""
        now = self._clock()
        for key in keys:
            recent = self._recent(key, now)
            if len(recent) >= self._attempts_max:
                wait_s = recent[0] + self._window_s - now
                raise RateLimited(f"too many failed logins: try again in {wait_s:.0f} seconds", retry_after_s=wait_s)

    def failed(self, *keys: str) -> None:
        """Count a failure of each key."""
        now = self._clock()
        for key in keys:
            self._failures[key] = [*self._recent(key, now), now]
            self._failures.move_to_end(key)
        while len(self._failures) > KEYS_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of each key."""
        for key in keys:
            self._failures.pop(key, None)

    def _recent(self, key: str, now: float) -> list[float]:
        return [at for at in self._failures.get(key, ()) if at > now - self._window_s]
