"""Where the cache keeps records: entries by group and field, and bounded lists; in this process, with Redis's promises."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from fullon_master_api.bus import Bus
from fullon_master_api.errors import Conflict, StaleEpoch
from fullon_master_api.model import Fence, Record

R = TypeVar("R", bound=Record)

Key = tuple[str, str]
"""Group and field of an entry."""

STAMPS: Final = ("received_ns", "sequence")
"""Fields that say when a record came and not what it says: two tickers that differ only here are the same news."""


class Shelf(Protocol[R]):
    """Entries of one kind of record. Every write is atomic and, with a fence, refused once its lease has moved on."""

    async def get_many(self, keys: Sequence[Key]) -> list[R | None]:
        """The record of each key, in the order asked; None where there is none or its time is over."""
        ...

    async def get_groups(self, groups: Sequence[str]) -> list[list[R]]:
        """All records of each group, ordered by field."""
        ...

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
        """Keep `record` unless what is kept has a higher version or says the same at the same one; tell `topic` it, or `message`.

        A record with a `sequence` gets the next one of its key. Returns what was kept, None if it was no news.
        Raises: StaleEpoch
        """
        ...

    async def delete(self, keys: Sequence[Key]) -> int:
        """Forget these entries; how many there were."""
        ...

    async def hold(self, key: Key, record: R, *, owner: str, ttl_s: float) -> None:
        """Take or renew the entry for `owner`. Raises: Conflict while another owner has it."""
        ...

    async def release(self, key: Key, *, owner: str) -> bool:
        """Give the entry up; False if `owner` does not have it (any more)."""
        ...


class Lists(Protocol[R]):
    """Bounded lists of records, newest last. Reading never consumes."""

    async def append(
        self,
        group: str,
        records: Sequence[R],
        *,
        message: Record | None = None,
        topic: str | None = None,
        fence: Fence | None = None,
    ) -> None:
        """Add records, drop the oldest beyond the bound, tell `topic` the `message`. Raises: StaleEpoch"""
        ...

    async def get_last(self, group: str, count: int) -> list[R]:
        """The newest `count` records, oldest first."""
        ...


@dataclass(slots=True)
class _Entry(Generic[R]):
    record: R
    version: int
    expires_s: float  # monotonic
    owner: str | None = None


class Fences:
    """The highest epoch that wrote, of each service."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}

    def check(self, fence: Fence | None) -> None:
        if fence is None:
            return
        seen = self._epochs.get(fence.service, 0)
        if fence.epoch < seen:
            raise StaleEpoch(f"the lease of {fence.service!r} passed from epoch {fence.epoch} to {seen}")
        self._epochs[fence.service] = fence.epoch


class MemoryShelf(Generic[R]):
    """A shelf in this process: no write waits between its check and its change, so each is atomic."""

    def __init__(self, kind: type[R], bus: Bus, fences: Fences) -> None:
        self._groups: dict[str, dict[str, _Entry[R]]] = {}
        self._sequences: dict[Key, int] = {}
        self._expiring: list[tuple[float, Key]] = []
        self._awaited: set[Key] = set()
        self._bus, self._fences = bus, fences
        self._counts = "sequence" in kind.__struct_fields__
        self._unstamped = without_stamps(kind)

    async def get_many(self, keys: Sequence[Key]) -> list[R | None]:
        now_s = monotonic()
        entries = [self._groups.get(group, {}).get(field) for group, field in keys]
        return [None if entry is None or entry.expires_s <= now_s else entry.record for entry in entries]

    async def get_groups(self, groups: Sequence[str]) -> list[list[R]]:
        self._drop_expired()
        return [[entry.record for _field, entry in sorted(self._groups.get(group, {}).items())] for group in groups]

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
        self._fences.check(fence)
        self._drop_expired()
        kept = self._entry(key)
        if kept is not None:
            same = version == kept.version and self._unstamped(record) == self._unstamped(kept.record)
            if version < kept.version or same:
                return None
        if self._counts:
            sequence = self._sequences[key] = self._sequences.get(key, 0) + 1
            record = msgspec.structs.replace(record, sequence=sequence)
        self._keep(key, _Entry(record, version, self._expires_s(key, ttl_s)))
        if topic is not None:
            await self._bus.publish(topic, record if message is None else message)
        return record

    async def delete(self, keys: Sequence[Key]) -> int:
        self._drop_expired()
        return sum(self._forget(key) for key in keys)

    async def hold(self, key: Key, record: R, *, owner: str, ttl_s: float) -> None:
        self._drop_expired()
        kept = self._entry(key)
        if kept is not None and kept.owner != owner:
            raise Conflict(f"{':'.join(key)} is held by {kept.owner}")
        self._keep(key, _Entry(record, 0, self._expires_s(key, ttl_s), owner))

    async def release(self, key: Key, *, owner: str) -> bool:
        self._drop_expired()
        kept = self._entry(key)
        return kept is not None and kept.owner == owner and self._forget(key)

    def _entry(self, key: Key) -> _Entry[R] | None:
        return self._groups.get(key[0], {}).get(key[1])

    def _keep(self, key: Key, entry: _Entry[R]) -> None:
        self._groups.setdefault(key[0], {})[key[1]] = entry

    def _forget(self, key: Key) -> bool:
        group = self._groups.get(key[0], {})
        there = group.pop(key[1], None) is not None
        if not group:
            self._groups.pop(key[0], None)
        return there

    def _expires_s(self, key: Key, ttl_s: float | None) -> float:
        if ttl_s is None:
            return float("inf")
        expires_s = monotonic() + ttl_s
        if key not in self._awaited:  # One place in the heap for each key, however often it is renewed.
            self._awaited.add(key)
            heappush(self._expiring, (expires_s, key))
        return expires_s

    def _drop_expired(self) -> None:
        now_s = monotonic()
        while self._expiring and self._expiring[0][0] <= now_s:
            _expires_s, key = heappop(self._expiring)
            self._awaited.discard(key)
            entry = self._entry(key)
            if entry is None:
                continue
            if entry.expires_s <= now_s:
                self._forget(key)
            elif entry.expires_s < float("inf"):
                self._awaited.add(key)
                heappush(self._expiring, (entry.expires_s, key))


class MemoryLists(Generic[R]):
    """Bounded lists in this process."""

    def __init__(self, bus: Bus, fences: Fences, *, size_max: int) -> None:
        self._groups: dict[str, deque[R]] = {}
        self._bus, self._fences, self._size_max = bus, fences, size_max

    async def append(
        self,
        group: str,
        records: Sequence[R],
        *,
        message: Record | None = None,
        topic: str | None = None,
        fence: Fence | None = None,
    ) -> None:
        self._fences.check(fence)
        self._groups.setdefault(group, deque(maxlen=self._size_max)).extend(records)
        if topic is not None and message is not None:
            await self._bus.publish(topic, message)

    async def get_last(self, group: str, count: int) -> list[R]:
        kept = self._groups.get(group, deque())
        return list(islice(kept, max(0, len(kept) - count), None))


def without_stamps(kind: type[R]) -> Callable[[R], R]:
    """A function that blanks the stamps of a record of this kind."""
    blank = {name: 0 for name in STAMPS if name in kind.__struct_fields__}
    if not blank:
        return lambda record: record
    return lambda record: msgspec.structs.replace(record, **blank)
