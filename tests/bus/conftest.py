"""Both shapes of the bus: every test that takes `bus_url` runs in one process and on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fullon_master_api.bus import Bus, open_bus
from tests.servers import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]


@pytest.fixture(params=["memory", "redis"])
def bus_url(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Bus]:
    async with open_bus(bus_url) as bus:
        yield bus
