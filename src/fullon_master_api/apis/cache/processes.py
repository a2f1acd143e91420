"""The running parts of the platform, by their heartbeats, with what admins tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import time, time_ns
from typing import Any, Final

import msgspec

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.bus import PROCESSES_TOPIC, broadcast_topic
from fullon_master_api.model import Broadcast, Process, ProcessHealth

GROUP: Final = "all"
KEPT_S: Final = 86_400.0
ACTIVE_S: Final = 300.0
STALE_S: Final = 300.0
HEALTH_S: Final = 3_600.0
BROADCAST_S: Final = 3_600.0
STOPPED: Final = "stopped"
ERROR: Final = "error"


class Processes:
    """Reports of processes. One that stops reporting turns stale, and is forgotten a day after its last report."""

    def __init__(self, shelf: Shelf[Process], broadcasts: Shelf[Broadcast]) -> None:
        self._shelf, self._broadcasts = shelf, broadcasts

    async def register(
        self,
        process_type: str,
        component: str,
        *,
        params: dict[str, Any] | None = None,
        message: str | None = None,
        status: str = "starting",
    ) -> Process:
        """A new process of a component; its id is `type:component:seconds`. Raises: CacheUnavailable"""
        now = datetime.now(UTC)
        process = Process(
            process_id=f"{process_type}:{component}:{time():.6f}",
            process_type=process_type,
            component=component,
            status=status,
            message=message,
            params=params or {},
            created_at=now,
            updated_at=now,
            heartbeat_at=now,
        )
        await self._put(process)
        return process

    async def update(
        self,
        process_id: str,
        *,
        status: str | None = None,
        message: str | None = None,
        params: dict[str, Any] | None = None,
        heartbeat: bool = True,
    ) -> bool:
        """Report: what is not given stays, `params` are merged; False for an unknown process. Raises: CacheUnavailable"""
        process = (await self.get_many([process_id]))[0]
        if process is None:
            return False
        now = datetime.now(UTC)
        changed = msgspec.structs.replace(
            process,
            status=process.status if status is None else status,
            message=process.message if message is None else message,
            params={**process.params, **(params or {})},
            updated_at=now,
            heartbeat_at=now if heartbeat else process.heartbeat_at,
        )
        await self._put(changed)
        return True

    async def stop(self, process_id: str, message: str | None = None) -> bool:
        """Report that a process ended; False for an unknown one."""
        return await self.update(process_id, status=STOPPED, message=message, heartbeat=False)

    async def get_many(self, process_ids: Sequence[str]) -> list[Process | None]:
        """The process of each id, in the order asked."""
        return await self._shelf.get_many([(GROUP, process_id) for process_id in process_ids])

    async def active(
        self, *, process_type: str | None = None, component: str | None = None, since_s: float = ACTIVE_S
    ) -> list[Process]:
        """Processes that did not stop and reported within `since_s`, newest report first. Raises: CacheUnavailable"""
        since = datetime.now(UTC) - timedelta(seconds=since_s)
        found = [
            process
            for process in (await self._shelf.get_groups([GROUP]))[0]
            if process.status != STOPPED
            and process.updated_at >= since
            and process_type in (None, process.process_type)
            and component in (None, process.component)
        ]
        return sorted(found, key=lambda process: process.updated_at, reverse=True)

    async def health(self) -> ProcessHealth:
        """The last hour's processes, counted. Stopped ones are neither stale nor counted. Raises: CacheUnavailable"""
        found = await self.active(since_s=HEALTH_S)
        stale = [process.process_id for process in found if is_stale(process)]
        errors = [process.process_id for process in found if process.status == ERROR]
        return ProcessHealth(
            healthy=not stale and not errors,
            total_processes=len(found),
            by_type=dict(Counter(process.process_type for process in found)),
            by_status=dict(Counter(process.status for process in found)),
            stale_processes=stale,
            error_processes=errors,
        )

    async def metrics(self) -> dict[str, int]:
        """`{total_processes, active_processes, components, active_<type>…}`: all that are kept, and those of the last minutes.

        Raises: CacheUnavailable
        """
        kept = (await self._shelf.get_groups([GROUP]))[0]
        active = await self.active()
        by_type = Counter(f"active_{process.process_type}" for process in active)
        components = {process.component for process in active}
        return {"total_processes": len(kept), "active_processes": len(active), "components": len(components), **by_type}

    async def broadcast(self, process_type: str, message: str, data: dict[str, Any] | None = None) -> Broadcast:
        """Tell all processes of a type something, on `broadcast_topic`; who starts within the hour finds it too.

        Raises: CacheUnavailable
        """
        told = Broadcast(process_type=process_type, message=message, data=data or {}, sent_ns=time_ns())
        key, topic = (process_type, f"{told.sent_ns:020d}"), broadcast_topic(process_type)
        await self._broadcasts.put(key, told, version=0, ttl_s=BROADCAST_S, topic=topic)
        return told

    async def get_broadcasts(self, process_type: str) -> list[Broadcast]:
        """What processes of a type were told within the last hour, oldest first. Raises: CacheUnavailable"""
        return (await self._broadcasts.get_groups([process_type]))[0]

    async def clean_stale(self, stale_s: float = 1_800.0) -> int:
        """Forget processes that have not reported for `stale_s`; how many."""
        found = (await self._shelf.get_groups([GROUP]))[0]
        gone = [(GROUP, process.process_id) for process in found if is_stale(process, stale_s)]
        return await self._shelf.delete(gone)

    async def _put(self, process: Process) -> None:
        version = int(process.updated_at.timestamp() * 1_000_000)
        await self._shelf.put((GROUP, process.process_id), process, version=version, ttl_s=KEPT_S, topic=PROCESSES_TOPIC)


def is_stale(process: Process, stale_s: float = STALE_S) -> bool:
    """Whether the last heartbeat is older than `stale_s`."""
    return datetime.now(UTC) - process.heartbeat_at > timedelta(seconds=stale_s)
