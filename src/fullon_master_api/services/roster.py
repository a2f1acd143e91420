"""One task for each key that is wanted: started when the key comes, cancelled and awaited when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

K = TypeVar("K")


class Roster(Generic[K]):
    """Children of a `TaskGroup`, which stays their owner: an error of one ends all of them and is raised there."""

    def __init__(self, tasks: asyncio.TaskGroup, start: Callable[[K], Coroutine[Any, Any, None]]) -> None:
        self._group, self._start = tasks, start
        self._tasks: dict[K, asyncio.Task[None]] = {}

    @property
    def keys(self) -> set[K]:
        return set(self._tasks)

    async def want(self, keys: Iterable[K]) -> None:
        """Have exactly these. A task that came to its end by itself is not started again while its key stays."""
        wanted = set(keys)
        gone = [self._tasks.pop(key) for key in list(self._tasks) if key not in wanted]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        for key in wanted - self._tasks.keys():
            self._tasks[key] = self._group.create_task(self._start(key), name=str(key))
