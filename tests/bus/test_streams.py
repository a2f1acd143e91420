"""The bus over a Redis that stops, starts, forgets and cuts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from fullon_master_api.apis.orm.records import partial_of
from fullon_master_api.bus import Bus, open_bus, orders_topic, ticker_topic, wire
from fullon_master_api.bus.history import History
from fullon_master_api.bus.streams import STREAM_MAX, partition_key, stream_key
from fullon_master_api.bus.topics import PARTITIONS, PRIVATE_PARTITION, partition_of
from fullon_master_api.errors import CacheUnavailable, ServerShutdown
from fullon_master_api.model import Event, Gap, Record, Ticker
from tests.bus.outbox import ListOutbox
from tests.bus.redis_server import RedisServer
from tests.lived import lived
from tests.servers import free_port

BTC = ticker_topic("kraken", "BTC/USD")
WITHIN_S = 60.0


def tick(number: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="BTC/USD", last=str(number), received_ns=number)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def heard(bus: Bus, topic: str = BTC) -> AsyncIterator[list[Record]]:
    got: list[Record] = []
    with bus.listen(topic, lambda _topic, message: got.append(message)):
        yield got


async def until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def publish_patiently(bus: Bus, number: int) -> None:
    """What a service does: try again while Redis is away."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await bus.publish(BTC, tick(number))
            except CacheUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_messages_reach_the_readers_of_another_process(redis_url: str) -> None:
    async with open_bus(redis_url) as one, open_bus(redis_url) as two, heard(two) as got:
        for number in range(3):
            await one.publish(BTC, tick(number))
        await until(lambda: len(got) == 3)
    assert got == [tick(0), tick(1), tick(2)]


async def test_a_record_of_which_only_some_fields_were_read_before_arrives_whole(redis_url: str) -> None:
    """As an order does in a server that was asked for the ids of orders."""
    partial = partial_of(Ticker, ("last",))
    wire._decoder.cache_clear()
    async with open_bus(redis_url) as sending, open_bus(redis_url) as receiving, heard(receiving) as got:
        await sending.publish(BTC, tick(1))
        await until(lambda: got == [tick(1)])
    assert issubclass(partial, Ticker)
    assert type(got[0]) is Ticker


async def test_platforms_with_different_prefixes_do_not_hear_each_other(redis_url: str) -> None:
    async with (
        open_bus(redis_url, prefix="a") as one,
        open_bus(redis_url, prefix="b") as two,
        heard(one) as got,
        heard(two) as other,
    ):
        await two.publish(BTC, tick(1))
        await one.publish(BTC, tick(2))
        await until(lambda: bool(got and other))
        assert (got, other) == ([tick(2)], [tick(1)])


async def test_opening_without_redis_fails_at_once_and_says_so() -> None:
    with pytest.raises(CacheUnavailable, match="Redis does not answer"):
        async with open_bus(f"redis://127.0.0.1:{free_port()}/0"):
            raise AssertionError("opened")


async def test_killed_connections_lose_and_double_nothing(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, heard(bus) as got, Redis.from_url(redis_url) as killer:
        for number in range(300):
            await publish_patiently(bus, number)
            if number % 100 == 50:
                await killer.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: len(got) >= 300)
        assert bus.health().reconnects >= 1
        assert bus.health().gaps == 0
    assert got == [tick(number) for number in range(300)]


async def test_a_restarted_redis_marks_a_gap_and_the_stream_goes_on(server: RedisServer) -> None:
    async with open_bus(server.url) as bus, heard(bus) as got:
        await bus.publish(BTC, tick(1))
        await until(lambda: len(got) == 1)
        server.stop()
        with pytest.raises(CacheUnavailable):
            await bus.publish(BTC, tick(2))
        await until(lambda: not bus.health().connected)
        server.start()
        await publish_patiently(bus, 3)
        await until(lambda: len(got) == 3)
    assert got == [tick(1), Gap(topic=BTC, reason="Redis was restarted"), tick(3)]


async def test_a_restart_that_the_pool_hides_is_marked_too(server: RedisServer) -> None:
    async with open_bus(server.url) as bus, heard(bus) as got:
        for number in range(20):
            server.stop()  # This process sleeps meanwhile, so its next read finds a closed connection and opens another.
            server.start()
            await publish_patiently(bus, number)
            await until(lambda number=number: tick(number) in got)  # type: ignore[misc]
    gap = Gap(topic=BTC, reason="Redis was restarted")
    assert got == [message for number in range(20) for message in (gap, tick(number))]


async def test_a_redis_that_hangs_for_a_moment_loses_nothing(server: RedisServer) -> None:
    async with open_bus(server.url) as bus, heard(bus) as got:
        await bus.publish(BTC, tick(1))
        server.signal(signal.SIGSTOP)
        publishing = asyncio.ensure_future(bus.publish(BTC, tick(2)))
        await asyncio.sleep(0.3)  # How long it hangs.
        server.signal(signal.SIGCONT)
        await publishing
        await until(lambda: len(got) == 2)
        assert bus.health().gaps == 0
    assert got == [tick(1), tick(2)]


async def test_closing_while_redis_hangs_ends_at_once_and_leaves_no_publisher_waiting(server: RedisServer) -> None:
    async with lived() as clock:
        async with open_bus(server.url) as bus:
            await bus.publish(BTC, tick(1))
            server.signal(signal.SIGSTOP)
            publishing = asyncio.ensure_future(bus.publish(BTC, tick(2)))
            await until(lambda: bus.health().published == 1)
            await asyncio.sleep(0)  # The second one is on its way.
        with pytest.raises(ServerShutdown):
            await publishing
        assert clock.seconds < 3
    server.signal(signal.SIGCONT)


async def test_a_reader_that_slept_while_the_stream_was_cut_is_told(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, heard(bus) as got, Redis.from_url(redis_url) as other:
        await bus.publish(BTC, tick(0))
        await until(lambda: len(got) == 1)
        pipeline = other.pipeline(transaction=True)  # In one transaction, so that the reader sees only the end of it.
        for number in range(STREAM_MAX + 1000):
            fields = {b"t": b"nobody", b"k": b"Ticker", b"p": b""}
            pipeline.xadd(stream_key("", BTC), fields, maxlen=STREAM_MAX, approximate=True)  # type: ignore[arg-type]
            assert number >= 0
        await pipeline.execute()
        await publish_patiently(bus, 1)
        await until(lambda: len(got) == 3)
    assert got == [tick(0), Gap(topic=BTC, reason="the stream was cut before it was read"), tick(1)]


async def test_a_full_read_of_a_stream_that_was_never_cut_is_no_gap(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, heard(bus) as got, Redis.from_url(redis_url) as other:
        pipeline = other.pipeline(transaction=True)
        for _ in range(2000):
            pipeline.xadd(stream_key("", BTC), {b"t": b"nobody", b"k": b"Ticker", b"p": b""})
        await pipeline.execute()
        await bus.publish(BTC, tick(1))
        await until(lambda: bool(got))
        assert (bus.health().gaps, bus.health().received) == (0, 2001)
    assert got == [tick(1)]


async def test_a_message_of_a_newer_release_is_skipped_and_the_next_one_arrives(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, heard(bus) as got, Redis.from_url(redis_url) as other:
        for kind, payload in ((b"NotYetKnown", b"\x80"), (b"Ticker", b"\xff")):
            await other.xadd(stream_key("", BTC), {b"t": BTC.encode(), b"k": kind, b"p": payload})
        await bus.publish(BTC, tick(1))
        await until(lambda: bool(got))
    assert got == [tick(1)]


async def test_a_cursor_from_the_future_does_not_leave_readers_deaf(server: RedisServer) -> None:
    async with open_bus(server.url) as bus, Redis.from_url(server.url) as other, heard(bus) as got:
        future = b"9999999999999-0"
        await other.xadd(partition_key("", partition_of(BTC)), {b"t": b"nobody", b"k": b"x", b"p": b""}, id=future)
        await until(lambda: bus.health().received == 1)
        server.stop()
        server.start()
        await until(lambda: bus.health().reconnects == 1)
        await publish_patiently(bus, 1)
        await until(lambda: tick(1) in got)


async def test_followers_lose_and_double_nothing_while_redis_restarts(server: RedisServer) -> None:
    topic, outbox = orders_topic(1), ListOutbox()
    async with open_bus(server.url) as bus:
        bus.attach_history(outbox)
        got: list[int] = []

        async def follow() -> None:
            async for event in bus.follow(topic, 0):
                got.append(event.sequence)  # noqa: PERF401 - what came so far is read meanwhile

        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow())
            for number in range(200):
                bus.hint(topic, outbox.append(topic))
                if number == 50:
                    server.stop()
                if number == 150:
                    server.start()
                await asyncio.sleep(0.001)
            await until(lambda: len(got) >= 200)
            following.cancel()
    assert got == list(range(1, 201))


async def test_an_old_follower_wakes_when_hints_may_be_lost() -> None:
    outbox = ListOutbox()
    history = History(outbox, poll_s=1000.0)
    events = history.follow("t", 0)
    coming: asyncio.Future[Event] = asyncio.ensure_future(anext(events))
    await until(lambda: outbox.reads == 1)
    outbox.append("t")
    history.wake_all()
    assert (await coming).sequence == 1
    await events.aclose()


def test_a_topic_keeps_its_partition_between_releases() -> None:
    assert partition_of("ticker:kraken:BTC/USD") == "market-2"
    assert partition_of("candle:kraken:BTC/USD:1m") == "market-0"
    assert partition_of("orders:1") == PRIVATE_PARTITION
    assert {partition_of(f"ticker:kraken:{number}") for number in range(100)} == set(PARTITIONS) - {PRIVATE_PARTITION}
