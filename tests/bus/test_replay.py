"""Lossy topics from a cursor: what was missed comes first, once and in order; what cannot come is a gap."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from redis.asyncio import Redis

from fullon_master_api.bus import Bus, Cursor, Delivery, LatestMailbox, Letter, QueueMailbox, open_bus, public_trades_topic
from fullon_master_api.bus.mailboxes import Replay
from fullon_master_api.bus.rings import LEFT_MAX, RING_MAX, Page
from fullon_master_api.bus.streams import CUT, REPLAY_MAX, RESTARTED, STREAM_MAX, stream_key
from fullon_master_api.errors import BadCursor, CacheUnavailable
from fullon_master_api.model import Gap, MarketTrade, MarketTrades, Record, Side
from tests.bus.redis_server import RedisServer

TOPIC, OTHER = public_trades_topic("kraken", "BTC/USD"), public_trades_topic("kraken", "ETH/USD")
PATIENCE_S = 60.0


def told(number: int) -> MarketTrades:
    trade = MarketTrade(trade_id=str(number), event_ns=number, price="1", quantity="1", side=Side.BUY)
    return MarketTrades(exchange="kraken", symbol="BTC/USD", trades=[trade])


def number_of(message: Record) -> int:
    assert isinstance(message, MarketTrades), message
    return int(message.trades[0].trade_id)


async def take(bus: Bus, count: int, after: Cursor | None, *, topic: str = TOPIC) -> tuple[list[Record], Cursor | None]:
    """The next `count` messages, and where the reader stood when it left."""
    async with asyncio.timeout(PATIENCE_S), bus.subscribe(topic, after, delivery=Delivery.QUEUE, size_max=100_000) as mailbox:
        return [message for _topic, message in await read(mailbox, count)], mailbox.cursor(topic)


async def read(mailbox: LatestMailbox | QueueMailbox, count: int) -> list[Letter]:
    got: list[Letter] = []
    async for letter in mailbox:
        got.append(letter)
        if len(got) == count:
            break
    return got


async def read_first(bus: Bus) -> Cursor:
    """The cursor of a first message, whose reader has left."""
    async with bus.subscribe(TOPIC, delivery=Delivery.QUEUE) as mailbox:
        assert mailbox.cursor(TOPIC) is None
        await bus.publish(TOPIC, told(0))
        assert [number_of(message) for _topic, message in await read(mailbox, 1)] == [0]
        cursor = mailbox.cursor(TOPIC)
    assert cursor is not None
    return cursor


async def test_who_comes_back_gets_what_it_missed_and_then_what_comes(bus: Bus) -> None:
    cursor = await read_first(bus)
    for number in range(1, 51):
        await bus.publish(TOPIC, told(number))
        await bus.publish(OTHER, told(1000 + number))
    got, cursor_again = await take(bus, 50, cursor)
    assert [number_of(message) for message in got] == list(range(1, 51))
    await bus.publish(TOPIC, told(51))
    assert (await take(bus, 1, cursor_again))[0] == [told(51)]
    text = str(cursor)
    assert Cursor.read(text) == cursor
    assert len((await take(bus, 51, Cursor.read(text)))[0]) == 51


async def test_leaving_and_coming_back_again_and_again_loses_and_doubles_nothing(bus: Bus) -> None:
    total, dice = 2000, random.Random(7)
    got: list[int] = []

    async def write() -> None:
        for number in range(1, total + 1):
            await bus.publish(TOPIC, told(number))
            await bus.publish(OTHER, told(number))
            if number % 5 == 0:
                await asyncio.sleep(0)

    cursor: Cursor | None = await read_first(bus)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while len(got) < total:
            messages, cursor = await take(bus, min(dice.randint(1, 20), total - len(got)), cursor)
            got += [number_of(message) for message in messages]
    assert got == list(range(1, total + 1))


async def test_the_newest_is_enough_for_a_reader_that_takes_only_the_newest(bus: Bus) -> None:
    cursor = await read_first(bus)
    for number in range(1, 10):
        await bus.publish(TOPIC, told(number))
    assert (await take(bus, 9, cursor))[0][-1] == told(9)  # All have arrived.
    async with asyncio.timeout(PATIENCE_S), bus.subscribe(TOPIC, cursor, delivery=Delivery.LATEST) as mailbox:
        assert await read(mailbox, 1) == [(TOPIC, told(9))]
        await bus.publish(TOPIC, told(10))
        assert await read(mailbox, 1) == [(TOPIC, told(10))]


async def test_a_ring_that_does_not_reach_back_is_a_gap_where_there_is_no_other_history() -> None:
    async with open_bus("memory://") as bus:
        cursor = await read_first(bus)
        for number in range(1, RING_MAX + 11):
            await bus.publish(TOPIC, told(number))
        async with asyncio.timeout(PATIENCE_S):
            while bus.health().received < RING_MAX + 11:
                await asyncio.sleep(0)
        got, _cursor = await take(bus, RING_MAX + 1, cursor)
        assert isinstance(got[0], Gap)
        assert [number_of(message) for message in got[1:]] == list(range(11, RING_MAX + 11))


async def test_a_cursor_of_another_history_is_a_gap_and_what_is_kept(bus: Bus) -> None:
    cursor = await read_first(bus)
    for number in (1, 2):
        await bus.publish(TOPIC, told(number))
    kept = [0, 1, 2] if bus.shape == "memory" else [1, 2]  # Entries of Redis may have outlived its restart: none comes twice.
    got, _cursor = await take(bus, 1 + len(kept), cursor._replace(epoch="0badcafe"))
    assert isinstance(got[0], Gap)
    assert [number_of(message) for message in got[1:]] == kept
    future = Cursor("0badcafe", (9_999_999_999_999, 0))
    async with asyncio.timeout(PATIENCE_S), bus.subscribe(TOPIC, future, delivery=Delivery.QUEUE) as mailbox:
        letters = await read(mailbox, 1)
        await bus.publish(TOPIC, told(3))
        async for letter in mailbox:
            letters.append(letter)
            if letter == (TOPIC, told(3)):
                break
    assert [type(message) for _topic, message in letters].count(Gap) == 1
    assert isinstance(letters[0][1], Gap)


async def test_topics_that_nobody_reads_any_more_keep_a_bounded_number_of_rings() -> None:
    async with open_bus("memory://") as bus:
        cursor = await read_first(bus)
        for number in range(LEFT_MAX):
            async with bus.subscribe(f"public_trades:kraken:{number}"):
                pass
        assert bus.health().topics_listened == 0
        await bus.publish(TOPIC, told(1))
        async with asyncio.timeout(PATIENCE_S), bus.subscribe(TOPIC, cursor, delivery=Delivery.QUEUE) as mailbox:
            assert isinstance((await read(mailbox, 1))[0][1], Gap)


@pytest.mark.parametrize(
    "text", ["", "x", "0badcafe-1", "0BADCAFE-1-1", "0badcafe-1-1-1", "0badcafe--1-1", "0badcafe-" + "9" * 20 + "-0"]
)
def test_a_text_that_no_message_gave_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor, match="give back what a message's `cursor` said"):
        Cursor.read(text)


# ---- on Redis ----------------------------------------------------------------------------------------------------------


async def test_a_cursor_of_one_process_goes_on_in_another_that_never_read_the_topic(redis_url: str) -> None:
    async with open_bus(redis_url) as one, open_bus(redis_url) as two:
        cursor = await read_first(one)
        count = REPLAY_MAX + 100  # More than a page, among messages of other topics.
        for number in range(1, count + 1):
            one_more = [one.publish(TOPIC, told(number)), one.publish(f"public_trades:kraken:{number % 7}", told(number))]
            await asyncio.gather(*one_more)
        got, _cursor = await take(two, count, cursor)
        assert [number_of(message) for message in got] == list(range(1, count + 1))


async def test_history_that_was_cut_is_a_gap_and_the_rest_follows(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, Redis.from_url(redis_url) as other:
        cursor = await read_first(bus)
        pipeline = other.pipeline(transaction=True)
        for _ in range(STREAM_MAX + 1000):
            pipeline.xadd(stream_key("", TOPIC), {b"t": b"nobody", b"k": b"Ticker", b"p": b""}, maxlen=STREAM_MAX)
        await pipeline.execute()
        await bus.publish(TOPIC, told(1))
        got, _cursor = await take(bus, 2, cursor)
    assert got == [Gap(topic=TOPIC, reason=CUT), told(1)]


async def test_a_redis_that_was_restarted_is_a_gap_and_the_rest_follows(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_bus(server.url) as bus:
            cursor = await read_first(bus)
            server.stop()
            with pytest.raises(CacheUnavailable):
                await take(bus, 1, cursor)
            server.start()
            async with asyncio.timeout(PATIENCE_S):
                while bus.health().gaps == 0:
                    await asyncio.sleep(0.01)
            await bus.publish(TOPIC, told(1))
            got, again = await take(bus, 2, cursor)
            assert got == [Gap(topic=TOPIC, reason=RESTARTED), told(1)]
            await bus.publish(TOPIC, told(2))
            assert (await take(bus, 1, again))[0] == [told(2)]
    finally:
        server.stop()


async def test_a_process_that_lags_tells_nothing_that_the_reader_had_from_a_faster_one() -> None:
    mailbox = QueueMailbox(lambda: "0badcafe", 10)

    async def nothing_more(_topic: str, after: Cursor) -> Page:
        return Page([], after)

    mailbox.begin_with(Replay(TOPIC, Cursor("0badcafe", (5, 2)), nothing_more))
    for number, position in enumerate([(5, 1), (5, 2), (5, 3), (6, 0)]):
        mailbox.put_nowait(TOPIC, told(number), position)
    mailbox.close()
    assert [number_of(message) async for _topic, message in mailbox] == [2, 3]
    assert mailbox.cursor(TOPIC) == Cursor("0badcafe", (6, 0))
