"""A service that is stopped in the middle of a write leaves the SQL store free for the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fullon_master_api.model import Fence, ServiceName, ServiceState
from tests.lived import lived
from tests.services.stage import open_platform


async def test_writes_canceled_at_any_moment_do_not_keep_the_write_lock(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        store, name = resources.orm.services, ServiceName.TICKER.value
        epochs = await store.claim([name], "test", 600.0)
        fence = Fence(service=name, epoch=epochs[name])
        kept = []
        for turn in range(60):
            writes = [asyncio.create_task(store.observe(fence, state=ServiceState.RUNNING)) for _ in range(3)]
            await asyncio.sleep(turn % 12 / 1000)
            for write in writes:
                write.cancel()
            await asyncio.wait(writes)
            kept += writes  # Whoever keeps the canceled task keeps its traceback, and so the cursor in it.
            async with lived() as clock:
                await store.observe(fence, state=ServiceState.RUNNING)
                assert clock.seconds < 4.0
        assert any(write.cancelled() for write in kept)
