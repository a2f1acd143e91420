"""One read for all who ask at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fullon_master_api.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _LeaderLeft(Exception):
    """Whoever read for the others was cancelled: one of them reads instead."""


@dataclass(slots=True)
class _Batch(Generic[K, V]):
    keys: dict[K, None] = field(default_factory=dict)
    found: asyncio.Future[dict[K, V]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SharedReads(Generic[K, V]):
    """Joins the keys of all callers until the read before is done, then reads them in one call.

    The first caller of a batch reads for all of it, so no task is needed that somebody would have to own.
    """

    def __init__(self, read: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._read = read
        self._reading = asyncio.Lock()
        self._open: _Batch[K, V] | None = None

    async def get_many(self, keys: Sequence[K]) -> list[V]:
        """As the read itself: as many answers as keys, in their order. Raises: what the read raises of Unavailable."""
        while True:
            batch = self._open
            if batch is None:
                found = await self._lead(keys)
            else:
                batch.keys.update(dict.fromkeys(keys))
                try:
                    found = await asyncio.shield(batch.found)
                except _LeaderLeft:
                    continue
            return [found[key] for key in keys]

    async def _lead(self, keys: Sequence[K]) -> dict[K, V]:
        batch = self._open = _Batch(dict.fromkeys(keys))
        try:
            await asyncio.sleep(0)  # All who woke for the same reason come along.
            async with self._reading:
                self._open = None
                asked = list(batch.keys)
                found = dict(zip(asked, await self._read(asked), strict=True))
        except BaseException as error:
            if self._open is batch:
                self._open = None
            batch.found.set_exception(error if isinstance(error, Unavailable) else _LeaderLeft())
            batch.found.exception()  # There may be nobody else who waits for it.
            raise
        batch.found.set_result(found)
        return found
