"""When something was last collected, by key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.model import Freshness

TTL_S: Final = 86_400.0
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


class Collected:
    """Moments by key. An older one than what is kept changes nothing; what was not collected for a day is forgotten."""

    def __init__(self, shelf: Shelf[Freshness], group: str) -> None:
        self._shelf, self._group = shelf, group

    async def mark(self, key: str, at: datetime | None = None) -> None:
        """Say that something was collected, now unless `at` says when. Raises: CacheUnavailable"""
        moment = datetime.now(UTC) if at is None else at
        fresh = Freshness(key=key, at_ns=(moment - EPOCH) // MICROSECOND * 1000)
        await self._shelf.put((self._group, key), fresh, version=fresh.at_ns, ttl_s=TTL_S)

    async def get_many(self, keys: Sequence[str]) -> list[datetime | None]:
        """When each was last collected, in the order asked; None where it was not, for a day. Raises: CacheUnavailable"""
        found = await self._shelf.get_many([(self._group, key) for key in keys])
        return [None if fresh is None else _moment(fresh) for fresh in found]

    async def all(self) -> dict[str, datetime]:
        """Every moment by its key."""
        return {fresh.key: _moment(fresh) for fresh in (await self._shelf.get_groups([self._group]))[0]}

    async def clear(self) -> int:
        """Forget all; how many there were."""
        return await self._shelf.delete([(self._group, key) for key in await self.all()])


def _moment(fresh: Freshness) -> datetime:
    return EPOCH + fresh.at_ns // 1000 * MICROSECOND
