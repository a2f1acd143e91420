"""Waiting for what the cache does not have yet: the bus wakes, the cache answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from fullon_master_api.bus import Bus

T = TypeVar("T")


async def wait_for(bus: Bus, topic: str, read: Callable[[], Awaitable[T | None]], timeout_s: float) -> T | None:
    """What `read` finds, now or once `topic` has news; None if it finds nothing within `timeout_s`. Raises: what `read` raises"""
    async with bus.subscribe(topic) as mailbox:  # Before the first read, so that no news falls in between.
        found = await read()
        if found is not None or timeout_s <= 0:
            return found
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for _topic, _message in mailbox:
                    found = await read()
                    if found is not None:
                        break
    return found
