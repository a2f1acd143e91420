"""The live hub: every socket and stream of this process, the groups they share, and who ends them."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any, Final, Protocol, cast

import orjson

from fullon_master_api.bus import Bus
from fullon_master_api.errors import Forbidden, GatewayError, ServerShutdown, SlowConsumer, Unauthenticated
from fullon_master_api.executor.engine import Engine, Prepared
from fullon_master_api.executor.live import Delivery, Feed, Share, stream_cursor
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal
from fullon_master_api.transport.figures import Figures
from fullon_master_api.transport.flush import Flusher
from fullon_master_api.transport.groups import Group, Member
from fullon_master_api.transport.links import Rendered
from fullon_master_api.transport.opening import Opener

log = get_logger(__name__)

SWEEP_S: Final = 0.25
EXAMINE_S: Final = 0.4
EXAMINED_PER_S: Final = 500
UNSHAREABLE_MAX: Final = 1_000
RENDERED_MAX: Final = 256
OPENING_MAX: Final = 64

MakeContext = Callable[[Principal | None, str, str], Any]
"""`make_context(principal, request_id, address)`: a fresh context, for one operation or one event; the hub gives no address."""


class Watched(Protocol):
    """A socket or an HTTP stream that the hub looks after."""

    due_s: float
    """When `check` has something to do next, on the monotonic clock."""

    def check(self, now_s: float) -> None:
        """Called once `due_s` has come: time limits, heartbeat, the end of the credential. Sets `due_s` anew."""
        ...

    def end(self, error: GatewayError) -> None:
        """Tell every operation why, then close."""
        ...

    @property
    def principal(self) -> Principal | None: ...

    @property
    def uid(self) -> int | None: ...

    @property
    def credential(self) -> object:
        """Equal for those who came with the same credential; None without one."""
        ...

    async def identify(self) -> Principal | None:
        """Whom the credential names now. Raises Unauthenticated when it does not hold any more."""
        ...


class NotShared(Forbidden):
    """Never told: the answer that contains it is thrown away, and each reader gets one of his own."""


class Stranger:
    """Stands for the signed-in reader of a shared execution: whoever asks it anything learns that it must not be shared."""

    def __init__(self) -> None:
        self.armed = False  # while a context is made around it, being looked at means nothing
        self.asked = False

    def __getattr__(self, name: str) -> Any:
        if not self.armed:
            return None
        self.asked = True
        raise NotShared(f"a shared execution asked its reader for {name!r}")


class Hub:
    """Owns all live work of this process: use it as `async with Hub(…) as hub`."""

    def __init__(
        self, bus: Bus, engine: Engine, make_context: MakeContext, *, stall_s: float = 30.0, window_s: float = 0.005
    ) -> None:
        self.bus = bus
        self.engine = engine
        self.make_context = make_context
        self.figures = Figures()
        self.flusher = Flusher(self.figures, window_s)
        self.telling = 0
        """Groups that have events to tell at this moment."""
        self.draining = False
        self.watched: dict[Watched, None] = {}
        self._enrolled: dict[object, dict[Watched, None]] = {}
        self.addresses: Counter[str] = Counter()
        self.users: Counter[int] = Counter()
        self._stall_s = stall_s
        self._groups: dict[Hashable, Group] = {}
        self._unshareable: OrderedDict[Hashable, None] = OrderedDict()
        self._lossless: dict[Hashable, Lossless] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self._opener = Opener(engine)

    async def __aenter__(self) -> Hub:
        self.spawn(self._sweep(), "live.sweep")
        self.spawn(self._reexamine(), "live.reexamine")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.flusher.close()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something as the hub's own: cancelled and awaited when the hub closes, its failure logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("live.task_failed", task=task.get_name(), exc_info=error)

    def count_members(self) -> tuple[int, int]:
        """(readers in all groups, those of them that are behind)."""
        members = [member for group in self._groups.values() for member in group.members]
        return len(members), sum(member.pending is not None for member in members)

    def get_depths(self) -> dict[str, int]:
        """How many readers there are, how many of them are behind, and what waits for these."""
        return self.figures.depths([member for group in self._groups.values() for member in group.members])

    # ---- sockets and streams -------------------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        self.watched[watched] = None

    def admit(self, address: str, most: int, most_of_one: int) -> bool:
        """Count a socket in, unless there are too many already, or too many of its address."""
        if self.draining or self.figures.sockets >= most or self.addresses[address] >= most_of_one:
            self.figures.sockets_refused += 1
            return False
        self.figures.sockets += 1
        self.figures.sockets_accepted += 1
        self.addresses[address] += 1
        return True

    def dismiss(self, address: str) -> None:
        """Count a socket out."""
        self.figures.sockets -= 1
        self.addresses[address] -= 1
        if not self.addresses[address]:
            del self.addresses[address]

    def unwatch(self, watched: Watched) -> None:
        self.watched.pop(watched, None)

    def enroll(self, watched: Watched) -> Watched | None:
        """Look after the credential that this one came with; another one that came with the same, if there is one."""
        if watched.credential is None:
            return None
        group = self._enrolled.setdefault(watched.credential, {})
        twin = next(iter(group), None)
        group[watched] = None
        return twin

    def expel(self, watched: Watched) -> None:
        """Its credential is no longer its own, or it is gone."""
        group = self._enrolled.get(watched.credential)
        if group is not None:
            group.pop(watched, None)
            if not group:
                del self._enrolled[watched.credential]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = monotonic()
            for number, watched in enumerate(list(self.watched)):
                if watched.due_s <= now_s:
                    watched.check(now_s)
                if not number & 1023:
                    await asyncio.sleep(0)

    async def _reexamine(self) -> None:
        """Ask again, a few times a second, whether the credentials of open sockets still hold and mean the same.

        A deactivated user, an ended session, a revoked key and a changed role thus end their streams on every node. Each
        credential is asked for once, whatever the number of its sockets, and no more than `EXAMINED_PER_S` of them a second.
        """
        while True:
            began_s = monotonic()
            for number, group in enumerate(list(self._enrolled.values()), start=1):
                await self._examine(list(group))
                if not number % EXAMINED_PER_S:
                    await asyncio.sleep(max(0.0, began_s + number / EXAMINED_PER_S - monotonic()))
            await asyncio.sleep(max(SWEEP_S, began_s + EXAMINE_S - monotonic()))

    async def _examine(self, group: list[Watched]) -> None:
        ended: GatewayError | None = None
        principal: Principal | None = None
        if not group:
            return
        try:
            principal = await group[0].identify()
        except Unauthenticated as error:
            ended = error
        except GatewayError as error:  # The store is away: nothing is known against them.
            log.warning("live.not_examined", error=error.message)
            return
        for watched in group:
            known = watched.principal
            changed = known is None or principal is None or (known.role, known.scopes) != (principal.role, principal.scopes)
            if ended is not None or changed:
                watched.end(ended or Unauthenticated("what this credential allows has changed: connect again"))

    def drain(self) -> None:
        """Tell every stream that the server goes away, and close. New ones are refused from now on."""
        self.draining = True
        for watched in list(self.watched):
            watched.end(ServerShutdown("the server is going away: connect again"))

    def disconnect_user(self, uid: int, error: GatewayError) -> int:
        """End all sockets and streams of a user on this node; how many there were."""
        found = [watched for watched in self.watched if watched.uid == uid]
        for watched in found:
            watched.end(error)
        return len(found)

    # ---- streams -------------------------------------------------------------------------------------------------------

    async def run_stream(
        self, member: Member, prepared: Prepared, variables: Mapping[str, Any], principal: Principal | None
    ) -> None:
        """Open a subscription and see its snapshot out. Returns when it lives in a group; a lossless one runs until it ends."""
        # A crowd that reconnects opens its streams in turn: the stores see a queue, and other work is not buried under it.
        async with self._opening:
            feed = await self._opener.open(prepared, variables, member.outlet.context())
        self.figures.streams_opened += 1
        if feed.delivery is Delivery.LOSSLESS:
            await self._follow(member, prepared, variables, feed)
            return
        group = self._group(prepared, variables, feed, principal, member)
        group.add(member, held=feed.snapshot is not None)
        if feed.snapshot is not None:
            await group.tell_snapshot(member)
            if member.group is not None:
                member.group.release(member)

    def _group(
        self, prepared: Prepared, variables: Mapping[str, Any], feed: Feed, principal: Principal | None, member: Member
    ) -> Group:
        key = _share_key(prepared, variables, feed.share, principal)
        if key is None or (prepared, feed.share) in self._unshareable:
            return self._open_group(object(), prepared, variables, feed, member.outlet.context)
        assert feed.share is not None
        return self._groups.get(key) or self._open_group(key, prepared, variables, feed, self._shared(feed.share, principal))

    def _shared(self, share: Share, principal: Principal | None) -> Callable[[], Any]:
        """Makes contexts that know the share and nothing else of their readers, except whether they are signed in at all."""

        def context() -> Any:
            if share.principal is not None or principal is None:
                return self.make_context(share.principal, "live", "")
            stranger = Stranger()
            made = self.make_context(cast("Principal", stranger), "live", "")
            stranger.armed = True
            return made

        return context

    def _open_group(
        self, key: Hashable, prepared: Prepared, variables: Mapping[str, Any], feed: Feed, context: Callable[[], Any]
    ) -> Group:
        group = self._groups[key] = Group(self, key, prepared, variables, feed, context)
        self.figures.groups = len(self._groups)
        return group

    def group_alone(self, group: Group, member: Member) -> Group:
        """A group of the same stream for one member, executed as that member."""
        return self._open_group(object(), group.prepared, group.variables, group.feed, member.outlet.context)

    def mark_unshareable(self, group: Group) -> None:
        """Later readers of this operation are not grouped at all."""
        self._unshareable[(group.prepared, group.feed.share)] = None
        if len(self._unshareable) > UNSHAREABLE_MAX:
            self._unshareable.popitem(last=False)

    def forget(self, group: Group) -> None:
        if self._groups.get(group.key) is group:
            del self._groups[group.key]
        self.figures.groups = len(self._groups)

    def asked_who_reads(self, context: Any) -> bool:
        principal = context.principal
        return type(principal) is Stranger and principal.asked

    # ---- lossless ------------------------------------------------------------------------------------------------------

    async def _follow(self, member: Member, prepared: Prepared, variables: Mapping[str, Any], feed: Feed) -> None:
        """Every event after the cursor, at the reader's own pace: what it has not taken stays in the store."""
        topic, after = feed.topics[0], feed.after
        if after is not None:
            self.figures.resumed += 1
        elif feed.snapshot is not None:
            snapshot = await feed.snapshot()
            after = snapshot.after
            for event in snapshot.events:
                self.figures.executions += 1
                member.deliver(Rendered(await self.engine.execute_event(prepared, variables, member.outlet.context(), event)))
        key = _share_key(prepared, variables, feed.share, None) or object()
        shared = self._lossless.setdefault(key, Lossless())
        shared.readers += 1
        try:
            async with aclosing(self.bus.follow(topic, after)) as events:
                async for message in events:
                    event = feed.project(topic, message)
                    if event is None:
                        continue
                    rendered = await self._render_once(shared, message.sequence, prepared, variables, feed, member, event)
                    await self._wait_for(member, topic, message.sequence)
                    member.deliver(rendered)
                    member.link.flush()
                    self.figures.delivered += 1
        finally:
            shared.readers -= 1
            if not shared.readers:
                self._lossless.pop(key, None)

    async def _render_once(
        self,
        shared: Lossless,
        sequence: int,
        prepared: Prepared,
        variables: Mapping[str, Any],
        feed: Feed,
        member: Member,
        event: Any,
    ) -> Rendered:
        """The event's body, executed by the first of its readers and kept for the others."""
        if feed.share is None or feed.share.principal is None:
            self.figures.executions += 1
            return Rendered(await self.engine.execute_event(prepared, variables, member.outlet.context(), event))
        async with shared.turn:
            rendered = shared.rendered.get(sequence)
            if rendered is None:
                self.figures.executions += 1
                context = self.make_context(feed.share.principal, "live", "")
                rendered = Rendered(await self.engine.execute_event(prepared, variables, context, event))
                shared.rendered[sequence] = rendered
                while len(shared.rendered) > RENDERED_MAX:
                    shared.rendered.popitem(last=False)
        return rendered

    async def _wait_for(self, member: Member, topic: str, sequence: int) -> None:
        """Until the reader keeps up. Raises SlowConsumer, with the cursor to resume after, when it does not in time."""
        if not member.link.paused:
            return
        try:
            async with asyncio.timeout(self._stall_s):
                await member.outlet.wait_ready()
        except TimeoutError as error:
            self.figures.slow_consumers += 1
            cursor = stream_cursor(topic, sequence - 1)
            told = f"nothing was read for {self._stall_s:g} s: subscribe again with after: {cursor!r}"
            raise SlowConsumer(told) from error


class Lossless:
    """What the readers of one lossless stream share: the bodies of its last events, by sequence."""

    __slots__ = ("readers", "rendered", "turn")

    def __init__(self) -> None:
        self.readers = 0
        self.rendered: OrderedDict[int, Rendered] = OrderedDict()
        self.turn = asyncio.Lock()


def _share_key(
    prepared: Prepared, variables: Mapping[str, Any], share: Share | None, principal: Principal | None
) -> Hashable | None:
    """What must be equal for two readers to share; None where nothing may be."""
    if share is None:
        return None
    return prepared, orjson.dumps(variables, option=orjson.OPT_SORT_KEYS), share, principal is None
