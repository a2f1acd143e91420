"""Time as a test lived it: what the machine gave to others in between does not count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

STEP_S: Final = 0.01


@dataclass
class LivedClock:
    """Seconds in which this event loop could turn; while the machine stands still, or this process does, so does the clock.

    It never runs ahead of the wall clock. What waits idly for the loop, a timer or an answer, takes its whole time of it.
    """

    seconds: float = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self.seconds += STEP_S


@asynccontextmanager
async def lived() -> AsyncGenerator[LivedClock, None]:
    """A clock that begins now, for a promise in seconds that a busy machine must not break."""
    clock = LivedClock()
    running = asyncio.create_task(clock.run(), name="lived-clock")
    try:
        yield clock
    finally:
        running.cancel()
        await asyncio.wait([running])
