"""The supervisor and the manager: one owner, truthful state, crashes that are seen."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fullon_master_api.errors import ExchangeDenied, StaleEpoch
from fullon_master_api.model import DesiredState, Fence, Principal, Role, Scope, ServiceName, ServiceState
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.runner import CollectingService, CrashPolicy, ServiceFactory
from fullon_master_api.services.supervisor import Supervisor
from tests.lived import lived
from tests.services.stage import LEASE_S, locked, open_platform, until

TICKER = ServiceName.TICKER
ADMIN = Principal(uid=1, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
QUICK = CrashPolicy(first_s=0.05, max_s=0.1, heartbeat_s=0.1)


class Scripted:
    """A service whose runs do what the test says: wait, fail, end."""

    def __init__(self) -> None:
        self.runs: list[Fence] = []
        self.ended = 0
        self.act: Callable[[FeedBoard], Awaitable[None]] = self.wait

    async def wait(self, board: FeedBoard) -> None:
        board.ready()
        await asyncio.Event().wait()

    def __call__(self, fence: Fence, board: FeedBoard) -> CollectingService:
        script = self
        script.runs.append(fence)

        class Run:
            async def run(self) -> None:
                try:
                    await script.act(board)
                finally:
                    script.ended += 1

        return Run()


@asynccontextmanager
async def supervised(
    resources: Resources, factory: ServiceFactory, *, ttl_s: float = LEASE_S, policy: CrashPolicy = QUICK, poll_s: float = 0.05
) -> AsyncGenerator[Supervisor, None]:
    supervisor = Supervisor(resources.orm.services, resources.bus, {TICKER: factory}, ttl_s=ttl_s, policy=policy, poll_s=poll_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        yield supervisor
        supervisor.stop()


def manager_of(resources: Resources) -> ServiceManager:
    return ServiceManager(resources.orm.services, resources.bus, wait_s=resources.settings.service_wait_s, ttl_s=LEASE_S)


async def test_a_service_is_started_stopped_and_restarted_and_the_answer_tells_what_was_seen(tmp_path: Path) -> None:
    script = Scripted()
    async with open_platform(tmp_path) as resources, supervised(resources, script):
        manager = manager_of(resources)
        started = await manager.start(TICKER, ADMIN)
        assert (started.state, started.observed_generation) == (ServiceState.RUNNING, started.generation)
        again = await manager.start(TICKER, ADMIN)
        assert again.generation == started.generation
        assert len(script.runs) == 1
        restarted = await manager.restart(TICKER, ADMIN)
        assert (restarted.state, restarted.generation) == (ServiceState.RUNNING, started.generation + 1)
        assert (len(script.runs), script.ended) == (2, 1)
        stopped = await manager.stop(TICKER, ADMIN)
        assert (stopped.state, stopped.desired) == (ServiceState.STOPPED, DesiredState.STOPPED)
        assert (len(script.runs), script.ended) == (2, 2)
        assert (await manager.stop(TICKER, ADMIN)).generation == stopped.generation


async def test_a_killed_service_shows_failed_with_its_error_and_runs_again(tmp_path: Path) -> None:
    script = Scripted()
    patient = CrashPolicy(first_s=30.0, max_s=60.0, heartbeat_s=0.1)
    async with open_platform(tmp_path) as resources, supervised(resources, script, policy=patient) as supervisor:
        manager = manager_of(resources)
        await manager.start(TICKER, ADMIN)
        task = supervisor.task(TICKER)
        assert task is not None
        task.cancel()

        async def failed() -> bool:
            return (await manager.get(TICKER)).state is ServiceState.FAILED

        await until(failed)
        seen = await manager.get(TICKER)
        assert seen.last_error == "its task was cancelled from outside"
        assert seen.last_error_at is not None
        assert (await manager.start(TICKER, ADMIN)).state is ServiceState.RUNNING


async def test_a_crashed_service_is_tried_again_by_itself(tmp_path: Path) -> None:
    script = Scripted()

    async def fail_once(board: FeedBoard) -> None:
        board.ready()
        if len(script.runs) == 1:
            raise ValueError("the first run fails")
        await asyncio.Event().wait()

    script.act = fail_once
    async with open_platform(tmp_path) as resources, supervised(resources, script):
        manager = manager_of(resources)
        await manager.start(TICKER, ADMIN)

        async def back() -> bool:
            row = await manager.get(TICKER)
            return row.state is ServiceState.RUNNING and row.restarts == 1

        await until(back)
        assert (await manager.get(TICKER)).last_error == "ValueError: the first run fails"


@pytest.mark.parametrize("ends", ["an error", "by itself"])
async def test_five_failures_in_ten_minutes_are_a_crash_loop_that_an_admin_ends(tmp_path: Path, ends: str) -> None:
    script = Scripted()

    async def fail(board: FeedBoard) -> None:
        if ends == "an error":
            raise RuntimeError("always")

    script.act = fail
    async with open_platform(tmp_path) as resources, supervised(resources, script):
        manager = manager_of(resources)
        await manager.start(TICKER, ADMIN)

        async def looping() -> bool:
            return (await manager.get(TICKER)).state is ServiceState.CRASH_LOOP

        await until(looping)
        assert len(script.runs) == 5
        expected = "RuntimeError: always" if ends == "an error" else "it ended by itself"
        assert (await manager.get(TICKER)).last_error == expected
        script.act = script.wait
        assert (await manager.start(TICKER, ADMIN)).state is ServiceState.RUNNING
        assert len(script.runs) == 6


async def test_a_service_that_cannot_even_be_made_is_failed_and_not_the_process(tmp_path: Path) -> None:
    def refuse(fence: Fence, board: FeedBoard) -> CollectingService:
        raise ValueError("a setting makes no sense")

    async with open_platform(tmp_path) as resources, supervised(resources, refuse) as supervisor:
        row = await manager_of(resources).start(TICKER, ADMIN)
        assert row.state in (ServiceState.FAILED, ServiceState.CRASH_LOOP)
        assert row.last_error == "ValueError: a setting makes no sense"
        assert TICKER in supervisor.held


async def test_a_denied_credential_is_not_tried_again(tmp_path: Path) -> None:
    script = Scripted()

    async def deny(board: FeedBoard) -> None:
        async with asyncio.TaskGroup():
            raise ExchangeDenied("the key is not valid")

    script.act = deny
    async with open_platform(tmp_path) as resources, supervised(resources, script) as supervisor:
        manager = manager_of(resources)
        row = await manager.start(TICKER, ADMIN)
        assert (row.state, row.last_error) == (ServiceState.FAILED, "ExchangeDenied: the key is not valid")

        async def given_up() -> bool:
            return not supervisor._runners[TICKER].busy

        await until(given_up, within_s=20.0)
        assert len(script.runs) == 1


async def test_a_feed_in_error_makes_the_service_degraded_and_says_which(tmp_path: Path) -> None:
    script = Scripted()
    boards: list[FeedBoard] = []

    async def show(board: FeedBoard) -> None:
        boards.append(board)
        await script.wait(board)

    script.act = show
    async with open_platform(tmp_path) as resources, supervised(resources, script):
        manager = manager_of(resources)
        await manager.start(TICKER, ADMIN)
        gauge = boards[0].feed("kraken:BTC/USD:ticker")
        gauge.received(5_000_000_000, 4_000_000_000)
        gauge.refused += 2
        gauge.failed("the socket closed")

        async def state_is(state: ServiceState) -> bool:
            return (await manager.get(TICKER)).state is state

        await until(lambda: state_is(ServiceState.DEGRADED))
        feeds = (await manager.get(TICKER)).feeds
        assert [(feed.feed, feed.messages, feed.lag_ms, feed.refused, feed.error) for feed in feeds] == [
            ("kraken:BTC/USD:ticker", 1, 1000.0, 2, "the socket closed")
        ]
        gauge.works()
        await until(lambda: state_is(ServiceState.RUNNING))


async def test_of_two_supervisors_one_runs_the_service_and_the_other_takes_over_when_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, refused = Scripted(), Scripted(), Counter[str]()
    async with open_platform(tmp_path) as resources:
        manager, claim = manager_of(resources), resources.orm.services.claim

        async def noted(names: Sequence[str], owner: str, ttl_s: float) -> dict[str, int]:
            won = await claim(names, owner, ttl_s)
            refused[owner] += not won
            return won

        monkeypatch.setattr(resources.orm.services, "claim", noted)
        async with supervised(resources, one, ttl_s=LEASE_S) as first:
            await until(lambda: _held(first))
            await manager.start(TICKER, ADMIN)
            async with supervised(resources, two, ttl_s=LEASE_S) as second:

                async def asked_in_vain() -> bool:
                    return refused[second.owner] >= 3

                await until(asked_in_vain)
                assert (len(one.runs), len(two.runs), dict(second.held)) == (1, 0, {})
                first.stop()
                await until(lambda: _runs(two))
                assert one.ended == 1
                assert two.runs[0].epoch == one.runs[0].epoch + 1
                row = await manager.get(TICKER)
                assert (row.owner, row.epoch) == (second.owner, two.runs[0].epoch)


async def test_an_owner_whose_lease_was_taken_ends_its_service_and_cannot_write(tmp_path: Path) -> None:
    one, two = Scripted(), Scripted()
    async with open_platform(tmp_path) as resources:
        manager, store = manager_of(resources), resources.orm.services
        # It renews, and so notices, after two seconds; it looks for a free lease only when it is told of a change.
        async with supervised(resources, one, ttl_s=6.0, poll_s=3600.0) as first:
            await manager.start(TICKER, ADMIN)
            old = one.runs[0]
            await store.release(first.owner, {TICKER.value: old.epoch})  # As if its time had run out while it was paused.
            async with supervised(resources, two, ttl_s=LEASE_S) as second:
                await until(lambda: _held(second))
                await until(lambda: _runs(two))
                with pytest.raises(StaleEpoch):
                    await store.observe(old, state=ServiceState.RUNNING)

                async def ended() -> bool:
                    return one.ended == 1

                await until(ended)
                assert (await manager.get(TICKER)).owner == second.owner


async def test_an_owner_that_cannot_reach_the_store_stops_before_its_lease_ends(tmp_path: Path) -> None:
    script = Scripted()
    async with open_platform(tmp_path) as resources, supervised(resources, script, ttl_s=1.0):
        await manager_of(resources).start(TICKER, ADMIN)
        async with locked(tmp_path / "fullon.db"):  # Nobody can write: no lease can be renewed, none can be claimed.
            before = len(script.runs)

            async def ended() -> bool:
                return script.ended == before

            async with lived() as clock:
                await until(ended)
                assert clock.seconds < 1.0 + 1.5  # A lease, and what it takes to notice.

        async def again() -> bool:
            return len(script.runs) > before and script.runs[-1].epoch > script.runs[before - 1].epoch

        await until(again)


async def test_a_service_that_nobody_runs_any_more_is_not_shown_as_running(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        store = resources.orm.services
        epoch = (await store.claim([TICKER.value], "gone", 0.1))[TICKER.value]
        await store.set_desired(TICKER, DesiredState.RUNNING, by=None)
        await store.observe(Fence(service=TICKER.value, epoch=epoch), state=ServiceState.RUNNING, observed_generation=1)
        heard_at = (await store.get(TICKER)).heartbeat_at
        assert heard_at is not None
        now = heard_at + timedelta(seconds=2 * LEASE_S + 2)
        manager = ServiceManager(store, resources.bus, wait_s=0.1, ttl_s=LEASE_S, clock=lambda: now)
        assert (await manager.get(TICKER)).state is ServiceState.RUNNING
        now += timedelta(microseconds=1)
        row = await manager.get(TICKER)
        assert row.state is ServiceState.FAILED
        assert row.last_error is not None
        assert row.last_error.startswith("no heartbeat since")
        assert (await manager.start(TICKER, ADMIN)).generation == row.generation + 1  # Whoever had it may come back.
        await store.set_desired(TICKER, DesiredState.STOPPED, by=None)
        row = await manager.get(TICKER)
        assert (row.state, row.owner, row.last_error) == (ServiceState.STOPPED, None, None)


async def test_a_wait_for_what_somebody_else_has_changed_meanwhile_is_over(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        manager, store = (
            ServiceManager(resources.orm.services, resources.bus, wait_s=600.0, ttl_s=LEASE_S),
            resources.orm.services,
        )
        starting = asyncio.create_task(manager.start(TICKER, ADMIN))  # Nobody runs it, so that it waits.

        async def wanted() -> bool:
            return (await store.get(TICKER)).desired is DesiredState.RUNNING

        await until(wanted)
        await store.set_desired(TICKER, DesiredState.STOPPED, by=None)
        async with asyncio.timeout(20.0):
            row = await starting
        assert (row.desired, row.generation) == (DesiredState.STOPPED, 2)


async def test_auto_start_leaves_alone_what_an_admin_stopped(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as resources:
        manager = ServiceManager(resources.orm.services, resources.bus, wait_s=0.1, ttl_s=LEASE_S)
        await manager.auto_start([TICKER])
        assert (await manager.get(TICKER)).desired is DesiredState.RUNNING
        assert (await manager.get(ServiceName.OHLCV)).desired is DesiredState.STOPPED
        await manager.stop(TICKER, ADMIN)
        await manager.auto_start([TICKER])
        assert (await manager.get(TICKER)).desired is DesiredState.STOPPED


async def test_a_process_beyond_its_memory_starts_its_services_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.services.supervisor.MEMORY_LOOK_S", 0.05)
    script = Scripted()
    async with open_platform(tmp_path) as resources:
        store = resources.orm.services
        supervisor = Supervisor(store, resources.bus, {TICKER: script}, ttl_s=LEASE_S, policy=QUICK, poll_s=0.05, memory_mb_max=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            await manager_of(resources).start(TICKER, ADMIN)

            async def anew() -> bool:
                row = await store.get(TICKER)
                return len(script.runs) == 2 and (row.state, row.restarts) == (ServiceState.RUNNING, 1)

            await until(anew)
            assert (await store.get(TICKER)).last_error is None
            supervisor.stop()


async def test_after_a_fresh_start_for_the_sake_of_memory_there_is_none_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_s: list[float] = []

    def too_much() -> int:
        looked_s.append(time.monotonic())
        return 2

    monkeypatch.setattr("fullon_master_api.services.supervisor.MEMORY_LOOK_S", 0.01)
    monkeypatch.setattr("fullon_master_api.services.supervisor.MEMORY_PAUSE_S", 1.0)
    monkeypatch.setattr("fullon_master_api.services.supervisor.memory_mb", too_much)
    script = Scripted()
    async with open_platform(tmp_path) as resources:
        store = resources.orm.services
        supervisor = Supervisor(store, resources.bus, {TICKER: script}, ttl_s=LEASE_S, policy=QUICK, poll_s=0.05, memory_mb_max=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            await manager_of(resources).start(TICKER, ADMIN)

            async def twice() -> bool:
                return len(script.runs) >= 3

            await until(twice)
            supervisor.stop()
    assert max(later - sooner for sooner, later in pairwise(looked_s)) >= 1.0


async def _held(supervisor: Supervisor) -> bool:
    return TICKER in supervisor.held


async def _runs(script: Scripted) -> bool:
    return bool(script.runs)
