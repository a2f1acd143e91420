"""The bus in one process: mailboxes, listeners, and what is left when it closes."""

from __future__ import annotations

import asyncio

import pytest
from broadcaster._backends.memory import MemoryBackend

from fullon_master_api.bus import Bus, Delivery, LatestMailbox, QueueMailbox, open_bus, ticker_topic
from fullon_master_api.errors import ServerShutdown, SlowConsumer
from fullon_master_api.model import Record, Ticker

WITHIN_S = 60.0


def tick(symbol: str, number: int) -> Ticker:
    return Ticker(exchange="kraken", symbol=symbol, last=str(number), received_ns=number)


async def collect(mailbox: LatestMailbox | QueueMailbox, got: list[Record]) -> None:
    async for _topic, message in mailbox:
        got.append(message)


BTC, ETH = ticker_topic("kraken", "BTC/USD"), ticker_topic("kraken", "ETH/USD")


async def test_a_queue_gets_every_message_of_its_topics_in_order_and_no_others(bus: Bus) -> None:
    async with bus.subscribe([BTC], delivery=Delivery.QUEUE) as mailbox:
        for number in range(10):
            await bus.publish(BTC, tick("BTC/USD", number))
            await bus.publish(ETH, tick("ETH/USD", number))
        got = []
        async for topic, message in mailbox:
            got.append((topic, message))
            if len(got) == 10:
                break
    assert got == [(BTC, tick("BTC/USD", number)) for number in range(10)]


async def test_a_slow_reader_gets_the_newest_ticker_and_not_the_backlog(bus: Bus) -> None:
    seen = asyncio.Event()
    bus.listen(ETH, lambda topic, message: seen.set())
    async with bus.subscribe([BTC, ETH]) as mailbox:
        for number in range(500):
            await bus.publish(BTC, tick("BTC/USD", number))
        await bus.publish(ETH, tick("ETH/USD", 7))
        await seen.wait()
        letters = aiter(mailbox)
        assert await anext(letters) == (BTC, tick("BTC/USD", 499))
        assert await anext(letters) == (ETH, tick("ETH/USD", 7))


async def test_a_full_queue_ends_with_slow_consumer_after_the_messages_it_kept(bus: Bus) -> None:
    got: list[Record] = []
    seen = asyncio.Event()
    bus.listen(ETH, lambda topic, message: seen.set())
    async with bus.subscribe([BTC], delivery=Delivery.QUEUE, size_max=3) as mailbox:
        for number in range(5):
            await bus.publish(BTC, tick("BTC/USD", number))
        await bus.publish(ETH, tick("ETH/USD", 0))
        await seen.wait()
        with pytest.raises(SlowConsumer):
            await collect(mailbox, got)
    assert got == [tick("BTC/USD", number) for number in range(3)]


async def test_a_thousand_readers_that_come_and_go_at_once_are_never_deaf(bus: Bus) -> None:
    async def read_one() -> Record:
        async with bus.subscribe(BTC) as mailbox:
            async for _topic, message in mailbox:
                return message
        raise AssertionError("the bus closed")

    async def publish_until(done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            number += 1
            await bus.publish(BTC, tick("BTC/USD", number))
            await asyncio.sleep(0)

    done = asyncio.Event()
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(publish_until(done))
        for _ in range(20):
            got = await asyncio.gather(*(read_one() for _ in range(50)))
            assert len(got) == 50
        done.set()
    assert bus.health().topics_listened == 0


async def test_a_callback_that_raises_does_not_take_the_message_from_the_others(bus: Bus) -> None:
    def broken(topic: str, message: Record) -> None:
        raise ValueError("broken")

    arrived = asyncio.Event()
    with bus.listen(BTC, broken), bus.listen(BTC, lambda topic, message: arrived.set()):
        await bus.publish(BTC, tick("BTC/USD", 1))
        await asyncio.wait_for(arrived.wait(), WITHIN_S)
        arrived.clear()
        await bus.publish(BTC, tick("BTC/USD", 2))
        await asyncio.wait_for(arrived.wait(), WITHIN_S)
    assert bus.health().topics_listened == 0


async def test_one_callback_may_listen_twice_and_leave_once(bus: Bus) -> None:
    got: list[Record] = []
    arrived = asyncio.Event()
    first, second = bus.listen(BTC, lambda topic, message: got.append(message)), bus.listen(BTC, lambda *_: arrived.set())
    first.close()
    first.close()
    await bus.publish(BTC, tick("BTC/USD", 1))
    await asyncio.wait_for(arrived.wait(), WITHIN_S)
    second.close()
    assert got == []


async def test_a_publisher_that_never_pauses_is_slowed_down_to_the_readers() -> None:
    got = 0

    def count(topic: str, message: Record) -> None:
        nonlocal got
        got += 1

    async with open_bus("memory://") as bus:
        with bus.listen(BTC, count):
            for number in range(10_000):
                await bus.publish(BTC, tick("BTC/USD", number))
            assert got >= 10_000 - 2 * 1024


async def test_closing_leaves_no_task_and_ends_its_readers(bus_url: str) -> None:
    before = asyncio.all_tasks()
    got: list[Record] = []
    ended = asyncio.Event()

    async def read(bus: Bus, ready: asyncio.Event) -> None:
        async with bus.subscribe(BTC) as mailbox:
            ready.set()
            async for _topic, message in mailbox:
                got.append(message)
        ended.set()

    async with asyncio.TaskGroup() as tasks:
        async with open_bus(bus_url) as bus:
            ready = asyncio.Event()
            tasks.create_task(read(bus, ready))
            await ready.wait()
        assert asyncio.all_tasks() - before <= {task for task in asyncio.all_tasks() if task.get_coro().__name__ == "read"}  # type: ignore[union-attr]
    assert ended.is_set()
    assert asyncio.all_tasks() == before
    with pytest.raises(ServerShutdown):
        await bus.publish(BTC, tick("BTC/USD", 1))


async def test_a_fault_of_whoever_opened_the_bus_comes_out_as_itself(bus_url: str) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with open_bus(bus_url):
            raise ZeroDivisionError
    assert asyncio.all_tasks() == before


async def test_cancelling_whoever_opened_the_bus_ends_it(bus_url: str) -> None:
    opened = asyncio.Event()

    async def own() -> None:
        async with open_bus(bus_url):
            opened.set()
            await asyncio.Event().wait()

    owning = asyncio.ensure_future(own())
    await opened.wait()
    owning.cancel()
    done, _alive = await asyncio.wait([owning], timeout=WITHIN_S)
    assert done == {owning}
    assert owning.cancelled()


async def test_a_fault_of_the_bus_itself_ends_whoever_opened_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def next_published(_self: MemoryBackend) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryBackend, "next_published", next_published)
    with pytest.raises(BaseExceptionGroup) as raised:
        async with asyncio.timeout(WITHIN_S), open_bus("memory://"):
            await asyncio.Event().wait()
    assert raised.value.subgroup(ZeroDivisionError) is not None
