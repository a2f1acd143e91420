"""The process reports of one run of a service: itself and each of its feeds, at most every 30 seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from fullon_master_api.apis.cache.processes import Processes
from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.services.board import FeedBoard

log = get_logger(__name__)

BEAT_S: Final = 30.0
GOODBYE_S: Final = 2.0


class Heartbeats:
    """Registers a process for the service and one for each feed of its board, and takes them back when they end."""

    def __init__(self, processes: Processes, board: FeedBoard, *, process_type: str, component: str) -> None:
        self._processes, self._board = processes, board
        self._type, self._component = process_type, component
        self._ids: dict[str, str] = {}
        self._told: dict[str, str | None] = {}
        self._next = 0.0

    async def beat(self) -> None:
        """Report what is due; cheap to call often. A feed's change between right and wrong is reported at once."""
        now = time.monotonic()
        due = now >= self._next
        wanted: dict[str, str | None] = {self._component: None}
        wanted.update((health.feed, health.error) for health in self._board.health())
        try:
            for component, error in wanted.items():
                if due or component not in self._ids or self._told[component] != error:
                    await self._report(component, error)
            for component in self._ids.keys() - wanted.keys():
                await self._processes.stop(self._ids.pop(component), "not wanted any more")
        except CacheUnavailable as away:
            log.warning("process.unreported", component=self._component, error=away.message)
            return
        if due:
            self._next = now + BEAT_S

    async def _report(self, component: str, error: str | None) -> None:
        status = "running" if error is None else "error"
        if component in self._ids and await self._processes.update(self._ids[component], status=status, message=error or ""):
            self._told[component] = error
            return
        params: dict[str, Any] = {}
        if component != self._component:
            exchange, _, rest = component.partition(":")
            symbol, _, kind = rest.rpartition(":")
            params = {"exchange": exchange, "symbol": symbol, "type": kind}
        process = await self._processes.register(self._type, component, params=params, message=error, status=status)
        self._ids[component], self._told[component] = process.process_id, error

    async def aclose(self) -> None:
        """Report that all of them ended; not at any price in time."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                for process_id in self._ids.values():
                    await self._processes.stop(process_id, "stopped")
        except (CacheUnavailable, TimeoutError) as error:
            log.warning("process.unreported", component=self._component, error=str(error))
