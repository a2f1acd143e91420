"""Desired and observed state, leases, epochs and the outbox."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.bus import SERVICES_TOPIC, service_topic
from fullon_master_api.errors import Forbidden, HistoryGap, StaleEpoch, StoreUnavailable
from fullon_master_api.model import DesiredState, FeedHealth, Fence, Service, ServiceName, ServiceState
from tests.apis.orm.conftest import World

TICKER = ServiceName.TICKER


async def states(orm: Orm, topic: str) -> list[tuple[str, str]]:
    events = await orm.events.read_after(topic, 0, 100)
    decoded = [msgspec.json.decode(event.payload, type=Service) for event in events]
    return [(service.desired.value, service.state.value) for service in decoded]


async def test_the_four_services_are_there_and_stopped(orm: Orm) -> None:
    services = await orm.services.get_all()
    assert [service.name for service in services] == list(ServiceName)
    assert {(service.desired, service.state, service.generation) for service in services} == {
        (DesiredState.STOPPED, ServiceState.STOPPED, 0)
    }


async def test_an_admin_asks_twice_and_it_counts_once(orm: Orm, world: World) -> None:
    first = await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=world.admin)
    assert (first.desired, first.generation) == (DesiredState.RUNNING, 1)
    assert await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=world.admin) == first
    assert (await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=world.admin, restart=True)).generation == 2
    with pytest.raises(Forbidden):
        await orm.services.set_desired(TICKER, DesiredState.STOPPED, by=world.ana)
    assert len((await orm.audit.page(None, action="service.desired")).rows) == 2
    assert await states(orm, SERVICES_TOPIC) == [("RUNNING", "STOPPED")] * 2


async def test_a_lease_has_one_owner_and_each_owner_a_higher_epoch(orm: Orm) -> None:
    claims = await asyncio.gather(*(orm.services.claim(["ticker", "ohlcv"], f"owner {n}", 30) for n in range(10)))
    winners = [claim for claim in claims if claim]
    assert winners == [{"ohlcv": 1, "ticker": 1}]
    owner = (await orm.services.get(TICKER)).owner
    assert owner is not None
    assert await orm.services.renew("somebody", {"ticker": 1}, 30) == set()
    assert await orm.services.renew(owner, {"ticker": 1, "ohlcv": 2}, 30) == {"ticker"}
    await orm.services.release(owner, {"ticker": 1, "ohlcv": 2})
    assert await orm.services.claim(["ticker", "ohlcv"], "next", 30) == {"ticker": 2}


async def test_a_lease_whose_time_is_over_passes_on_and_the_old_owner_writes_nothing(orm: Orm) -> None:
    old = Fence(service="ticker", epoch=(await orm.services.claim(["ticker"], "old", 0))["ticker"])
    assert (await orm.services.observe(old, state=ServiceState.RUNNING)).state is ServiceState.RUNNING
    new = Fence(service="ticker", epoch=(await orm.services.claim(["ticker"], "new", 30))["ticker"])
    assert new.epoch == old.epoch + 1
    with pytest.raises(StaleEpoch):
        await orm.services.observe(old, state=ServiceState.FAILED)
    assert await orm.services.renew("old", {"ticker": old.epoch}, 30) == set()
    service = await orm.services.get(TICKER)
    assert (service.state, service.owner, service.epoch) == (ServiceState.RUNNING, "new", new.epoch)
    assert await orm.services.held() == {"ticker": new.epoch}


async def test_what_an_owner_reports_is_read_back_and_a_heartbeat_alone_makes_no_event(orm: Orm) -> None:
    fence = Fence(service="ticker", epoch=(await orm.services.claim(["ticker"], "me", 30))["ticker"])
    feed = FeedHealth(feed="kraken:BTC/USD:ticker", messages=3, last_message_ns=1, lag_ms=0.5)
    await orm.services.observe(fence, state=ServiceState.STARTING, observed_generation=1)
    began = datetime.now(UTC)
    service = await orm.services.observe(fence, state=ServiceState.RUNNING, last_error="lost", restarts=1, feeds=[feed])
    assert (service.state, service.last_error, service.restarts, service.feeds) == (ServiceState.RUNNING, "lost", 1, [feed])
    assert service.heartbeat_at is not None
    apart = timedelta(seconds=1)  # The database may have a clock of its own.
    assert began - apart <= service.heartbeat_at <= datetime.now(UTC) + apart
    for _ in range(3):
        await orm.services.observe(fence, feeds=[feed])
    assert await states(orm, service_topic("ticker")) == [
        ("STOPPED", "STOPPED"),
        ("STOPPED", "STARTING"),
        ("STOPPED", "RUNNING"),
    ]


async def test_starting_a_failed_service_again_is_news_to_its_owner(orm: Orm, world: World) -> None:
    await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=world.admin)
    fence = Fence(service="ticker", epoch=(await orm.services.claim(["ticker"], "me", 30))["ticker"])
    await orm.services.observe(fence, state=ServiceState.CRASH_LOOP, observed_generation=1, last_error="five times")
    assert (await orm.services.set_desired(TICKER, DesiredState.RUNNING, by=world.admin)).generation == 2


async def test_pruned_history_is_a_gap_for_who_was_before_it_and_no_gap_for_who_was_not(orm: Orm, world: World) -> None:
    topic = "account:1"
    sequences = [await orm.events.append(topic, "user", world.admin) for _ in range(3)]
    assert await orm.events.prune(datetime.now(UTC) + timedelta(seconds=1)) >= 3
    with pytest.raises(HistoryGap):
        await orm.events.read_after(topic, 0, 10)
    assert await orm.events.read_after(topic, sequences[-1], 10) == []
    assert await orm.events.last_sequence(topic) == sequences[-1]
    after = await orm.events.append(topic, "user", world.admin)
    assert after > sequences[-1]
    assert [event.sequence for event in await orm.events.read_after(topic, sequences[-1], 10)] == [after]
    assert await orm.events.last_sequence("never") == 0


async def test_events_of_a_topic_become_visible_in_the_order_of_their_numbers(orm: Orm, world: World) -> None:
    """A reader that asks for what is newer than the last it saw must miss nothing while many write."""
    seen: list[int] = []
    written: list[int] = []
    done = asyncio.Event()

    async def write(number: int) -> None:
        written.append(await orm.events.append("account:1", "user", world.admin))

    async def read() -> None:
        while True:
            finished = done.is_set()
            events = await orm.events.read_after("account:1", seen[-1] if seen else 0, 7)
            seen.extend(event.sequence for event in events)
            if finished and not events:
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        async with asyncio.TaskGroup() as writers:
            for number in range(50):
                writers.create_task(write(number))
        done.set()
    assert seen == sorted(written)


async def test_an_owner_that_is_stuck_inside_a_write_cannot_hold_its_successor_up(url: str, orm: Orm) -> None:
    """As a process that is stopped in the middle of a transaction; on SQLite nothing but its end helps, so there it waits."""
    if orm.database.dialect == "sqlite":
        return
    old = Fence(service="ticker", epoch=(await orm.services.claim(["ticker"], "old", 0))["ticker"])

    async def write_while_another_claims(successor: Orm) -> None:
        async with orm.database.write(fence=old) as write:
            assert await successor.services.claim(["ticker"], "new", 30) == {"ticker": old.epoch + 1}
            write.emit("account:1", "fence", old)

    async with open_orm(url, migrate_up=False) as successor:
        with pytest.raises(StoreUnavailable):
            await write_while_another_claims(successor)
    assert await orm.events.last_sequence("account:1") == 0
