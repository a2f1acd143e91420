"""What an admin says to the services and reads of them: desired state goes into the SQL store, observed state comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from fullon_master_api.bus import Bus, service_topic
from fullon_master_api.logs import get_logger
from fullon_master_api.model import DesiredState, Principal, Service, ServiceName, ServiceState
from fullon_master_api.services.lease import ServiceStore

log = get_logger(__name__)

UP: Final = frozenset({ServiceState.STARTING, ServiceState.RUNNING, ServiceState.DEGRADED})
SETTLED: Final = {
    DesiredState.RUNNING: frozenset({ServiceState.RUNNING, ServiceState.DEGRADED, ServiceState.FAILED, ServiceState.CRASH_LOOP}),
    DesiredState.STOPPED: frozenset({ServiceState.STOPPED}),
}
"""The states in which a wait for a desired state is over, well or badly."""

LOOK_S: Final = 0.2
"""How often a waiting call reads the row when no message on the bus makes it look earlier."""


class ServiceManager:
    """For any process, with or without a supervisor in it: it only writes what is wanted and waits for what is seen."""

    def __init__(
        self,
        store: ServiceStore,
        bus: Bus,
        *,
        wait_s: float,
        ttl_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._bus, self._wait_s, self._ttl_s, self._clock = store, bus, wait_s, ttl_s, clock

    async def get_all(self) -> list[Service]:
        """Every service, in the order of `ServiceName`, each as it truly is."""
        rows = {row.name: row for row in await self._store.get_all()}
        return [self._truthful(rows[name]) for name in ServiceName if name in rows]

    async def get(self, name: ServiceName) -> Service:
        return self._truthful(await self._store.get(name))

    async def start(self, name: ServiceName, by: Principal | None) -> Service:
        """Want it running; a service that is up already is left alone, one that failed is tried again.

        The answer is the service once it runs or failed, or as it stands after `wait_s`: starting is not waited for longer.
        """
        now = await self.get(name)
        if now.desired is DesiredState.RUNNING and now.state in UP:
            return await self._settled(now)
        again = now.desired is DesiredState.RUNNING
        return await self._settled(await self._store.set_desired(name, DesiredState.RUNNING, by=by, restart=again))

    async def stop(self, name: ServiceName, by: Principal | None) -> Service:
        """Want it stopped; safe to repeat."""
        now = await self.get(name)
        if now.desired is DesiredState.STOPPED:
            return await self._settled(now)
        return await self._settled(await self._store.set_desired(name, DesiredState.STOPPED, by=by))

    async def restart(self, name: ServiceName, by: Principal | None) -> Service:
        """Want it stopped and started anew, whatever it does now."""
        return await self._settled(await self._store.set_desired(name, DesiredState.RUNNING, by=by, restart=True))

    async def auto_start(self, names: Sequence[ServiceName]) -> None:
        """Want these running, except where somebody decided before: what an admin stopped stays stopped over a restart."""
        for row in await self._store.get_all():
            if row.name in names and row.generation == 0:
                await self._store.set_desired(row.name, DesiredState.RUNNING, by=None)

    async def _settled(self, asked: Service) -> Service:
        """The service once it has seen the generation asked for and come to rest, or as it is when the wait is over."""
        end = time.monotonic() + self._wait_s
        changed = asyncio.Event()
        with self._bus.listen(service_topic(asked.name), lambda _topic, _message: changed.set()):
            while True:
                changed.clear()
                row = await self.get(asked.name)
                if row.generation > asked.generation:
                    return row
                if row.observed_generation >= asked.generation and row.state in SETTLED[asked.desired]:
                    return row
                left = end - time.monotonic()
                if left <= 0:
                    log.info("service.wait_over", service=asked.name.value, state=row.state.value, wait_s=self._wait_s)
                    return row
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_S)):
                        await changed.wait()

    def _truthful(self, row: Service) -> Service:
        """What nobody vouches for is not shown as running: no heartbeat for two leases means that no process has it."""
        if row.state not in UP and row.state is not ServiceState.STOPPING:
            return row
        if row.heartbeat_at is not None and self._clock() - row.heartbeat_at <= timedelta(seconds=2 * self._ttl_s + 2):
            return row
        if row.desired is DesiredState.STOPPED:
            return msgspec.structs.replace(row, state=ServiceState.STOPPED, owner=None, feeds=[])
        seen = "ever" if row.heartbeat_at is None else f"since {row.heartbeat_at.isoformat(timespec='seconds')}"
        reason = f"no heartbeat {seen}: no process runs it; start `fullon worker` or the embedded server"
        return msgspec.structs.replace(row, state=ServiceState.FAILED, last_error=reason, feeds=[])
