"""The broadcaster's engine for Redis: partition streams read in batches, from a cursor that survives reconnects.

Needs only commands of Redis 6.2. The broadcaster's own Redis engines are not used: with redis-py 8 the first delivers
nothing, and both die silently when Redis restarts (encode/broadcaster#144).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from broadcaster import BroadcastBackend, Event

from fullon_master_api.bus.connection import RedisOptions, open_redis
from fullon_master_api.bus.rings import Cursor, Kept, Page, Position
from fullon_master_api.bus.topics import PARTITIONS, partition_of
from fullon_master_api.bus.wire import Packed, pack, unpack
from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Record

log = get_logger(__name__)

STREAM_MAX: Final = 10_000
"""Messages that each partition remembers for readers that were away; Redis may keep up to a hundred more."""

READ_MAX: Final = 512
REPLAY_MAX: Final = 1_000
CUT: Final = "the stream was cut before it was read"
RESTARTED: Final = "Redis was restarted"
BLOCK_MS: Final = 1_000
PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 0.5
BEGINNING: Final = b"0-0"
STAMPS: Final = {b"s": "sequence", b"r": "received_ns"}


class Lost(Record, frozen=True, kw_only=True):
    """Messages of this partition may be missing before the ones that follow."""

    partition: str
    reason: str


Arrived = tuple[str, Packed | Lost]
"""A topic and its message; a loss has no topic."""


def stream_key(prefix: str, topic: str) -> str:
    """The stream that carries a topic."""
    return partition_key(prefix, partition_of(topic))


def partition_key(prefix: str, partition: str) -> str:
    return f"{prefix}bus:{partition}"


class RedisStreams(BroadcastBackend):
    """Reads all partitions with one blocking command; what arrives is one event of the one channel.

    A cursor is the id of the last entry read. After a lost connection it goes on from there: with the same Redis nothing is
    missing. A loss is reported when it is possible: Redis started anew (its run id changed), or a read came back full
    and the oldest entry left is younger than the cursor. A read that is not full cannot have missed anything, because a
    stream that was cut still holds more than one read.
    """

    def __init__(self, url: str, options: RedisOptions, *, prefix: str, channel: str) -> None:
        one_connection = msgspec.structs.replace(options, max_connections=1)
        self._reader, self._writer = open_redis(url, one_connection, connected=self._note_connection), open_redis(url, options)
        self._prefix, self._channel = prefix, channel
        self._partitions = {partition_key(prefix, partition).encode(): partition for partition in PARTITIONS}
        self._cursors: dict[bytes, bytes] = {}
        self._run_id = ""
        self._is_new = False  # the reader's connection, since the last look at who answers
        self.connected = False
        self.gaps = 0
        self.reconnects = 0
        self.last_error: str | None = None

    async def connect(self) -> None:
        """Begin at the end of each partition. Raises: CacheUnavailable"""
        async with self._reader.answering():
            self._run_id = await self._get_run_id()
            for key in self._partitions:
                self._cursors[key] = await self._get_last(key)
        self.connected, self._is_new = True, False

    async def disconnect(self) -> None:
        self.connected = False
        await self._reader.redis.aclose()
        await self._writer.redis.aclose()

    async def subscribe(self, group: str) -> None:
        """Nothing to do: all partitions are always read."""

    async def unsubscribe(self, group: str) -> None:
        """Nothing to do: all partitions are always read."""

    async def publish(self, channel: str, message: Any) -> None:
        """Send a batch of (topic, record) in one round trip. Raises: CacheUnavailable"""
        batch: Sequence[tuple[str, Record]] = message
        pipeline = self._writer.redis.pipeline(transaction=False)
        for topic, record in batch:
            kind, payload = pack(record)
            fields: dict[Any, Any] = {b"t": topic, b"k": kind, b"p": payload}
            pipeline.xadd(stream_key(self._prefix, topic), fields, maxlen=STREAM_MAX, approximate=True)
        async with self._writer.answering():
            await pipeline.execute()

    @property
    def epoch(self) -> str:
        """Which Redis gave the entries: another one, or the same after a restart, begins a new history."""
        return _epoch(self._run_id)

    async def read_after(self, topic: str, after: Cursor) -> Page:
        """What comes next of `REPLAY_MAX` entries of the partition after a cursor: those of the topic.

        The entry that the cursor names was read once, so a stream whose oldest entry is younger has lost some since.
        Raises: CacheUnavailable
        """
        key = stream_key(self._prefix, topic)
        pipeline = self._writer.redis.pipeline(transaction=True)
        pipeline.info("server")
        pipeline.xrange(key, count=1)
        pipeline.xrange(key, min=f"({after.position[0]}-{after.position[1]}", count=REPLAY_MAX)
        async with self._writer.answering():
            server, oldest, entries = await pipeline.execute()
        epoch, gap = _epoch(str(server["run_id"])), None
        if epoch != after.epoch:
            gap = RESTARTED
        elif not oldest or position_of(oldest[0][0]) > after.position:
            gap = CUT
        end = position_of(entries[-1][0]) if entries else (0, 0) if gap else after.position
        return Page(_unpack(topic, entries), Cursor(epoch, end), more=len(entries) == REPLAY_MAX, gap=gap)

    async def next_published(self) -> Event:
        """The next batch. It never raises: an error here would end the broadcaster's listener and leave all readers deaf."""
        pause_s = PAUSE_S_MIN
        while True:
            try:
                arrived = await self._read() if self.connected and not self._is_new else await self._resume()
            except CacheUnavailable as error:
                if self.connected:
                    log.warning("bus.disconnected", error=error.message)
                self.connected, self.last_error = False, error.message
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - so that processes do not return at once
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                continue
            if arrived:
                # Typed as text there; any object travels.
                return Event(self._channel, arrived)  # type: ignore[arg-type]

    async def _read(self) -> list[Arrived]:
        arrived: list[Arrived] = []
        cursors: dict[Any, Any] = dict(self._cursors)
        async with self._reader.answering(more_s=BLOCK_MS / 1000):
            reply: Any = await self._reader.redis.xread(cursors, count=READ_MAX, block=BLOCK_MS)
        if self._is_new:  # The one before was found closed: a new Redis may have answered.
            arrived += await self._resume()
        for key, entries in reply or ():
            if len(entries) == READ_MAX and await self._was_cut(key):
                arrived.append(self._lose(self._partitions[key], CUT))
                log.warning("bus.cut", partition=self._partitions[key])
            arrived += [_arrive(entry_id, fields) for entry_id, fields in entries]
            self._cursors[key] = entries[-1][0]
        return arrived

    async def _was_cut(self, key: bytes) -> bool:
        async with self._reader.answering():
            if await self._reader.redis.xlen(key) < STREAM_MAX:
                return False  # Cutting never leaves less.
            oldest: Any = await self._reader.redis.xrange(key, count=1)
        return bool(oldest) and position_of(oldest[0][0]) > position_of(self._cursors[key])

    async def _resume(self) -> list[Arrived]:
        """Find out who answers now. Another Redis, or the same one started anew, may have lost what nobody had read yet."""
        async with self._reader.answering():
            run_id = await self._get_run_id()
        self._is_new = False
        arrived: list[Arrived] = []
        if run_id != self._run_id:
            async with self._reader.answering():
                seconds, microseconds = await self._reader.redis.time()
            now = f"{seconds * 1000 + microseconds // 1000 - 1}-0".encode()
            for key, cursor in self._cursors.items():
                # Its clock may be behind: a cursor from the future would be deaf until then.
                self._cursors[key] = min(cursor, now, key=position_of)
            arrived = [self._lose(partition, RESTARTED) for partition in PARTITIONS]
            self._run_id = run_id
        self.connected = True
        self.reconnects += 1
        log.warning("bus.reconnected", gap=bool(arrived))
        return arrived

    def _lose(self, partition: str, reason: str) -> Arrived:
        self.gaps += 1
        return "", Lost(partition=partition, reason=reason)

    def _note_connection(self) -> None:
        self._is_new = True

    async def _get_run_id(self) -> str:
        return str((await self._reader.redis.info("server"))["run_id"])

    async def _get_last(self, key: bytes) -> bytes:
        newest: Any = await self._reader.redis.xrevrange(key, count=1)
        last: bytes = newest[0][0] if newest else BEGINNING
        return last


def position_of(entry_id: bytes) -> Position:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)


def _arrive(entry_id: bytes, fields: dict[bytes, bytes]) -> tuple[str, Packed]:
    stamps = {name: int(fields[field]) for field, name in STAMPS.items() if field in fields}
    return fields[b"t"].decode(), Packed(fields[b"k"].decode(), fields[b"p"], stamps, entry_id)


def _unpack(topic: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Kept]:
    """The topic's messages among entries of its partition."""
    named, kept = topic.encode(), []
    for entry_id, fields in entries:
        if fields[b"t"] == named:
            try:
                kept.append((position_of(entry_id), unpack(_arrive(entry_id, fields)[1])))
            except (LookupError, msgspec.DecodeError) as error:
                log.error("bus.message_unknown", topic=topic, error=str(error))
    return kept


def _epoch(run_id: str) -> str:
    return run_id[:8]
