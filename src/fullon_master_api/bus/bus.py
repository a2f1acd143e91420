"""The bus: messages by topic to every reader of this process and, over Redis, of all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from secrets import token_hex
from types import TracebackType
from typing import Final, cast

import msgspec
from broadcaster import Broadcast

from fullon_master_api.bus.connection import RedisOptions
from fullon_master_api.bus.history import History, HistoryReader
from fullon_master_api.bus.mailboxes import Delivery, LatestMailbox, QueueMailbox, Replay
from fullon_master_api.bus.rings import Callback, Cursor, Page, Places
from fullon_master_api.bus.streams import Arrived, Lost, RedisStreams, position_of
from fullon_master_api.bus.topics import partition_of
from fullon_master_api.bus.wire import Packed, unpack
from fullon_master_api.errors import CacheUnavailable, ServerShutdown
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Event, Gap, Record
from fullon_master_api.tracing import span

log = get_logger(__name__)

CHANNEL: Final = "fullon"
"""The one broadcaster channel: subscribed once, before the first reader, and never left while the bus is open."""

BATCH_MAX: Final = 1024
QUEUE_MAX: Final = 1000
REDIS_OPTIONS: Final = RedisOptions()

Entry = tuple[str, Record]


class BusHealth(Record, frozen=True, kw_only=True):
    """How the bus does; the counts are of this process since it opened the bus."""

    shape: str  # "memory" or "redis"
    connected: bool
    published: int
    received: int
    gaps: int
    reconnects: int
    topics_listened: int
    topics_followed: int
    last_error: str | None = None


class BusQueues(Record, frozen=True, kw_only=True):
    """How many messages wait in this process now."""

    to_be_sent: int
    mailboxes: int
    to_be_read: int  # in all mailboxes
    to_be_read_max: int  # in the fullest one


class Listener:
    """A callback's place on its topics. `close()` leaves them at once; leaving a `with` block does the same."""

    def __init__(self, places: Places, topics: Sequence[str], callback: Callback) -> None:
        self._places, self._topics, self._callback = places, tuple(dict.fromkeys(topics)), callback
        for topic in self._topics:
            places.enter(topic, callback)

    def close(self) -> None:
        for topic in self._topics:
            self._places.leave(topic, self._callback)
        self._topics = ()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Bus:
    """Publishes in batches and hands each arriving message to the callbacks and mailboxes of its topic.

    Opened by `open_bus`, which owns its two tasks: one sends what was published, one reads what arrives and spreads it
    without waiting for anybody. A message that nobody here listens to costs one look-up.
    """

    def __init__(self, broadcast: Broadcast, *, streams: RedisStreams | None, prefix: str) -> None:
        self.shape, self.prefix = "memory" if streams is None else "redis", prefix
        self._broadcast, self._streams = broadcast, streams
        self._places = Places(keeps_left=streams is None)
        self._epoch = token_hex(4)
        self._mailboxes: set[LatestMailbox | QueueMailbox] = set()
        self._history: History | None = None
        self._outgoing: list[Entry] = []
        self._sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake = asyncio.Event()
        self._closed = False
        self._published = self._received = 0

    # ---- out ---------------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, message: Record) -> None:
        """Send `message` to every reader of `topic`, in this process and the others; order is kept within a topic.

        In one process it waits only when readers lag; over Redis until Redis has it, together with what others publish now.
        Raises: CacheUnavailable if Redis does not take it; ServerShutdown after the bus was closed.
        """
        while len(self._outgoing) >= BATCH_MAX and not self._closed:
            await asyncio.wait([self._sent])
        if self._closed:
            raise ServerShutdown("the bus is closed")
        self._outgoing.append((topic, message))
        self._wake.set()
        if self._streams is not None:
            await asyncio.shield(self._sent)

    def hint(self, topic: str, sequence: int) -> None:
        """Wake the followers of a lossless topic: its outbox has an event of this sequence. Never waits, never fails."""
        if self._closed or len(self._outgoing) >= BATCH_MAX:
            return  # Followers poll: a missed hint costs latency, never data.
        self._outgoing.append((topic, Event(sequence=sequence, topic=topic, kind="", payload=b"", created_at=datetime.now(UTC))))
        self._wake.set()

    async def _send(self) -> None:
        """Send all that was published since the last time as one message of the broadcaster."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, sent = self._outgoing, self._sent
            self._outgoing, self._sent = [], asyncio.get_running_loop().create_future()
            try:
                with span("bus send", messages=len(batch)):
                    await self._broadcast.publish(CHANNEL, batch)
            except (CacheUnavailable, asyncio.CancelledError) as error:
                sent.set_exception(error if isinstance(error, CacheUnavailable) else ServerShutdown("the bus is closed"))
                sent.exception()  # Hints have nobody who waits for it.
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                self._published += len(batch)
                sent.set_result(None)

    # ---- in ----------------------------------------------------------------------------------------------------------

    def listen(self, topic: str | Sequence[str], callback: Callback) -> Listener:
        """Call `callback(topic, message)` for each message of the topic(s) until the listener is closed.

        It runs inside the bus's reader, so it must be quick and must not raise; an error is logged and the rest go on.
        After a loss of history the message is a `Gap`.
        """
        return Listener(self._places, [topic] if isinstance(topic, str) else topic, callback)

    @asynccontextmanager
    async def subscribe(
        self,
        topics: str | Sequence[str],
        after: Cursor | None = None,
        *,
        delivery: Delivery = Delivery.LATEST,
        size_max: int = QUEUE_MAX,
    ) -> AsyncIterator[LatestMailbox | QueueMailbox]:
        """A mailbox of these topics: `async for topic, message in mailbox`. It misses nothing published after entering.

        LATEST keeps the newest message of each topic. QUEUE keeps `size_max` in order and then raises SlowConsumer.
        With the cursor of a mailbox that was left (`mailbox.cursor(topic)`, here or in another process) one topic goes on
        behind it: out of the topic's ring, else out of Redis; a `Gap` comes first where neither reaches back that far.
        Raises, while it is read: CacheUnavailable if Redis is asked and does not answer.
        """
        names = [topics] if isinstance(topics, str) else topics
        assert after is None or len(names) == 1, "a cursor belongs to one topic"
        mailbox = LatestMailbox(self._get_epoch) if delivery is Delivery.LATEST else QueueMailbox(self._get_epoch, size_max)

        def put(topic: str, message: Record) -> None:
            ring = self._places[topic].ring
            mailbox.put_nowait(topic, message, ring[-1][0] if ring else None)

        self._mailboxes.add(mailbox)
        try:
            with self.listen(names, put):
                if after is not None:
                    mailbox.begin_with(Replay(names[0], after, self._read_again))
                yield mailbox
        finally:
            self._mailboxes.discard(mailbox)

    async def _read_again(self, topic: str, after: Cursor) -> Page:
        """What the topic told after a cursor, as far as it is still known."""
        place, epoch = self._places[topic], self._get_epoch()
        if after.epoch == epoch and (page := place.read_after(after)) is not None:
            return page
        if self._streams is not None:
            return await self._streams.read_after(topic, after)
        kept = list(place.ring)
        return Page(kept, Cursor(epoch, kept[-1][0] if kept else (0, 0)), gap="what followed the cursor is not kept any more")

    def _get_epoch(self) -> str:
        return self._epoch if self._streams is None else self._streams.epoch

    async def _read(self, opened: asyncio.Event) -> None:
        """Spread every batch that arrives, at once: the broadcaster's own queue has no limit, so it must stay empty."""
        async with self._broadcast.subscribe(CHANNEL) as subscriber:
            opened.set()
            while True:
                event = await subscriber.get()
                batch = cast("list[Entry | Arrived]", event.message)  # Typed as text there; any object travels.
                for topic, message in batch:
                    self._deliver(topic, message)

    def _deliver(self, topic: str, message: Record | Packed | Lost) -> None:
        self._received += 1
        place = self._places.get(topic)
        if place is None and (self._history is None or not self._history.is_followed(topic)):
            if isinstance(message, Lost):  # It has no topic.
                self._deliver_loss(message)
            return
        try:
            record = unpack(message) if isinstance(message, Packed) else message
        except (LookupError, msgspec.DecodeError) as error:
            log.error("bus.message_unknown", topic=topic, error=str(error))
            return
        if place is not None:
            position = position_of(message.entry_id) if isinstance(message, Packed) else (0, self._received)
            place.ring.append((position, record))
            for callback in place.callbacks:
                self._call(callback, topic, record)
        if self._history is not None:
            self._history.hint(topic, record)

    def _deliver_loss(self, loss: Lost) -> None:
        """Tell every topic of the partition; what is followed is read from the outbox, which lost nothing."""
        for topic, place in self._places.all():
            if partition_of(topic) == loss.partition:
                place.ring.clear()  # What comes now does not follow on what was there.
                for callback in place.callbacks:
                    self._call(callback, topic, Gap(topic=topic, reason=loss.reason))
        if self._history is not None:
            self._history.wake_all()

    def _call(self, callback: Callback, topic: str, message: Record) -> None:
        try:
            callback(topic, message)
        except Exception:
            # One reader's fault must not take the messages of all others; it is loud in the log and has its own owner.
            log.exception("bus.callback_failed", topic=topic)

    # ---- lossless ----------------------------------------------------------------------------------------------------

    def attach_history(self, reader: HistoryReader) -> None:
        """Give the bus the outbox that `follow` reads; done once, by whoever opens both."""
        assert self._history is None, "the bus has one history"
        self._history = History(reader)

    def follow(self, topic: str, after: int | None) -> AsyncGenerator[Event]:
        """Every event of a lossless topic after the cursor, in order, each once; `after=None` starts now.

        Close it with `aclosing`. It waits for the next event and never ends by itself.
        Raises: HistoryGap if the cursor is older than what is kept, or newer than all of it (the store was set back);
        Unavailable if the store stays away for 30 s.
        """
        assert self._history is not None, "attach_history comes before follow"
        return self._history.follow(topic, after)

    def health(self) -> BusHealth:
        streams = self._streams
        return BusHealth(
            shape=self.shape,
            connected=not self._closed and (streams is None or streams.connected),
            published=self._published,
            received=self._received,
            gaps=0 if streams is None else streams.gaps,
            reconnects=0 if streams is None else streams.reconnects,
            topics_listened=len(self._places),
            topics_followed=0 if self._history is None else len(self._history),
            last_error=None if streams is None else streams.last_error,
        )

    def queues(self) -> BusQueues:
        waiting = [len(mailbox) for mailbox in self._mailboxes]
        return BusQueues(
            to_be_sent=len(self._outgoing),
            mailboxes=len(waiting),
            to_be_read=sum(waiting),
            to_be_read_max=max(waiting, default=0),
        )

    def _close(self) -> None:
        self._closed = True
        for mailbox in self._mailboxes:
            mailbox.close()
        if not self._sent.done():
            self._sent.set_exception(ServerShutdown("the bus is closed"))
            self._sent.exception()


async def _watch(listener: asyncio.Task[None]) -> None:
    """Fail with the broadcaster's listener: without it every reader would wait for ever, and nobody would know."""
    await asyncio.wait([listener])
    if not listener.cancelled():
        listener.result()


@asynccontextmanager
async def open_bus(url: str, *, prefix: str = "", options: RedisOptions = REDIS_OPTIONS) -> AsyncIterator[Bus]:
    """The bus of this process, until the context is left; nothing of it runs afterwards.

    `memory://` joins the readers of this process, a Redis URL those of all processes with the same `prefix`.
    A fault of the bus itself cancels whoever opened it, so that no server answers over a dead bus.
    Raises: CacheUnavailable if Redis does not answer.
    """
    streams = None
    if not url.startswith("memory"):
        prefix = f"{prefix.rstrip(':')}:" if prefix else ""
        streams = RedisStreams(url, options, prefix=prefix, channel=CHANNEL)
    broadcast = Broadcast(url) if streams is None else Broadcast(backend=streams)
    try:
        await broadcast.connect()
    except CacheUnavailable:
        if streams is not None:
            await streams.disconnect()
        raise
    bus = Bus(broadcast, streams=streams, prefix=prefix)
    opened = asyncio.Event()
    fault: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(bus._read(opened), name="bus:read"),
                tasks.create_task(bus._send(), name="bus:send"),
                tasks.create_task(_watch(broadcast._listener_task), name="bus:watch"),
            ]
            await opened.wait()
            try:
                yield bus
            except BaseException as error:
                fault = error  # Raised again below as itself: the group would wrap it, and no caller expects that.
            bus._close()
            for task in running:
                task.cancel()
        if fault is not None:
            raise fault
    finally:
        listener = broadcast._listener_task
        if not listener.done():
            await broadcast.disconnect()
        elif streams is not None:  # `_watch` has told its fault; `disconnect` would tell it again and leave the rest open.
            await streams.disconnect()
        await asyncio.gather(listener, return_exceptions=True)  # It was cancelled, and nobody awaits it.
