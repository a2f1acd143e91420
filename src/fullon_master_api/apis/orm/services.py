"""Desired and observed state of the collecting services, and the leases under which one owner runs each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from fullon_master_api.apis.orm.columns import now_ms
from fullon_master_api.apis.orm.database import Database, Write, must_be_admin
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.apis.orm.tables_services import leases, services
from fullon_master_api.bus import SERVICES_TOPIC, service_topic
from fullon_master_api.errors import NotFound
from fullon_master_api.model import DesiredState, FeedHealth, Fence, Principal, Service, ServiceName, ServiceState

ERROR_MAX: Final = 2_000
_NEWS: Final = ("state", "desired", "generation", "observed_generation", "owner", "epoch", "last_error", "restarts")
"""Fields whose change makes an event; a heartbeat alone makes none."""

_COLUMNS: Final = (*(column for column in services.c), leases.c.owner, leases.c.epoch)
_SOURCE: Final = services.outerjoin(leases, leases.c.name == services.c.name)


class Services:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_all(self) -> list[Service]:
        """Every service, in the order of `ServiceName`."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(*_COLUMNS).select_from(_SOURCE))).all()
        found = {service.name: service for service in map(_service, rows)}
        return [found[name] for name in ServiceName if name in found]

    async def get(self, name: ServiceName) -> Service:
        """Raises: NotFound."""
        found = next((service for service in await self.get_all() if service.name is name), None)
        if found is None:
            raise NotFound(f"no service {name.value!r}")
        return found

    async def set_desired(
        self, name: ServiceName, desired: DesiredState, *, by: Principal | None, restart: bool = False
    ) -> Service:
        """Write what an admin wants. A new generation only when that changes, or to restart; so asking twice asks once.

        Raises: Forbidden, NotFound.
        """
        must_be_admin(by)
        async with self._database.write() as write:
            before = await _read(write, name, lock=True)
            # A service that failed for good waits for an admin's word: asking for it again is news to it.
            stuck = before.state in (ServiceState.FAILED, ServiceState.CRASH_LOOP) and desired is DesiredState.RUNNING
            if before.desired is desired and not restart and not (stuck and before.observed_generation >= before.generation):
                return before
            values = {"desired": desired, "generation": services.c.generation + 1}
            await write.connection.execute(update(services).where(services.c.name == name.value).values(**values))
            service = await _read(write, name)
            detail = {"desired": desired.value, "restart": restart, "generation": service.generation}
            await write.audit(by, "service.desired", f"service:{name.value}", **detail)
            _emit(write, service)
            return service

    async def observe(
        self,
        fence: Fence,
        *,
        state: ServiceState | None = None,
        observed_generation: int | None = None,
        last_error: str | None = None,
        restarts: int | None = None,
        feeds: Sequence[FeedHealth] | None = None,
    ) -> Service:
        """What the owner of a service reports of it; the heartbeat is the database's clock. Makes an event when the state,
        the generation, the error or the restarts changed.

        Raises: StaleEpoch when the lease has moved on; NotFound.
        """
        name = ServiceName(fence.service)
        async with self._database.write(fence=fence) as write:
            before = await _read(write, name, lock=True)
            row: dict[str, Any] = {"heartbeat_ms": now_ms()}
            if state is not None:
                row["state"] = state
                if state is ServiceState.STARTING or (before.started_at is None and state is ServiceState.RUNNING):
                    row["started_at"] = utc_now()
                if state is ServiceState.STOPPED:
                    row["started_at"] = None
            if observed_generation is not None:
                row["observed_generation"] = observed_generation
            if last_error is not None:
                row |= {"last_error": last_error[:ERROR_MAX] or None, "last_error_at": utc_now() if last_error else None}
            if restarts is not None:
                row["restarts"] = restarts
            if feeds is not None:
                row["feeds"] = list(feeds)
            await write.connection.execute(update(services).where(services.c.name == name.value).values(**row))
            service = await _read(write, name)
            if any(getattr(service, field) != getattr(before, field) for field in _NEWS):
                _emit(write, service)
            return service

    # ---- leases --------------------------------------------------------------------------------------------------------

    async def claim(self, names: Sequence[str], owner: str, ttl_s: float) -> dict[str, int]:
        """Take the leases among `names` that nobody holds, or whose time is over, each with a new epoch: name to epoch."""
        wanted = sorted(set(names))
        async with self._database.write() as write:
            await _ensure(write, wanted)
            free = or_(leases.c.owner.is_(None), leases.c.expires_ms <= now_ms())
            # Rows are locked in the order of names, so that two claimants never wait in a ring.
            ready = select(leases.c.name).where(leases.c.name.in_(wanted), free).order_by(leases.c.name).with_for_update()
            names_ready = list(await write.connection.scalars(ready))
            statement = update(leases).where(leases.c.name.in_(names_ready), free)
            taken = statement.values(owner=owner, epoch=leases.c.epoch + 1, expires_ms=now_ms() + _ms(ttl_s))
            rows = (await write.connection.execute(taken.returning(leases.c.name, leases.c.epoch))).all()
            claimed: dict[str, int] = {row.name: row.epoch for row in rows}
            for name in claimed:
                await _tell(write, name)
        return claimed

    async def renew(self, owner: str, epochs: Mapping[str, int], ttl_s: float) -> set[str]:
        """Prolong the leases held; answers the names that are still ours. The others have passed to somebody else."""
        if not epochs:
            return set()
        async with self._database.write() as write:
            statement = update(leases).where(leases.c.owner == owner, _same_epochs(epochs))
            renewed = statement.values(expires_ms=now_ms() + _ms(ttl_s)).returning(leases.c.name)
            return set(await write.connection.scalars(renewed))

    async def release(self, owner: str, epochs: Mapping[str, int]) -> None:
        """Give leases back, so that another may take them at once. Those that have passed on are left alone."""
        if not epochs:
            return
        async with self._database.write() as write:
            statement = update(leases).where(leases.c.owner == owner, _same_epochs(epochs)).values(owner=None, expires_ms=0)
            for name in list(await write.connection.scalars(statement.returning(leases.c.name))):
                await _tell(write, name)

    async def held(self, owner: str | None = None) -> dict[str, int]:
        """Leases that are running now, of one owner or of all: name to epoch."""
        statement = select(leases.c.name, leases.c.epoch).where(leases.c.owner.is_not(None), leases.c.expires_ms > now_ms())
        if owner is not None:
            statement = statement.where(leases.c.owner == owner)
        async with self._database.read() as connection:
            return {row.name: row.epoch for row in await connection.execute(statement)}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _same_epochs(epochs: Mapping[str, int]) -> Any:
    return or_(*(and_(leases.c.name == name, leases.c.epoch == epoch) for name, epoch in sorted(epochs.items())))


async def _ensure(write: Write, names: Sequence[str]) -> None:
    """A row for each name; those of the four services are there since the migration."""
    known = set(await write.connection.scalars(select(leases.c.name).where(leases.c.name.in_(names))))
    for name in names:
        if name in known:
            continue
        if write.dialect == "postgresql":
            await write.connection.execute(postgresql_insert(leases).values(name=name).on_conflict_do_nothing())
        else:
            await write.connection.execute(sqlite_insert(leases).values(name=name).on_conflict_do_nothing())


async def _tell(write: Write, name: str) -> None:
    """The event of a lease that passed, for leases that are a service's."""
    if name in [known.value for known in ServiceName]:
        _emit(write, await _read(write, ServiceName(name)))


async def _read(write: Write, name: ServiceName, *, lock: bool = False) -> Service:
    if lock and write.dialect == "postgresql":
        await write.connection.execute(select(services.c.name).where(services.c.name == name.value).with_for_update())
    statement = select(*_COLUMNS).select_from(_SOURCE).where(services.c.name == name.value)
    row = (await write.connection.execute(statement)).first()
    if row is None:
        raise NotFound(f"no service {name.value!r}")
    return _service(row)


def _service(row: Any) -> Service:
    known = dict(row._mapping)
    beat = known.pop("heartbeat_ms")
    known["name"] = ServiceName(known["name"])
    known["epoch"] = known["epoch"] or 0
    return Service(heartbeat_at=None if beat is None else datetime.fromtimestamp(beat / 1000, UTC), **known)


def _emit(write: Write, service: Service) -> None:
    """Every change is told twice: to those who watch this service and to those who watch all."""
    write.emit(service_topic(service.name.value), "service", service)
    write.emit(SERVICES_TOPIC, "service", service)
