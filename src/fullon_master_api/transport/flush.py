"""When detached sockets are written: at once while it is quiet, once per window under load, in slices of a few milliseconds."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Protocol

from fullon_master_api.tracing import span

SLICE_S: Final = 0.002
"""How long writing may hold the loop before other work gets its turn."""


class Flushable(Protocol):
    def flush(self) -> None: ...


class FlushFigures(Protocol):
    """What the flusher counts."""

    flushes: int


class Flusher:
    """Writes touched sockets together. `window_s` is the least time between two rounds; the first of a burst does not wait."""

    def __init__(self, figures: FlushFigures, window_s: float) -> None:
        self._figures = figures
        self._window_s = window_s
        self._touched: deque[Flushable] = deque()
        self._round_at_s = 0.0
        self._timer: asyncio.Handle | None = None
        self.direct = False
        """Sockets write what they are given at once: only while who asked `begin_round` hands out, never across an await."""

    def begin_round(self) -> bool:
        """Whether an event may be written as it is handed out, because none waits and the last round is long enough ago."""
        now_s = monotonic()
        if self._timer is not None or now_s < self._round_at_s + self._window_s:
            return False
        self._round_at_s = now_s
        return True

    def touch(self, connection: Flushable) -> None:
        """Write this one in the next round."""
        self._touched.append(connection)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait_s = self._round_at_s + self._window_s - monotonic()
            self._timer = loop.call_later(wait_s, self._round) if wait_s > 0 else loop.call_soon(self._round)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._touched.clear()

    def _round(self) -> None:
        with span("live flush", sockets=len(self._touched)):
            self._write()

    def _write(self) -> None:
        self._timer = None
        now_s = self._round_at_s = monotonic()
        until_s = now_s + SLICE_S
        touched = self._touched
        while touched:
            for _ in range(min(16, len(touched))):
                touched.popleft().flush()
                self._figures.flushes += 1
            if touched and monotonic() > until_s:
                self._timer = asyncio.get_running_loop().call_soon(self._round)
                return
