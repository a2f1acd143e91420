"""Services started and stopped many times over: nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import Principal, Role, Scope, ServiceName, ServiceState
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.wiring import build_manager, build_supervisor
from tests.services.stage import LEASE_S, list_symbols, open_platform, until

ADMIN = Principal(uid=1, mail="admin@fullon", role=Role.ADMIN, scopes=frozenset(Scope))
SYMBOLS = ("BTC/USD", "ETH/USD")
COLLECTORS = (ServiceName.TICKER, ServiceName.OHLCV)


@asynccontextmanager
async def staged(folder: Path) -> AsyncGenerator[tuple[Resources, PaperExchange, ServiceManager], None]:
    source = GeneratedSource(symbols=SYMBOLS, history_hours=0.05, updates_per_s=10.0)
    async with (
        open_paper(PaperOptions(source=source)) as paper,
        open_platform(folder, exchange_urls={"kraken": paper.url}, lease_ttl_s=LEASE_S) as resources,
    ):
        await list_symbols(resources, SYMBOLS)
        supervisor = build_supervisor(resources)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            yield resources, paper, build_manager(resources)
            supervisor.stop()


async def cycle(manager: ServiceManager, paper: PaperExchange, turn: int) -> None:
    """Start, see data flow, and stop; every third time a restart in between."""
    for name in COLLECTORS:
        assert (await manager.start(name, ADMIN)).state is ServiceState.RUNNING
    if turn % 3 == 0:
        assert (await manager.restart(ServiceName.TICKER, ADMIN)).state is ServiceState.RUNNING

    async def subscribed() -> bool:
        return len(paper.hub.sessions) == len(COLLECTORS)

    await until(subscribed)
    for name in COLLECTORS:
        assert (await manager.stop(name, ADMIN)).state is ServiceState.STOPPED

    async def alone() -> bool:
        return not paper.hub.sessions

    await until(alone)


def live_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if not task.done()}


@pytest.mark.parametrize("turns", [5, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_starts_stops_and_restarts_leave_no_socket_no_task_and_no_memory(tmp_path: Path, turns: int) -> None:
    async with staged(tmp_path) as (resources, paper, manager):
        for turn in range(3):
            await cycle(manager, paper, turn)
        gc.collect()
        tasks, objects = len(live_tasks()), len(gc.get_objects())
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for turn in range(turns):
            await cycle(manager, paper, turn)

        async def as_before() -> bool:
            """What is closing still takes its turns."""
            gc.collect()
            return len(live_tasks()) <= tasks and len(gc.get_objects()) - objects < 200 * turns

        await until(as_before)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb
        assert grown_kb < 60_000, f"{grown_kb} kB more at the peak"
        assert resources.bus.health().topics_listened <= 6
        assert await resources.cache.processes.active() == []


async def test_many_commands_at_once_end_in_what_the_last_one_asked(tmp_path: Path) -> None:
    async with staged(tmp_path) as (_resources, paper, manager):
        name = ServiceName.TICKER
        calls = [manager.start(name, ADMIN), manager.stop(name, ADMIN), manager.restart(name, ADMIN), manager.start(name, ADMIN)]
        await asyncio.gather(*calls)
        assert (await manager.stop(name, ADMIN)).state is ServiceState.STOPPED
        assert (await manager.start(name, ADMIN)).state is ServiceState.RUNNING

        async def one_socket() -> bool:
            return len(paper.hub.sessions) == 1

        await until(one_socket)
