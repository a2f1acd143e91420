"""Lossless topics: nothing lost, nothing double, whatever the hints do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from fullon_master_api.bus import Bus, orders_topic
from fullon_master_api.errors import HistoryGap
from tests.bus.outbox import ListOutbox

TOPIC, OTHER = orders_topic(1), orders_topic(2)
WITHIN_S = 60.0


@pytest.fixture
def outbox(bus: Bus) -> ListOutbox:
    outbox = ListOutbox()
    bus.attach_history(outbox)
    return outbox


async def take(bus: Bus, topic: str, after: int | None, count: int) -> list[int]:
    got: list[int] = []
    async with aclosing(bus.follow(topic, after)) as events:
        async for event in events:
            got.append(event.sequence)
            if len(got) == count:
                break
    return got


async def test_following_from_a_cursor_gives_what_came_after_it_and_only_of_this_topic(bus: Bus, outbox: ListOutbox) -> None:
    for _ in range(2000):
        outbox.append(TOPIC)
        outbox.append(OTHER)
    assert await take(bus, TOPIC, 1001, 1499) == list(range(1003, 4000, 2))


async def test_following_from_now_gives_only_what_comes_later(bus: Bus, outbox: ListOutbox) -> None:
    outbox.append(TOPIC)
    async with aclosing(bus.follow(TOPIC, None)) as events, asyncio.timeout(WITHIN_S):
        coming = asyncio.ensure_future(anext(events))
        while bus.health().topics_followed == 0 or outbox.reads == 0:
            await asyncio.sleep(0)
        second = outbox.append(TOPIC)
        bus.hint(TOPIC, second)
        assert (await coming).sequence == second


async def test_an_event_without_a_hint_arrives_late_and_is_not_lost(bus: Bus, outbox: ListOutbox) -> None:
    async with asyncio.timeout(WITHIN_S):
        async with aclosing(bus.follow(TOPIC, 0)) as events:
            coming = asyncio.ensure_future(anext(events))
            while outbox.reads == 0:
                await asyncio.sleep(0)
            sequence = outbox.append(TOPIC)
            assert (await coming).sequence == sequence


async def test_followers_of_one_topic_share_one_read_per_hint(bus: Bus, outbox: ListOutbox) -> None:
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
        followers = [tasks.create_task(take(bus, TOPIC, 0, 1)) for _ in range(100)]
        while outbox.reads == 0:
            await asyncio.sleep(0)
        before = outbox.reads
        bus.hint(TOPIC, outbox.append(TOPIC))
    assert [task.result() for task in followers] == [[1]] * 100
    assert outbox.reads - before <= 2


async def test_a_store_that_is_away_for_a_moment_costs_latency_and_no_event(bus: Bus, outbox: ListOutbox) -> None:
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(take(bus, TOPIC, 0, 2))
        while outbox.reads == 0:
            await asyncio.sleep(0)
        outbox.away = True
        bus.hint(TOPIC, outbox.append(TOPIC))
        seen = outbox.reads
        while outbox.reads == seen:
            await asyncio.sleep(0)
        outbox.away = False
        bus.hint(TOPIC, outbox.append(TOPIC))
    assert follower.result() == [1, 2]


async def test_resuming_again_and_again_while_events_arrive_loses_and_doubles_nothing(bus: Bus, outbox: ListOutbox) -> None:
    total = 3000

    async def write() -> None:
        for number in range(total):
            sequence = outbox.append(TOPIC)
            if number % 3:  # Every third hint is lost.
                bus.hint(TOPIC, sequence)
            if number % 7 == 0:
                await asyncio.sleep(0)

    async def read(step: int) -> list[int]:
        got: list[int] = []
        while len(got) < total:
            got += await take(bus, TOPIC, got[-1] if got else 0, min(step, total - len(got)))
        return got

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read(step)) for step in (3, 50, 1111)]
        tasks.create_task(write())
    assert [reader.result() for reader in readers] == [list(range(1, total + 1))] * 3


async def test_a_follower_that_is_further_behind_than_the_ring_reads_pages_of_its_own(bus: Bus, outbox: ListOutbox) -> None:
    async with asyncio.timeout(WITHIN_S), aclosing(bus.follow(TOPIC, 0)) as slow:
        outbox.append(TOPIC)
        assert (await anext(slow)).sequence == 1
        for _ in range(9999):
            outbox.append(TOPIC)
        assert await take(bus, TOPIC, 9990, 10) == list(range(9991, 10_001))
        got = [(await anext(slow)).sequence for _ in range(9999)]
    assert got == list(range(2, 10_001))
    assert bus.health().topics_followed == 0


async def test_a_cursor_that_this_store_never_gave_is_refused_instead_of_staying_silent(bus: Bus, outbox: ListOutbox) -> None:
    outbox.append(TOPIC)
    with pytest.raises(HistoryGap, match="ends at 1, 2 was asked"):
        await take(bus, TOPIC, 2, 1)
    async with aclosing(bus.follow(TOPIC, 0)) as other:
        assert (await anext(other)).sequence == 1
        second = outbox.append(TOPIC)  # Without a hint, so the shared tail does not know it yet.
        assert second == 2
        bus.hint(TOPIC, outbox.append(TOPIC))
        assert await take(bus, TOPIC, second, 1) == [3]
