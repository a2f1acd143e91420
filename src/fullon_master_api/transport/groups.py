"""Readers of one stream: those who share it get every event from one execution and one serialisation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from fullon_master_api.errors import SlowConsumer
from fullon_master_api.executor.engine import Prepared
from fullon_master_api.executor.live import Backlog, Delivery, Feed
from fullon_master_api.tracing import span
from fullon_master_api.transport.links import PARTS_BYTES_MAX, Link, Rendered, spelling_of
from fullon_master_api.transport.protocols import Wire

if TYPE_CHECKING:
    from fullon_master_api.transport.hub import Hub

PENDING_MAX: Final = 1_000
PENDING_BYTES_MAX: Final = 262_144
SPREAD_BUDGET_S: Final = 0.002
"""How long events are handed to readers before other work of the loop gets its turn."""

SPREAD_STEP: Final = 64
"""Readers that are served between two looks at the clock."""


class Outlet(Protocol):
    """Where the events of one subscription go: a socket's operation or an HTTP stream."""

    def context(self) -> Any:
        """A fresh context of this reader, for an execution that is not shared."""
        ...

    async def wait_ready(self) -> None:
        """Until the reader is no longer behind."""
        ...

    def fail(self, error: Exception) -> None:
        """End this subscription with an error: a coded one as itself, any other as INTERNAL, logged with the request id."""
        ...


class Waiting:
    """An event that one reader has not taken: its parts by key, and its body where it can be sent as it is."""

    __slots__ = ("body", "event")

    def __init__(self, event: Any, body: Rendered | None) -> None:
        self.event = event
        self.body = body


class Member:
    """One subscription's place in a group. `pending` is None while it keeps up."""

    __slots__ = ("_count", "bytes_pending", "group", "held", "link", "outlet", "pending", "spelling", "tail", "wire")

    def __init__(self, outlet: Outlet, link: Link, wire: Wire, tail: bytes) -> None:
        self.outlet = outlet
        self.link = link
        self.wire = wire
        self.tail = tail
        self.spelling = spelling_of(wire, tail)
        self.group: Group | None = None
        self.pending: dict[Hashable, Waiting] | None = None
        self.held = False
        self.bytes_pending = 0
        self._count = 0

    def deliver(self, event: Rendered) -> None:
        self.link.deliver(event, self)

    def leave(self) -> None:
        """Get no more events."""
        if self.group is not None:
            self.group.remove(self)

    def park(self, key: Hashable, waiting: Waiting, feed: Feed) -> bool:
        """Keep an event for later. True when it took the place of an older one. Raises SlowConsumer when full."""
        if self.pending is None:
            self.pending = {}
        if feed.delivery is Delivery.EVERY:
            self._count += 1
            key = self._count
        older = self.pending.pop(key, None)
        self.pending[key] = waiting
        if waiting.body is not None:
            self.bytes_pending += len(waiting.body.body)
        if older is not None and older.body is not None:
            self.bytes_pending -= len(older.body.body)
        count = len(self.pending)
        if count > PENDING_MAX or (self.bytes_pending > PENDING_BYTES_MAX and count > 1):
            raise SlowConsumer(f"more than {PENDING_MAX} events or {PENDING_BYTES_MAX} bytes waited to be read")
        return older is not None

    def resume(self) -> None:
        """The reader keeps up again: hand over what waited."""
        if self.group is not None and self.pending is not None and not self.held:
            self.group.catch_up(self)


class Column:
    """Members that keep up and whose messages are spelled alike: handing an event out reads their links and tails alone.

    With tens of thousands of members that is what the processor waits for, so the members themselves are left untouched.
    """

    __slots__ = ("links", "members", "tails")

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.links = [member.link for member in members]
        self.tails = [member.tail for member in members]


class Rows:
    """All members of a group, as they are until one comes, goes, falls behind or catches up."""

    __slots__ = ("behind", "columns")

    def __init__(self, members: Iterable[Member]) -> None:
        alike: dict[int, list[Member]] = {}
        self.behind: list[Member] = []
        for member in members:
            if member.pending is None:
                alike.setdefault(member.spelling, []).append(member)
            else:
                self.behind.append(member)
        self.columns = [Column(found) for found in alike.values()]


class Group:
    """One feed, one operation, one set of variables, one scope: executed once per event for all its members."""

    def __init__(
        self,
        hub: Hub,
        key: Hashable,
        prepared: Prepared,
        variables: Mapping[str, Any],
        feed: Feed,
        context: Callable[[], Any],
    ) -> None:
        self.key = key
        self.feed = feed
        self.prepared = prepared
        self.variables = variables
        self.context = context
        self.members: dict[Member, None] = {}
        self._hub = hub
        self._backlog = Backlog(feed)
        self._listening = hub.bus.listen(feed.topics, self._receive)
        self._pump: asyncio.Task[None] | None = None
        self._ahead: list[tuple[Hashable, Any]] = []
        self._rows: Rows | None = None
        self._single = False  # whether one event alone is being told
        self._next_at = 0.0
        self._arrived_at_s = 0.0
        self.closed = False

    def add(self, member: Member, *, held: bool) -> None:
        """Let a reader in. A held one gets nothing until `release`: its snapshot comes first."""
        assert not self.closed
        member.group = self
        member.held = held
        member.pending = {} if held else None
        self.members[member] = None
        self._rows = None

    def remove(self, member: Member) -> None:
        """Let a reader go; the last one closes the group."""
        self.members.pop(member, None)
        self._rows = None
        member.group = None
        member.pending = None
        if not self.members:
            self.close()

    def release(self, member: Member) -> None:
        """The snapshot is on its way: what came meanwhile follows."""
        member.held = False
        if member.group is self:
            self.catch_up(member)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._listening.close()
            self._hub.forget(self)
            if self._pump is not None and self._pump is not asyncio.current_task():
                self._pump.cancel()

    def _receive(self, topic: str, message: Any) -> None:
        self._backlog.put(topic, message)
        if self._pump is None:
            self._arrived_at_s = monotonic()
            self._start()

    def _start(self) -> None:
        self._hub.telling += 1
        self._pump = self._hub.spawn(self._run(), "live.group")
        self._pump.add_done_callback(self._stopped)

    def _stopped(self, _pump: asyncio.Task[None]) -> None:
        self._hub.telling -= 1

    async def _run(self) -> None:
        try:
            while not self.closed and (self._ahead or self._backlog or self._backlog.error):
                found, self._ahead = self._ahead, []
                if not found:
                    await self._wait_for_turn()
                    before = self._backlog.conflated
                    found = self._backlog.take()
                    self._hub.figures.conflated += self._backlog.conflated - before
                self._single = len(found) == 1
                with span("live event", events=len(found), readers=len(self.members)):
                    await (self._tell_each(found) if self.feed.merge is None else self._tell_merged(found))
                now_s = monotonic()
                self._hub.figures.lag.observe(now_s - self._arrived_at_s)
                self._arrived_at_s = now_s
        except Exception as error:  # Told to every reader: a coded error as itself, a fault of ours as INTERNAL.
            for member in list(self.members):
                member.outlet.fail(error)
            self.close()
        finally:
            self._pump = None

    async def _wait_for_turn(self) -> None:
        interval = self.feed.min_interval_s
        if interval:
            wait_s = self._next_at - monotonic()
            if wait_s > 0:
                self._hub.telling -= 1
                try:
                    await asyncio.sleep(wait_s)
                finally:
                    self._hub.telling += 1
            self._next_at = self._arrived_at_s = monotonic()
            self._next_at += interval

    async def _tell_each(self, found: Sequence[tuple[Hashable, Any]]) -> None:
        for number, (key, event) in enumerate(found):
            rendered = await self._render(event)
            if rendered is None:
                self._part(found[number:])
                return
            await self._spread([(key, Waiting(event, rendered))], rendered)

    async def _tell_merged(self, found: Sequence[tuple[Hashable, Any]]) -> None:
        if not found:
            return
        rendered = await self._render(self._backlog.merge([event for _, event in found]))
        if rendered is None:
            self._backlog.sequence -= 1
            self._part(found)
            return
        await self._spread([(key, Waiting(event, None)) for key, event in found], rendered)

    async def _render(self, event: Any) -> Rendered | None:
        """The event's body; None where the execution asked who reads, so that it cannot be shared."""
        context = self.context()
        self._hub.figures.executions += 1
        body = await self._hub.engine.execute_event(self.prepared, self.variables, context, event)
        return None if self._hub.asked_who_reads(context) else Rendered(body)

    def _part(self, found: Sequence[tuple[Hashable, Any]]) -> None:
        """Give each member a group of its own, which goes on with these events. No await: no message slips between."""
        self._hub.mark_unshareable(self)
        for member in list(self.members):
            held, pending = member.held, member.pending
            heir = self._hub.group_alone(self, member)
            heir.inherit(self._backlog, found)
            heir.add(member, held=held)
            member.pending = pending
        self.members.clear()
        self.close()

    def inherit(self, backlog: Backlog, found: Sequence[tuple[Hashable, Any]]) -> None:
        """Go on where another group of the same feed stopped."""
        self._ahead = list(found)
        self._backlog.go_on_from(backlog)
        self._start()

    async def _spread(self, parts: Sequence[tuple[Hashable, Waiting]], rendered: Rendered) -> None:
        """Hand one event to all members, in slices that leave the loop its breath."""
        with span("live deliver", readers=len(self.members)):
            self._hub.figures.delivered += await self._hand_out(parts, rendered)

    async def _hand_out(self, parts: Sequence[tuple[Hashable, Waiting]], rendered: Rendered) -> int:
        """How many members took it at once. Where it is the only event of the moment, sockets are written in the same pass."""
        flusher = self._hub.flusher
        direct = self._hub.telling == 1 and self._single and flusher.begin_round()
        rows = self._rows = self._rows or Rows(self.members)
        until, delivered = monotonic() + SPREAD_BUDGET_S, 0
        for column in rows.columns:
            for start in range(0, len(column.members), SPREAD_STEP):
                if monotonic() > until:
                    await asyncio.sleep(0)
                    until = monotonic() + SPREAD_BUDGET_S
                flusher.direct = direct
                try:
                    delivered += self._hand_to(rows, column, start, parts, rendered)
                finally:
                    flusher.direct = False
        for number, member in enumerate(rows.behind, 1):
            delivered += self._hand_to_one(member, parts, rendered)
            if number % SPREAD_STEP == 0:
                await asyncio.sleep(0)
        return delivered

    def _hand_to(
        self, rows: Rows, column: Column, start: int, parts: Sequence[tuple[Hashable, Waiting]], rendered: Rendered
    ) -> int:
        """To the next members of a column: those whose next write is due take it without a call."""
        links, tails = column.links[start : start + SPREAD_STEP], column.tails[start : start + SPREAD_STEP]
        frame, delivered = rendered.frame(column.members[0]), len(links)
        size = len(frame) + len(tails[0])
        for position, link in enumerate(links):
            if link.joining and self._rows is rows:
                waiting = link.parts
                waiting.append(frame)
                waiting.append(tails[position])
                link.parts_bytes += size
                if link.parts_bytes > PARTS_BYTES_MAX:
                    link.flush()
            elif not link.paused and self._rows is rows:
                link.deliver(rendered, column.members[start + position])
            elif not self._hand_to_one(column.members[start + position], parts, rendered):
                delivered -= 1
        return delivered

    def _hand_to_one(self, member: Member, parts: Sequence[tuple[Hashable, Waiting]], rendered: Rendered) -> bool:
        """Whether this member took it at once; one that is behind keeps it, one that has left gets nothing."""
        if member.group is not self:
            return False
        if member.pending is None and not member.link.paused:
            member.link.deliver(rendered, member)
            return True
        self._park(member, parts)
        return False

    def _park(self, member: Member, parts: Sequence[tuple[Hashable, Waiting]]) -> None:
        if member.pending is None:
            self._rows = None
        try:
            for key, waiting in parts:
                self._hub.figures.conflated += member.park(key, waiting, self.feed)
        except SlowConsumer as error:
            self._hub.figures.slow_consumers += 1
            member.outlet.fail(error)

    def catch_up(self, member: Member) -> None:
        """Hand a reader what waited for it, as far as it takes it."""
        pending = member.pending
        if self.feed.merge is not None and pending:
            if not member.link.paused:
                events = [waiting.event for waiting in pending.values()]
                member.pending, member.held, member.bytes_pending = {}, True, 0
                self._hub.spawn(self._tell_late(member, events), "live.late")
            return
        while pending and not member.link.paused:
            waiting = pending.pop(next(iter(pending)))
            assert waiting.body is not None
            member.bytes_pending -= len(waiting.body.body)
            member.deliver(waiting.body)
            self._hub.figures.delivered += 1
        if not pending:
            member.pending, member.bytes_pending = None, 0
            self._rows = None

    async def _tell_late(self, member: Member, events: list[Any]) -> None:
        """The newest values of what a slow reader missed, as one event of its own that says there was a gap."""
        assert self.feed.merge is not None
        await self._tell_alone(member, self.feed.merge(events, self._backlog.sequence, True))
        if member.group is not None:
            member.group.release(member)

    async def tell_snapshot(self, member: Member) -> None:
        """Read what is true now and tell it to one reader."""
        assert self.feed.snapshot is not None
        events = (await self.feed.snapshot()).events
        for event in events if self.feed.merge is None else [self.feed.merge(events, self._backlog.sequence, False)]:
            await self._tell_alone(member, event)

    async def _tell_alone(self, member: Member, event: Any) -> None:
        """An event for one reader, executed as that reader."""
        try:
            self._hub.figures.executions += 1
            body = await self._hub.engine.execute_event(self.prepared, self.variables, member.outlet.context(), event)
        except Exception as error:  # Told to the reader: a coded error as itself, a fault of ours as INTERNAL.
            member.outlet.fail(error)
        else:
            if member.group is not None:
                member.deliver(Rendered(body))
                self._hub.figures.delivered += 1
