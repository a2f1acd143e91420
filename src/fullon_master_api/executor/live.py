"""Live fields: how a schema declares a subscription, and what its resolver says about the stream it opens.

A resolver of a live field does not produce events. It checks who asks and returns a `Feed`: which topics, how a message
becomes an event, what a slow reader gets, who may share the work. The hub of the transport runs many readers of one feed with one
execution per event; under stock graphql-core the same declaration is an ordinary source stream over `ctx.bus`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

import strawberry

from fullon_master_api.errors import BadCursor, BadUserInput, HistoryGap, SlowConsumer
from fullon_master_api.executor.fields import argument_parameters
from fullon_master_api.model import Event, Gap, Principal

LIVE: Final = "fullon.live"
"""Key in a field's metadata under which the function that opens its feed lies."""

BACKLOG_MAX: Final = 10_000
"""Messages of one feed that may wait for their execution; lossy feeds keep the newest of each key long before."""

CONFLATE_ABOVE: Final = 256
MIN_INTERVAL_S_MAX: Final = 60.0
CURSOR_PREFIX: Final = "e1:"


class Delivery(Enum):
    """What a reader gets that cannot keep up."""

    LATEST = "latest"  # the newest event of each key: tickers, candles
    EVERY = "every"  # every event, or SLOW_CONSUMER: the public tape, which nobody can read again
    LOSSLESS = "lossless"  # every event of the outbox after a cursor, or SLOW_CONSUMER and a cursor to go on from


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Whose executions may be one: those with an equal share, the same operation and equal variables.

    The shared execution knows nothing else of its readers. `principal` is who it runs as; with None it must not ask who
    reads at all, and an operation that does ask is executed for each reader apart.
    """

    scope: Hashable
    principal: Principal | None = None


PUBLIC: Final = Share(scope="public")
"""The same answer for everybody who may open the feed."""


def own_share(principal: Principal) -> Share:
    """Shared by the sockets of one user that have equal rights; which credential each of them brought does not matter."""
    bare = Principal(uid=principal.uid, mail=principal.mail, role=principal.role, scopes=principal.scopes)
    return Share(scope=principal.uid, principal=bare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is true now, told before the first live event.

    `after` is the sequence of the last outbox event that is contained in it, so that the stream goes on without loss or
    double; None where the feed is not lossless.
    """

    events: Sequence[Any]
    after: int | None = None


Merge = Callable[[Sequence[Any], int, bool], Any]
"""`merge(events, sequence, gap)`: one event out of those that came together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What a live field streams: built by its resolver after the caller's rights were checked.

    project: `(topic, message) -> event`, None where there is nothing to tell; on lossless topics the message is the
        outbox `Event`.
    key: which events replace one another for a slow reader of a LATEST feed, the topic by default.
    merge: makes one event of the newest of each key, for streams of many topics; `sequence` rises by one with each event
        of the stream, `gap` says that events before this one were left out.
    share: None where each reader needs an execution of its own.
    snapshot: read once the topics are attached, so that nothing falls between it and the first live event.
    after: the outbox sequence to resume after; the snapshot is then not sent. LOSSLESS only, with exactly one topic.
    min_interval_s: least time between two events of one key; only the newest is sent. LATEST only.
    """

    topics: Sequence[str]
    project: Callable[[str, Any], Any]
    delivery: Delivery = Delivery.LATEST
    share: Share | None = None
    key: Callable[[str, Any], Hashable] | None = None
    merge: Merge | None = None
    snapshot: Callable[[], Awaitable[Snapshot]] | None = None
    after: int | None = None
    min_interval_s: float = 0.0

    def __post_init__(self) -> None:
        assert self.topics, "a feed needs a topic"
        lossless = self.delivery is Delivery.LOSSLESS
        assert not lossless or len(self.topics) == 1, "a lossless feed follows one topic: order holds within a topic only"
        assert lossless or self.after is None, "only a lossless feed has a history to resume from"
        assert self.delivery is Delivery.LATEST or self.merge is None, "only the newest values may be merged"
        if not 0 <= self.min_interval_s <= MIN_INTERVAL_S_MAX:
            raise BadUserInput(f"minInterval was {self.min_interval_s} s, must be 0 to {MIN_INTERVAL_S_MAX:g} s")
        assert self.delivery is Delivery.LATEST or not self.min_interval_s, "leaving events out is for LATEST feeds"


class Listening(Protocol):
    """A place on some topics of the bus."""

    def close(self) -> None: ...


class LiveBus(Protocol):
    """What a stream needs of the bus."""

    def listen(self, topics: Sequence[str], callback: Callable[[str, Any], None]) -> Listening: ...

    def follow(self, topic: str, after: int | None) -> AsyncGenerator[Event]: ...


class Backlog:
    """The messages of one feed that wait to be told, and how they become events."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._messages: list[tuple[str, Any]] = []
        self._conflate_above = 1 if feed.min_interval_s or feed.merge else CONFLATE_ABOVE
        self._gap = False
        self.sequence = 0
        self.conflated = 0
        self.error: SlowConsumer | HistoryGap | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, topic: str, message: Any) -> None:
        """Take a message from the bus. Never raises and never waits: the bus is in the middle of a delivery."""
        if type(message) is Gap:
            self._gap = True
            if self._feed.delivery is Delivery.EVERY:
                self._messages.append((topic, message))  # The feed says what a gap looks like among its events.
            return
        self._messages.append((topic, message))
        if len(self._messages) > BACKLOG_MAX and self.error is None and self._feed.delivery is not Delivery.LATEST:
            self.error = SlowConsumer(f"more than {BACKLOG_MAX} messages waited to be sent")
            self._messages.clear()
        elif len(self._messages) > 2 * CONFLATE_ABOVE and self._feed.delivery is Delivery.LATEST:
            self._keep_newest()

    def _keep_newest(self) -> None:
        key = self._feed.key
        newest: dict[Hashable, tuple[str, Any]] = {}
        for topic, message in self._messages:
            which = topic if key is None else key(topic, message)
            newest.pop(which, None)
            newest[which] = (topic, message)
        self.conflated += len(self._messages) - len(newest)
        self._messages = list(newest.values())

    def take(self) -> list[tuple[Hashable, Any]]:
        """(key, event) of what waited, in order; one merged event under the key None where the feed merges.

        Raises: SlowConsumer, HistoryGap where the stream cannot go on.
        """
        if self.error is not None:
            raise self.error
        feed = self._feed
        if feed.delivery is Delivery.LATEST and len(self._messages) > self._conflate_above:
            self._keep_newest()
        messages, self._messages = self._messages, []
        found: list[tuple[Hashable, Any]] = []
        for topic, message in messages:
            event = feed.project(topic, message)
            if event is not None:
                found.append((topic if feed.key is None else feed.key(topic, message), event))
        return found

    def go_on_from(self, other: Backlog) -> None:
        """Take over what waits in another backlog of the same feed."""
        self._messages, self._gap, self.sequence, self.error = list(other._messages), other._gap, other.sequence, other.error

    def merge(self, events: Sequence[Any], *, gap: bool = False) -> Any:
        """One event of many, with the next number of this stream."""
        assert self._feed.merge is not None
        self.sequence += 1
        gap, self._gap = gap or self._gap, False
        return self._feed.merge(events, self.sequence, gap)


def live(
    open_feed: Callable[..., Awaitable[Feed]],
    *,
    description: str,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    deprecation_reason: str | None = None,
) -> Any:
    """A field of Subscription: `ticker: Ticker = live(open_ticker, description="…")`.

    `async def open_ticker(ctx, *, exchange: str, symbol: str) -> Feed` checks the rights and raises a coded error where
    they are missing. Its keyword-only parameters are the field's GraphQL arguments, as in `batched`.
    """
    info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=strawberry.Info)

    async def subscribe(info: strawberry.Info, **given: Any) -> FeedStream:
        return FeedStream(await open_feed(info.context, **given), info.context.bus)

    subscribe.__name__ = getattr(open_feed, "__name__", "subscribe")
    subscribe.__qualname__ = getattr(open_feed, "__qualname__", "subscribe")
    subscribe.__module__ = open_feed.__module__
    subscribe.__signature__ = inspect.Signature([info, *argument_parameters(open_feed, arguments or {})])  # type: ignore[attr-defined]
    return strawberry.field(
        resolver=subscribe,
        is_subscription=True,
        name=name,
        description=description,
        deprecation_reason=deprecation_reason,
        metadata={LIVE: open_feed},
    )


class FeedStream:
    """A feed as a source stream of graphql-core. The hub takes `feed` out of it and never iterates."""

    def __init__(self, feed: Feed, bus: LiveBus) -> None:
        self.feed = feed
        self._bus = bus
        self._events: AsyncGenerator[Any] | None = None

    def __aiter__(self) -> FeedStream:
        return self

    async def __anext__(self) -> Any:
        if self._events is None:
            self._events = (
                _lossless(self.feed, self._bus) if self.feed.delivery is Delivery.LOSSLESS else _lossy(self.feed, self._bus)
            )
        return await self._events.__anext__()

    async def aclose(self) -> None:
        if self._events is not None:
            await self._events.aclose()


async def _lossy(feed: Feed, bus: LiveBus) -> AsyncGenerator[Any]:
    backlog, arrived = Backlog(feed), asyncio.Event()

    def receive(topic: str, message: Any) -> None:
        backlog.put(topic, message)
        arrived.set()

    listening = bus.listen(feed.topics, receive)
    try:
        if feed.snapshot is not None:
            snapshot = await feed.snapshot()
            for event in [backlog.merge(snapshot.events)] if feed.merge else snapshot.events:
                yield event
        while True:
            await arrived.wait()
            arrived.clear()
            found = [event for _, event in backlog.take()]
            for event in [backlog.merge(found)] if feed.merge and found else found:
                yield event
            if feed.min_interval_s and found:
                await asyncio.sleep(feed.min_interval_s)
    finally:
        listening.close()


async def _lossless(feed: Feed, bus: LiveBus) -> AsyncGenerator[Any]:
    topic, after = feed.topics[0], feed.after
    if after is None and feed.snapshot is not None:
        snapshot = await feed.snapshot()
        assert snapshot.after is not None, "the snapshot of a lossless feed must say which events it contains"
        after = snapshot.after
        for event in snapshot.events:
            yield event
    async with aclosing(bus.follow(topic, after)) as events:
        async for message in events:
            event = feed.project(topic, message)
            if event is not None:
                yield event


def stream_cursor(topic: str, sequence: int) -> str:
    """The opaque cursor of an outbox event, for `after` of the same stream."""
    return base64.urlsafe_b64encode(f"{CURSOR_PREFIX}{sequence}:{topic}".encode()).decode().rstrip("=")


def read_stream_cursor(topic: str, cursor: str | None) -> int | None:
    """The sequence behind a cursor of this topic; None for None. Raises BadCursor for anything this server never gave."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        raise BadCursor(
            "the cursor is not one of this server's: give back what an event's `cursor` said", path=("after",)
        ) from error
    sequence, _, of_topic = text.removeprefix(CURSOR_PREFIX).partition(":")
    if not text.startswith(CURSOR_PREFIX) or not sequence.isascii() or not sequence.isdigit() or len(sequence) > 18:
        raise BadCursor("the cursor is not one of this server's: give back what an event's `cursor` said", path=("after",))
    if of_topic != topic:
        raise BadCursor("the cursor belongs to another stream", path=("after",))
    return int(sequence)
