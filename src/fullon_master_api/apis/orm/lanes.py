"""Connections of the pool that reads hand to one another, without asking the pool each time."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import asyncpg
from sqlalchemy import PoolProxiedConnection, QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

LANE_S: Final = 2.0
"""A connection goes back to the pool so long after it was taken from it, so that the pool's rules go on to hold for it."""
USED_AT: Final = "fullon.used_at"
"""Key in a pool's entry: when the connection that comes back was last used."""


@dataclass(slots=True)
class Lane:
    """A connection of the pool while it is ours."""

    connection: PoolProxiedConnection
    driver: Any
    until_s: float
    used_s: float


class Lanes:
    """The connections that reads of one engine have taken from its pool.

    Taking a connection from the pool and giving it back costs as much as a short statement, so a read leaves it to the next one.
    The pool's bounds stay those of all: a lane that nobody uses is given back where the pool has no other connection left.
    """

    def __init__(self, engine: AsyncEngine, connections_max: int) -> None:
        self._engine = engine
        self._connections_max = connections_max
        self._idle: list[Lane] = []

    async def take(self) -> Lane:
        """A connection for one reader. Raises: what the pool raises."""
        while self._idle:
            lane = self._idle.pop()
            if monotonic() < lane.until_s and not _is_gone(lane.driver):
                return lane
            await self._give_back(lane)
        connection = await self._engine.raw_connection()
        now_s = monotonic()
        return Lane(connection, connection.driver_connection, now_s + LANE_S, now_s)

    async def leave(self, lane: Lane) -> None:
        """For the next reader, if the pool has connections left for others."""
        lane.used_s = monotonic()
        if lane.used_s < lane.until_s and not self._is_empty():
            self._idle.append(lane)
        else:
            await self._give_back(lane)

    async def drop(self, lane: Lane, error: BaseException) -> None:
        """A reader left in the middle: an answer may still come, which nobody else may take for theirs."""
        await greenlet_spawn(lane.connection.invalidate, error)
        await greenlet_spawn(lane.connection.close)

    async def make_room(self) -> None:
        """Before somebody asks the pool itself: give back what no reader uses, if it has nothing else left."""
        if self._is_empty():
            await self.aclose()

    async def aclose(self) -> None:
        while self._idle:
            await self._give_back(self._idle.pop())

    def _is_empty(self) -> bool:
        pool = self._engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout() >= self._connections_max

    async def _give_back(self, lane: Lane) -> None:
        info = lane.connection.record_info
        assert info is not None, "the lane was given back before"
        info[USED_AT] = lane.used_s
        await greenlet_spawn(lane.connection.close)


def _is_gone(driver: Any) -> bool:
    """Whether the server has closed the connection."""
    return isinstance(driver, asyncpg.Connection) and driver.is_closed()
