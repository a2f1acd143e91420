"""A stream of an exchange kept open: read, closed when it fails or stalls, opened again after a jittered wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Record
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedGauge

log = get_logger(__name__)
T = TypeVar("T")

REFUSED_RETRY_S: Final = 300.0
"""A symbol that the exchange does not have may be listed later, but not in the next second."""


class StreamPolicy(Record, frozen=True, kw_only=True):
    """Waits in seconds; `stalled_s` None: silence is normal on this stream."""

    first_s: float = 1.0
    max_s: float = 60.0
    stalled_s: float | None = None
    failures_max: int = 5  # after so many failures in a row the whole connection is worth replacing


async def keep_streaming(
    open_stream: Callable[[], AsyncGenerator[T, None]],
    take: Callable[[T], Awaitable[None]],
    *,
    gauge: FeedGauge,
    policy: StreamPolicy,
    on_open: Callable[[], None] = lambda: None,
    on_broken: Callable[[], None] = lambda: None,
) -> None:
    """Give every message to `take`, for ever; `on_open` is called before the first message of each new stream.

    Failures of the exchange, and of a store that `take` writes to, are noted on the gauge and followed by a wait; `on_broken`
    is called after `failures_max` of them in a row, of which a refusal is none. A credential that was denied ends it: trying
    again cannot help.
    Raises: ExchangeDenied, and whatever else `take` raises.
    """
    backoff = Backoff(first_s=policy.first_s, max_s=policy.max_s)
    while True:
        began = gauge.messages
        try:
            await _read(open_stream, take, gauge, policy.stalled_s, on_open)
        except ExchangeDenied as denied:
            gauge.failed(denied.message)
            raise
        except (Unavailable, ExchangeRefused) as error:
            if gauge.messages == began or isinstance(error, ExchangeRefused):
                gauge.failed(error.message)  # Not at the first time: a drop that is mended at once is only a reconnect.
            log.warning("feed.broken", feed=gauge.name, error=error.message)
            refused = isinstance(error, ExchangeRefused)
        else:
            refused = False
            log.info("feed.stalled", feed=gauge.name, stalled_s=policy.stalled_s)
        gauge.reconnects += 1
        if gauge.messages > began:
            backoff.reset()
        if refused:  # The connection did its work: a fresh one would be told the same, and the other symbols would lose theirs.
            await asyncio.sleep(REFUSED_RETRY_S)
            continue
        wait_s = backoff.next_s()
        if backoff.failures >= policy.failures_max:
            on_broken()
        await asyncio.sleep(wait_s)


async def _read(
    open_stream: Callable[[], AsyncGenerator[T, None]],
    take: Callable[[T], Awaitable[None]],
    gauge: FeedGauge,
    stalled_s: float | None,
    on_open: Callable[[], None],
) -> None:
    """Read one stream to its end; returns when it stalled, raises when it failed."""
    async with aclosing(open_stream()) as stream:
        opened = False
        while True:
            try:
                async with asyncio.timeout(stalled_s):
                    message = await anext(stream)
            except TimeoutError:
                return
            except StopAsyncIteration:
                raise ExchangeUnavailable(f"the stream {gauge.name} ended") from None
            if not opened:
                opened = True
                gauge.works()
                on_open()
            gauge.received(time.time_ns())
            await take(message)


async def pause(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so long; true when it came, and then it is cleared."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
