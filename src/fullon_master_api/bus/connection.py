"""Connections to Redis: one way to open them, and its errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.model import Record


class RedisOptions(Record, frozen=True, kw_only=True):
    """Limits of a process's connections; a command that finds none free waits for one as long as for an answer."""

    max_connections: int = 50
    timeout_s: float = 5.0
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class RedisLink:
    """A client that answers bytes, and the time its answers may take.

    The time is kept here and not by redis-py: its `socket_timeout` waits with `asyncio.wait_for`, which in Python 3.11 takes
    a cancellation for an answer when both come at once (python/cpython#86296), and the cancelled task lives on.
    """

    redis: Redis
    timeout_s: float

    @asynccontextmanager
    async def answering(self, more_s: float = 0.0) -> AsyncIterator[None]:
        """Whatever Redis or the way to it fails with, as CacheUnavailable; no answer is a failure after `timeout_s`."""
        try:
            async with asyncio.timeout(self.timeout_s + more_s):
                yield
        except TimeoutError as error:
            raise CacheUnavailable(f"Redis does not answer: nothing came within {self.timeout_s + more_s:g} s") from error
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"Redis does not answer: {error}") from error


def open_redis(url: str, options: RedisOptions, *, connected: Callable[[], None] | None = None) -> RedisLink:
    """Connections that open when they are needed; close them by `link.redis.aclose()`.

    The client never repeats a command by itself: a publish that may have arrived would arrive twice. Its pool replaces a
    connection that it finds closed without telling anybody; `connected` is called for each new one.
    """

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        if connected is not None:
            connected()

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=options.max_connections,
        timeout=options.timeout_s,
        socket_timeout=None,
        socket_connect_timeout=options.connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        redis_connect_func=greet,
    )
    return RedisLink(Redis.from_pool(pool), options.timeout_s)
