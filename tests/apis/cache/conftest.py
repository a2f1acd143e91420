"""A bus and a cache for each test, in one process and on Redis: one suite for both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fullon_master_api.apis.cache import Cache, open_cache
from fullon_master_api.bus import Bus, open_bus
from tests.servers import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]


@pytest.fixture(params=["memory", "redis"])
def cache_url(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def bus(cache_url: str) -> AsyncIterator[Bus]:
    async with open_bus(cache_url) as bus:
        yield bus


@pytest.fixture
async def cache(bus: Bus, cache_url: str) -> AsyncIterator[Cache]:
    async with open_cache(bus, cache_url) as cache:
        yield cache
