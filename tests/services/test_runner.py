"""One service under one lease: how it waits, when it gives up, what it writes again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.model import DesiredState, Fence, Service, ServiceName, ServiceState
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.runner import CollectingService, CrashPolicy, Runner
from tests.services.stage import open_platform, until

TICKER = ServiceName.TICKER


class Failing:
    """A service that fails at once, however often it is started."""

    def __init__(self, _fence: Fence, _board: FeedBoard) -> None:
        self.error = RuntimeError("always")

    async def run(self) -> None:
        raise self.error


@asynccontextmanager
async def ran(resources: Resources, policy: CrashPolicy) -> AsyncGenerator[Runner, None]:
    """A runner that was told to run a service which fails."""

    def factory(fence: Fence, board: FeedBoard) -> CollectingService:
        return Failing(fence, board)

    store = resources.orm.services
    epoch = (await store.claim([TICKER.value], "test", 600.0))[TICKER.value]
    runner = Runner(TICKER, epoch, store=store, factory=factory, policy=policy)
    await runner.reconcile(await store.set_desired(TICKER, DesiredState.RUNNING, by=None))
    yield runner
    await runner.aclose()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between two lives of a service, none of which is waited for."""
    waited: list[float] = []

    async def noted(_runner: Runner, seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(Runner, "_wait", noted)
    return waited


async def test_failures_in_a_row_wait_longer_each_time_until_they_are_a_crash_loop(tmp_path: Path, waits: list[float]) -> None:
    async with open_platform(tmp_path) as resources, ran(resources, CrashPolicy(failures_max=6)) as runner:

        async def given_up() -> bool:
            return not runner.busy

        await until(given_up)
        assert (await resources.orm.services.get(TICKER)).state is ServiceState.CRASH_LOOP
    assert [2.0**number / 2 <= wait <= 2.0**number for number, wait in enumerate(waits)] == [True] * 5


async def test_failures_that_are_far_apart_begin_anew_and_are_no_crash_loop(tmp_path: Path, waits: list[float]) -> None:
    """Every life is longer than the window, which here has no length."""
    async with open_platform(tmp_path) as resources, ran(resources, CrashPolicy(failures_max=3, window_s=0.0)) as runner:

        async def often() -> bool:
            return len(waits) >= 12

        await until(often, within_s=20.0)
        assert runner.busy
    assert max(waits) <= 1.0


async def test_a_failed_service_that_waits_is_still_heard_of(tmp_path: Path) -> None:
    policy = CrashPolicy(first_s=600.0, max_s=600.0, heartbeat_s=0.02)
    async with open_platform(tmp_path) as resources, ran(resources, policy):
        heard: set[datetime] = set()

        async def again_and_again() -> bool:
            row = await resources.orm.services.get(TICKER)
            if row.state is ServiceState.FAILED and row.heartbeat_at is not None:
                heard.add(row.heartbeat_at)
            return len(heard) >= 4

        await until(again_and_again, within_s=20.0)


async def test_a_state_that_the_store_has_not_heard_is_written_by_the_next_look_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_platform(tmp_path) as resources, ran(resources, CrashPolicy(failures_max=1)) as runner:
        store, observe, told = resources.orm.services, resources.orm.services.observe, list[object]()

        async def away_once(fence: Fence, **values: object) -> Service:
            told.append(values["state"])
            if len(told) == 1:
                raise StoreUnavailable("away")
            return await observe(fence, **values)  # type: ignore[arg-type]

        async def given_up() -> bool:
            return not runner.busy

        await until(given_up)
        monkeypatch.setattr(store, "observe", away_once)
        row = await store.set_desired(TICKER, DesiredState.STOPPED, by=None)
        for _ in range(3):
            await runner.reconcile(row)
        assert told == [ServiceState.STOPPED] * 2
        assert (await store.get(TICKER)).state is ServiceState.STOPPED
