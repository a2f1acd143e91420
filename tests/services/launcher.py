"""A process with a supervisor over a shared SQLite file, whose one service writes a fenced row every few milliseconds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.bus import open_bus
from fullon_master_api.model import Fence, Record, ServiceName
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.runner import CollectingService, CrashPolicy
from fullon_master_api.services.supervisor import Supervisor

BEAT_S = 0.03
TOPIC = "beats"


class Beat(Record, frozen=True, kw_only=True):
    pid: int
    epoch: int


class Beating:
    """Writes its epoch, again and again, each time under its fence."""

    def __init__(self, orm: Orm, fence: Fence, board: FeedBoard) -> None:
        self._orm, self._fence, self._board = orm, fence, board

    async def run(self) -> None:
        self._board.ready()
        beat = Beat(pid=os.getpid(), epoch=self._fence.epoch)
        while True:
            await self._orm.events.append(TOPIC, "beat", beat, fence=self._fence)
            await asyncio.sleep(BEAT_S)


async def main(folder: Path, ttl_s: float) -> None:
    async with open_bus("memory://") as bus, open_orm(f"sqlite+aiosqlite:///{folder / 'fullon.db'}", migrate_up=False) as orm:

        def factory(fence: Fence, board: FeedBoard) -> CollectingService:
            return Beating(orm, fence, board)

        policy = CrashPolicy(first_s=0.1, max_s=0.2, heartbeat_s=ttl_s / 3)
        supervisor = Supervisor(
            orm.services, bus, {ServiceName.TICKER: factory}, ttl_s=ttl_s, policy=policy, poll_s=0.2, owner=f"pid:{os.getpid()}"
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, supervisor.stop)
        await supervisor.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
