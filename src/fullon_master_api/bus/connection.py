"""Connections to Redis: one way to open them, and its errors as ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def open_redis(url: str, options: RedisOptions, *, connected: Callable[[], None] | None = None) -> Redis:
    """A client that answers bytes. It never repeats a command by itself: a publish that may have arrived would arrive twice.

    The pool replaces a connection that it finds closed without telling anybody; `connected` is called for each new one.
    """

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        if connected is not None:
            connected()

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=options.max_connections,
        timeout=options.timeout_s,
        socket_timeout=options.timeout_s,
        socket_connect_timeout=options.connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        redis_connect_func=greet,
    )
    return Redis.from_pool(pool)


@contextmanager
def cache_errors() -> Iterator[None]:
    """Whatever Redis or the way to it fails with, as CacheUnavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise CacheUnavailable(f"Redis does not answer: {error}") from error
