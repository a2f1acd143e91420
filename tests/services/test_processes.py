"""One owner whatever the number of processes: real processes, killed, paused and woken over one SQLite file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.model import DesiredState, Principal, Record, Role, Scope, Service, ServiceName, ServiceState
from tests.services.launcher import TOPIC, Beat
from tests.services.stage import until

TTL_S = 1.0
TICKER = ServiceName.TICKER
ADMIN = Principal(uid=1, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
ROOT = Path(__file__).parents[2]


class Probe(Record, frozen=True, kw_only=True):
    """Written by the test to see whether the file can be written at all."""

    at: float


@asynccontextmanager
async def launched(folder: Path, count: int) -> AsyncGenerator[list[asyncio.subprocess.Process], None]:
    command = (sys.executable, "-m", "tests.services.launcher", str(folder), str(TTL_S))
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}) for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


async def owner(orm: Orm) -> Service | None:
    """The service's row while somebody runs it."""
    row = await orm.services.get(TICKER)
    return row if row.owner is not None and row.state is ServiceState.RUNNING else None


async def owned_by_another(orm: Orm, epoch: int) -> Service | None:
    row = await owner(orm)
    return row if row is not None and row.epoch > epoch and await beats(orm, row.epoch) else None


async def beats(orm: Orm, epoch: int) -> int:
    return sum(beat.epoch == epoch for beat in await all_beats(orm))


async def all_beats(orm: Orm) -> list[Beat]:
    found: list[Beat] = []
    after = 0
    while events := await orm.events.read_after(TOPIC, after, 500):
        found += [msgspec.json.decode(event.payload, type=Beat) for event in events]
        after = events[-1].sequence
    return found


async def pause_outside_a_write(orm: Orm, pid: int) -> None:
    """Stop a process, but not while it holds SQLite's own file lock: that no lease can break (docs/services.md)."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(0.3):
                await orm.events.append("probe", "probe", Probe(at=time.time()))
        except TimeoutError:
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)
        else:
            return


def pid_of(row: Service) -> int:
    assert row.owner is not None
    return int(row.owner.removeprefix("pid:"))


async def rounds_without_overlap(orm: Orm, processes: list[asyncio.subprocess.Process], rounds: int) -> list[float]:
    """Pause the owner, see another take over, wake the first: so many times. Answers the seconds each takeover took."""
    took: list[float] = []
    row = await until(lambda: owner(orm), within_s=30.0)
    assert row is not None
    for _ in range(rounds):
        pid, epoch = pid_of(row), row.epoch
        await pause_outside_a_write(orm, pid)
        began = time.monotonic()
        after = await until(lambda epoch=epoch: owned_by_another(orm, epoch), within_s=30.0)  # type: ignore[misc]
        assert after is not None
        took.append(time.monotonic() - began)
        assert pid_of(after) != pid
        stopped = await beats(orm, epoch)
        os.kill(pid, signal.SIGCONT)
        mark = await beats(orm, after.epoch)

        async def went_on(least: int = mark + 5, epoch: int = after.epoch) -> bool:
            return await beats(orm, epoch) >= least

        await until(went_on)
        assert await beats(orm, epoch) == stopped, "the old owner wrote after another had taken over"
        row = after
    return took


@asynccontextmanager
async def shared_store(folder: Path) -> AsyncGenerator[Orm, None]:
    async with open_orm(f"sqlite+aiosqlite:///{folder / 'fullon.db'}") as orm:
        await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=ADMIN)
        yield orm


async def test_a_killed_owner_is_replaced_within_a_lease_and_a_second(tmp_path: Path) -> None:
    async with shared_store(tmp_path) as orm, launched(tmp_path, 3) as processes:
        row = await until(lambda: owner(orm), within_s=30.0)
        assert row is not None
        await until(lambda: beats(orm, row.epoch))
        victim = next(process for process in processes if process.pid == pid_of(row))
        await asyncio.sleep(1.0)  # The others have long been waiting for it, wherever they are in their start.
        began = time.monotonic()
        victim.kill()
        after = await until(lambda: owned_by_another(orm, row.epoch), within_s=30.0)
        took = time.monotonic() - began
        assert after is not None
        assert took < TTL_S + 1.0 + 1.0, f"took {took:.2f} s"  # A second more for a machine that has other work.
        epochs = [beat.epoch for beat in await all_beats(orm)]
        assert epochs == sorted(epochs)
        assert len({(beat.pid, beat.epoch) for beat in await all_beats(orm)}) == len(set(epochs))


async def test_a_paused_owner_is_replaced_and_cannot_write_when_it_wakes(tmp_path: Path) -> None:
    async with shared_store(tmp_path) as orm, launched(tmp_path, 2) as processes:
        took = await rounds_without_overlap(orm, processes, 2)
        assert max(took) < TTL_S + 3.0, took
        epochs = [beat.epoch for beat in await all_beats(orm)]
        assert epochs == sorted(epochs)


async def test_a_terminated_owner_stops_its_service_and_gives_the_lease_back(tmp_path: Path) -> None:
    async with shared_store(tmp_path) as orm, launched(tmp_path, 1) as processes:
        row = await until(lambda: owner(orm), within_s=30.0)
        assert row is not None
        processes[0].terminate()
        assert await asyncio.wait_for(processes[0].wait(), 10.0) == 0
        after = await orm.services.get(TICKER)
        assert (after.state, after.owner, after.desired) == (ServiceState.STOPPED, None, DesiredState.RUNNING)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_epochs_never_overlap_in_fifty_rounds(tmp_path: Path) -> None:
    async with shared_store(tmp_path) as orm, launched(tmp_path, 2) as processes:
        await rounds_without_overlap(orm, processes, 50)
        seen = await all_beats(orm)
        assert [beat.epoch for beat in seen] == sorted(beat.epoch for beat in seen)
        assert len({beat.epoch for beat in seen}) == 51
