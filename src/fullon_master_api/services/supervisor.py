"""The one who runs the services: holds their leases, reconciles what is desired with what is, lets go in time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from fullon_master_api.bus import Bus, service_topic
from fullon_master_api.errors import Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Service, ServiceName
from fullon_master_api.services.lease import Leases, ServiceStore, owner_name
from fullon_master_api.services.runner import CrashPolicy, Runner, ServiceFactory

log = get_logger(__name__)

POLL_S = 0.5
"""How often a lease is asked for and the desired state is read when no message on the bus says so earlier."""


MEMORY_LOOK_S = 10.0
MEMORY_PAUSE_S = 600.0
"""After a fresh start for the sake of memory there is none for so long: it did not help, or it needs time."""


def memory_mb() -> int | None:
    """Megabytes of this process in memory now; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


class Supervisor:
    """Runs the services whose lease this process wins; any number of supervisors may stand by for the same names.

    `run` works until `stop` is called or it is cancelled; then it stops the services and releases their leases.
    A lease that cannot be renewed before its own deadline, or that turns out to be another's, ends its service at once.
    """

    def __init__(
        self,
        store: ServiceStore,
        bus: Bus,
        factories: Mapping[ServiceName, ServiceFactory],
        *,
        ttl_s: float,
        policy: CrashPolicy | None = None,
        poll_s: float = POLL_S,
        memory_mb_max: int = 0,
        owner: str | None = None,
        at_start: Callable[[], None] = lambda: None,
    ) -> None:
        """`at_start` is called when `run` begins, and must not wait."""
        self._store, self._bus, self._factories = store, bus, dict(factories)
        self._policy = policy or CrashPolicy(heartbeat_s=min(3.0, ttl_s / 3))
        self._poll_s, self._memory_mb_max, self._at_start = poll_s, memory_mb_max, at_start
        self._leases = Leases(store, tuple(self._factories), owner=owner or owner_name(), ttl_s=ttl_s)
        self._runners: dict[ServiceName, Runner] = {}
        self._renewing: asyncio.Task[set[ServiceName]] | None = None
        self._wake, self._stop = asyncio.Event(), asyncio.Event()

    @property
    def owner(self) -> str:
        return self._leases.owner

    @property
    def held(self) -> Mapping[ServiceName, int]:
        """Service to epoch, for each lease that this process holds."""
        return self._leases.held

    def task(self, name: ServiceName) -> asyncio.Task[None] | None:
        """The task in which a service runs in this process now."""
        runner = self._runners.get(name)
        return runner.task if runner is not None else None

    def stop(self) -> None:
        """Ask `run` to stop the services, release the leases and return."""
        self._stop.set()

    async def run(self) -> None:
        topics = [service_topic(name) for name in self._factories]
        self._at_start()
        try:
            with self._bus.listen(topics, lambda _topic, _message: self._wake.set()):
                async with asyncio.TaskGroup() as tasks:
                    loops = [
                        tasks.create_task(self._keep_leases(), name="supervisor:leases"),
                        tasks.create_task(self._reconcile(), name="supervisor:reconcile"),
                        tasks.create_task(self._watch_memory(), name="supervisor:memory"),
                    ]
                    await self._stop.wait()
                    for loop in loops:
                        loop.cancel()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End what runs here and give the leases back; `run` does it at its end."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
        runners, self._runners = list(self._runners.values()), {}
        try:
            async with asyncio.TaskGroup() as tasks:
                for runner in runners:
                    tasks.create_task(runner.aclose(), name=f"close:{runner.name.value}")
        finally:
            try:
                await self._leases.release()
            except Unavailable as away:
                log.warning("lease.unreleased", error=away.message)

    async def _keep_leases(self) -> None:
        """Renew every third of the lease, and end what may not be trusted any more, whatever the store says or does not say."""
        while True:
            deadline_s = self._leases.deadline_s()
            wait_s = self._leases.ttl_s / 3
            await asyncio.sleep(wait_s if deadline_s is None else max(0.0, min(wait_s, deadline_s)))
            deadline_s = self._leases.deadline_s()
            lost = await self._renewed(wait_s if deadline_s is None else max(0.01, deadline_s))
            lost |= self._leases.overdue() | {name for name, runner in self._runners.items() if runner.lost}
            if lost:
                await self._let_go(lost)

    async def _renewed(self, within_s: float) -> set[ServiceName]:
        """Renew, and answer what was lost. A store may take seconds even to be canceled, so the call goes on by itself when
        its time is over; the next one waits for it."""
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._leases.renew(), name="supervisor:renew")
        done, _ = await asyncio.wait({self._renewing}, timeout=within_s)
        if not done:
            log.warning("lease.unrenewed", reason="the store did not answer before the lease ended")
            return set()
        renewing, self._renewing = self._renewing, None
        try:
            return renewing.result()
        except Unavailable as away:
            log.warning("lease.unrenewed", reason=away.message)
            await asyncio.sleep(min(0.2, within_s))
            return set()

    async def _watch_memory(self) -> None:
        """Start the services anew when this process has grown beyond its limit: libraries keep what a dead socket left."""
        while self._memory_mb_max:
            await asyncio.sleep(MEMORY_LOOK_S)
            used_mb = memory_mb()
            if used_mb is not None and used_mb > self._memory_mb_max:
                reason = f"the process uses {used_mb} MB, the limit is {self._memory_mb_max} MB"
                recycled = [runner.recycle(reason) for runner in self._runners.values()]
                await asyncio.sleep(MEMORY_PAUSE_S if any(recycled) else 0.0)

    async def _let_go(self, names: set[ServiceName]) -> None:
        """End services whose lease is not ours, without a word to the store: it is another's to write now."""
        self._leases.forget(names)
        log.warning("lease.lost", services=sorted(name.value for name in names), owner=self.owner)
        runners = [self._runners.pop(name) for name in names if name in self._runners]
        for runner in runners:
            runner.abandon()
        await asyncio.gather(*(runner.aclose(write=False) for runner in runners))

    async def _reconcile(self) -> None:
        """Claim what is free, then bring each service held to what its row asks."""
        while True:
            self._wake.clear()
            try:
                for name, epoch in (await self._leases.claim()).items():
                    log.info("lease.won", service=name.value, epoch=epoch, owner=self.owner)
                    self._runners[name] = Runner(
                        name, epoch, store=self._store, factory=self._factories[name], policy=self._policy
                    )
                if self._runners:
                    rows = await self._store.get_all()
                    await self._apply(rows)
            except Unavailable as away:
                log.warning("supervisor.store_away", error=away.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()

    async def _apply(self, rows: list[Service]) -> None:
        held = self._leases.held
        async with asyncio.TaskGroup() as tasks:
            for row in rows:
                runner = self._runners.get(row.name)
                if runner is not None and row.name in held:
                    tasks.create_task(runner.reconcile(row), name=f"reconcile:{row.name.value}")
