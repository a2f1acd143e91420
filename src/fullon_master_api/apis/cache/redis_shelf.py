"""Shelves and lists on Redis: hashes for what lasts, a key with its own expiry for what does not."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final, Generic, cast

import msgspec

from fullon_master_api.apis.cache import scripts
from fullon_master_api.apis.cache.scripts import HEADER_WIDTH, NUMBER_WIDTH, OWNER_WIDTH
from fullon_master_api.apis.cache.shelf import Key, R, without_stamps
from fullon_master_api.bus.connection import RedisLink
from fullon_master_api.bus.streams import STREAM_MAX, stream_key
from fullon_master_api.bus.wire import pack
from fullon_master_api.errors import Conflict, StaleEpoch
from fullon_master_api.model import Fence, Record

NO_OWNER: Final = b" " * OWNER_WIDTH


class RedisShelf(Generic[R]):
    """Entries on Redis. One command or script for each call, whatever the number of keys.

    `expires` says whether every entry has an end: then each is a key of its own beside an index of its group, else a field
    of its group's hash.
    """

    def __init__(self, kind: type[R], link: RedisLink, *, name: str, prefix: str, expires: bool) -> None:
        self._kind, self._link, self._redis, self._name, self._prefix, self._expires = (
            kind,
            link,
            link.redis,
            name,
            prefix,
            expires,
        )
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._counts = "sequence" in kind.__struct_fields__
        self._stamps = [name for name in ("received_ns", "sequence") if name in kind.__struct_fields__]
        self._unstamped = without_stamps(kind)
        self._put = link.redis.register_script(scripts.PUT)
        self._hold = link.redis.register_script(scripts.HOLD)
        self._release = link.redis.register_script(scripts.RELEASE)

    async def get_many(self, keys: Sequence[Key]) -> list[R | None]:
        if not keys:
            return []
        if self._expires:
            async with self._link.answering():
                values: list[Any] = await self._redis.mget([self._place(key) for key in keys])
            return [None if value is None else self._decode(value) for value in values]
        fields: dict[str, dict[str, R | None]] = {}
        for group, field in keys:
            fields.setdefault(group, {})[field] = None
        async with self._link.answering():
            pipeline = self._redis.pipeline(transaction=False)
            for group, asked in fields.items():
                pipeline.hmget(self._group(group), list(asked))
            answers: list[Any] = await pipeline.execute()
        for asked, found in zip(fields.values(), answers, strict=True):
            for field, value in zip(asked, found, strict=True):
                asked[field] = None if value is None else self._decode(value)
        return [fields[group][field] for group, field in keys]

    async def get_groups(self, groups: Sequence[str]) -> list[list[R]]:
        if not groups:
            return []
        async with self._link.answering():
            pipeline = self._redis.pipeline(transaction=False)
            for group in groups:
                if self._expires:
                    pipeline.zrange(self._index(group), 0, -1)
                else:
                    pipeline.hgetall(self._group(group))
            found: list[Any] = await pipeline.execute()
        if not self._expires:
            return [[self._decode(value) for _field, value in sorted(entries.items())] for entries in found]
        fields = [sorted(field.decode() for field in index) for index in found]
        records = iter(
            await self.get_many([(group, field) for group, some in zip(groups, fields, strict=True) for field in some])
        )
        return [[record for _field in some if (record := next(records)) is not None] for some in fields]

    async def put(
        self,
        key: Key,
        record: R,
        *,
        version: int,
        ttl_s: float | None = None,
        topic: str | None = None,
        message: Record | None = None,
        fence: Fence | None = None,
    ) -> R | None:
        assert self._expires == (ttl_s is not None), "entries of this shelf all have an end, or none has"
        kind, payload = pack(self._unstamped(record))
        told_kind, told = (kind, payload) if message is None else pack(message)
        arguments: list[Any] = [
            key[1],
            _digits(version),
            _digits(getattr(record, "received_ns", 0)),
            payload,
            "" if ttl_s is None else max(1, int(ttl_s * 1000)),
            "\n".join(key) if self._counts else "",
            *_fence(fence),
            topic or "",
            told_kind,
            told,
            STREAM_MAX,
            NO_OWNER,
        ]
        keys = [
            self._place(key),
            self._index(key[0]),
            f"{self._prefix}sequences:{self._name}",
            f"{self._prefix}fences",
            stream_key(self._prefix, topic or ""),
        ]
        async with self._link.answering():
            outcome, detail = await _run(self._put(keys=keys, args=arguments))
        if outcome < 0:
            raise _stale(fence, detail)
        if outcome == 0:
            return None
        return msgspec.structs.replace(record, sequence=int(detail)) if self._counts else record

    async def delete(self, keys: Sequence[Key]) -> int:
        if not keys:
            return 0
        async with self._link.answering():
            pipeline = self._redis.pipeline(transaction=True)
            for key in keys:
                if self._expires:
                    pipeline.delete(self._place(key))
                    pipeline.zrem(self._index(key[0]), key[1])
                else:
                    pipeline.hdel(self._place(key), key[1])
            gone: list[int] = await pipeline.execute()
        return sum(gone[:: 2 if self._expires else 1])

    async def hold(self, key: Key, record: R, *, owner: str, ttl_s: float) -> None:
        value = _digits(0) * 3 + _owner(owner) + pack(record)[1]
        arguments: list[Any] = [key[1], _owner(owner), value, max(1, int(ttl_s * 1000))]
        async with self._link.answering():
            holder = await _run(self._hold(keys=[self._place(key), self._index(key[0])], args=arguments))
        if holder:
            raise Conflict(f"{':'.join(key)} is held by {holder.decode().strip()}")

    async def release(self, key: Key, *, owner: str) -> bool:
        async with self._link.answering():
            keys = [self._place(key), self._index(key[0])]
            return bool(await _run(self._release(keys=keys, args=[key[1], _owner(owner)])))

    def _group(self, group: str) -> str:
        return f"{self._prefix}{self._name}:{group}"

    def _index(self, group: str) -> str:
        return f"{self._prefix}{self._name}-index:{group}"

    def _place(self, key: Key) -> str:
        return f"{self._group(key[0])}:{key[1]}" if self._expires else self._group(key[0])

    def _decode(self, value: bytes) -> R:
        record = self._decoder.decode(memoryview(value)[HEADER_WIDTH:])
        if not self._stamps:
            return record
        sequence, received_ns = int(value[NUMBER_WIDTH : 2 * NUMBER_WIDTH]), int(value[2 * NUMBER_WIDTH : 3 * NUMBER_WIDTH])
        stamps = {"sequence": sequence, "received_ns": received_ns}
        return msgspec.structs.replace(record, **{name: stamps[name] for name in self._stamps})


class RedisLists(Generic[R]):
    """Bounded lists on Redis."""

    def __init__(self, kind: type[R], link: RedisLink, *, name: str, prefix: str, size_max: int) -> None:
        self._link, self._redis, self._name, self._prefix, self._size_max = link, link.redis, name, prefix, size_max
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._append = link.redis.register_script(scripts.APPEND)

    async def append(
        self,
        group: str,
        records: Sequence[R],
        *,
        message: Record | None = None,
        topic: str | None = None,
        fence: Fence | None = None,
    ) -> None:
        kind, told = pack(message) if message is not None else ("", b"")
        values = [pack(record)[1] for record in records[-self._size_max :]]
        arguments: list[Any] = [self._size_max, *_fence(fence), topic or "", kind, told, STREAM_MAX, *values]
        keys = [self._key(group), f"{self._prefix}fences", stream_key(self._prefix, topic or "")]
        async with self._link.answering():
            newer = await _run(self._append(keys=keys, args=arguments))
        if newer:
            raise _stale(fence, newer)

    async def get_last(self, group: str, count: int) -> list[R]:
        if count < 1:
            return []
        async with self._link.answering():
            values: list[bytes] = await _run(self._redis.lrange(self._key(group), -count, -1))
        return [self._decoder.decode(value) for value in values]

    def _key(self, group: str) -> str:
        return f"{self._prefix}{self._name}:{group}"


async def _run(command: Awaitable[Any] | Any) -> Any:
    """The answer of a command; redis-py types it as what its blocking twin answers."""
    return await cast("Awaitable[Any]", command)


def _fence(fence: Fence | None) -> tuple[str, int]:
    return ("", 0) if fence is None else (fence.service, fence.epoch)


def _stale(fence: Fence | None, seen: bytes) -> StaleEpoch:
    assert fence is not None
    return StaleEpoch(f"the lease of {fence.service!r} passed from epoch {fence.epoch} to {int(seen)}")


def _digits(number: int) -> bytes:
    assert 0 <= number < 10**NUMBER_WIDTH, number
    return b"%020d" % number


def _owner(owner: str) -> bytes:
    padded = owner.encode().ljust(OWNER_WIDTH)
    assert len(padded) == OWNER_WIDTH, owner
    return padded
