"""A bus and a cache for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fullon_master_api.apis.cache import Cache, open_cache
from fullon_master_api.bus import Bus, open_bus


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with open_bus("memory://") as bus:
        yield bus


@pytest.fixture
async def cache(bus: Bus) -> AsyncIterator[Cache]:
    async with open_cache(bus, "memory://") as cache:
        yield cache
