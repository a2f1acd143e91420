"""One client on one socket: its protocol state, its operations, its credential."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from graphql import GraphQLError, OperationType
from structlog.contextvars import bind_contextvars

from fullon_master_api.auth.rates import Caller, Rates
from fullon_master_api.errors import Forbidden, GatewayError, RateLimited, TokenExpired
from fullon_master_api.executor.answers import DocumentError, render_error
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal
from fullon_master_api.tracing import trace_here, within
from fullon_master_api.transport import protocols
from fullon_master_api.transport.desk import Desk
from fullon_master_api.transport.groups import Member
from fullon_master_api.transport.links import Link, Rendered
from fullon_master_api.transport.protocols import BadMessage, Operation, Said, Say, Wire
from fullon_master_api.transport.requests import new_request_id

log = get_logger(__name__)

HEARTBEAT_S: Final = 15.0


def is_over(principal: Principal | None) -> bool:
    """Whether the credential's time has ended."""
    return principal is not None and principal.expires_s is not None and time.time() >= principal.expires_s


def next_check_s(principal: Principal | None, beat_at_s: float) -> float:
    """When a live credential has to be looked at again, on the monotonic clock: at the next heartbeat or at its end."""
    if principal is None or principal.expires_s is None:
        return beat_at_s
    return min(beat_at_s, monotonic() + principal.expires_s - time.time())


def credential_key(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Equal for sockets that came with the same credential."""
    return tuple(sorted(headers.items()))


class Session:
    """The server's side of one socket, fed by `received`; it never waits, its work is done by tasks of the hub."""

    __slots__ = (
        "_address",
        "_beat_at_s",
        "_behind",
        "_credential",
        "_desk",
        "_ended",
        "_greeted",
        "_held",
        "_link",
        "_lost",
        "_opening",
        "_ready",
        "_streams",
        "_trace",
        "_wire",
        "due_s",
        "principal",
    )

    def __init__(self, desk: Desk, link: Link, wire: Wire, headers: Mapping[str, str], address: str) -> None:
        self.principal: Principal | None = None
        self._address = address
        self._desk = desk
        self._link = link
        self._wire = wire
        self._credential = credential_key(headers)
        self._opening: asyncio.Task[None] | None = None
        self._greeted = False
        self._held: list[Said] | None = None  # What a client of the older protocol said before its ack.
        self._ready = False
        self._ended = False
        self._lost = False
        self._streams: dict[str, Stream] = {}
        self._behind: asyncio.Event | None = None
        self._trace = trace_here()  # Of the handshake: an operation's own message names none.
        now_s = monotonic()
        self.due_s = now_s + desk.settings.socket_init_timeout_s
        self._beat_at_s = now_s + HEARTBEAT_S
        desk.hub.watch(self)
        log.debug("socket.opened", protocol=wire.name)

    @property
    def uid(self) -> int | None:
        return self.principal.uid if self.principal is not None else None

    @property
    def credential(self) -> object:
        return self._credential if self.principal is not None else None

    @property
    def caller(self) -> Caller:
        return Rates.caller(self.principal, self._address)

    async def identify(self) -> Principal | None:
        return await self._desk.authenticate(dict(self._credential))

    # ---- what the socket tells us --------------------------------------------------------------------------------------

    def received(self, text: str | bytes) -> None:
        """One message of the client."""
        self._hear(text)

    def _hear(self, said: str | bytes | Said) -> None:
        """A message as it came, or one that was held."""
        if self._ended:
            return
        try:
            self._take(said if isinstance(said, Said) else protocols.read_message(self._wire, said))
        except BadMessage as error:
            self.refuse(protocols.CLOSE_BAD_MESSAGE, f"Invalid message: {error}")

    def resumed(self) -> None:
        """The client reads again."""
        if self._behind is not None:
            self._behind.set()
            self._behind = None
        for stream in list(self._streams.values()):
            if self._link.paused:
                return
            stream.member.resume()

    def lost(self) -> None:
        """The socket is gone: whatever ran for it stops."""
        if self._lost:
            return
        self._lost = self._ended = True
        log.debug("socket.ended", protocol=self._wire.name, uid=self.uid, operations=len(self._streams))
        self._desk.hub.unwatch(self)
        self._desk.hub.expel(self)
        if self.principal is not None:
            self._desk.hub.users[self.principal.uid] -= 1
            if not self._desk.hub.users[self.principal.uid]:
                del self._desk.hub.users[self.principal.uid]
        if self._opening is not None:
            self._opening.cancel()
        for stream in list(self._streams.values()):
            stream.stop()
        if self._behind is not None:
            self._behind.set()

    # ---- the protocol --------------------------------------------------------------------------------------------------

    def _take(self, said: Said) -> None:
        if self._is_early(said):
            self._hold(said)
        elif said.what is Say.INIT:
            self._init(said.payload)
        elif said.what is Say.START:
            self._start(said)
        elif said.what is Say.STOP:
            stream = self._streams.get(said.id)
            if stream is not None:
                stream.stop()
        elif said.what is Say.PING:
            self._ping(said.payload)
        elif said.what is Say.TERMINATE:
            self.refuse(protocols.CLOSE_NORMAL, "")

    def _is_early(self, said: Said) -> bool:
        """Whether it waits for the ack. The older protocol's own client does not: it says `start` behind `connection_init`."""
        early = self._wire is protocols.LEGACY_WS and self._greeted and not self._ready
        return early and said.what in {Say.START, Say.STOP}

    def _hold(self, said: Said) -> None:
        self._held = self._held or []
        most = 2 * self._desk.settings.socket_subscriptions_max
        if len(self._held) >= most:
            self.refuse(protocols.CLOSE_TRY_LATER, f"RATE_LIMITED: {most} messages wait for the ack")
            return
        self._held.append(said)

    def _init(self, payload: dict[str, Any] | None) -> None:
        if self._greeted:
            self.refuse(protocols.CLOSE_TOO_MANY_INIT, "Too many initialisation requests")
            return
        self._greeted = True
        self._opening = self._desk.hub.spawn(self._open(payload), "socket.init")

    async def _open(self, payload: dict[str, Any] | None) -> None:
        """Find out who it is, then let operations start. A credential in the payload stands before one in the headers."""
        given = protocols.credentials_in(payload, self._desk.settings.api_key_header_name)
        try:
            self._credential = credential_key(given) if given else self._credential
            self.principal = await self.identify()
        except GatewayError as error:
            with suppress(RateLimited):  # Counted as a request of nobody, as over HTTP; it is refused anyhow.
                self._desk.rates.spend(Rates.caller(None, self._address))
            if self._wire is protocols.LEGACY_WS:
                self._link.send(protocols.refusal_message([_rendered(error, new_request_id())]))
            self.refuse(protocols.CLOSE_FORBIDDEN, f"{error.code}: {error.message}")
            return
        most = self._desk.settings.socket_connections_per_user_max
        if self.principal is not None:
            self._desk.hub.users[self.principal.uid] += 1
            if self._desk.hub.users[self.principal.uid] > most:
                self.refuse(protocols.CLOSE_TRY_LATER, f"RATE_LIMITED: a user may have {most} sockets")
                return
        self._enroll()
        self._ready = True
        self._opening = None
        self.due_s = next_check_s(self.principal, self._beat_at_s)
        self._link.send(protocols.ack_message())
        if self._wire is protocols.LEGACY_WS:
            self._link.send(self._wire.keep_alive)
        held, self._held = self._held or [], None
        for said in held:
            self._hear(said)

    def _enroll(self) -> None:
        """Have the credential looked after. Sockets with the same one keep it in memory once: tokens are long."""
        twin = self._desk.hub.enroll(self)
        if isinstance(twin, Session):
            self._credential = twin._credential
            if twin.principal == self.principal:
                self.principal = twin.principal

    def _ping(self, payload: dict[str, Any] | None) -> None:
        given = protocols.credentials_in(payload, self._desk.settings.api_key_header_name)
        if given and self._ready:
            self._desk.hub.spawn(self._renew(given), "socket.renew")
            return
        self._link.send(protocols.pong_message(payload))

    async def _renew(self, given: dict[str, str]) -> None:
        """Take a fresh credential of the same user on a live socket; the answer is a pong that says until when it holds."""
        try:
            self._desk.rates.spend(self.caller)
            principal = await self._desk.authenticate(given)
            if principal is None or self.principal is None or principal.uid != self.principal.uid:
                raise Forbidden("a live socket can only be renewed by the user who opened it")
        except GatewayError as error:
            self._link.send(protocols.pong_message({"renewed": False, "code": error.code, "message": error.message}))
            return
        if self._ended:
            return
        self._desk.hub.expel(self)
        self.principal, self._credential = principal, credential_key(given)
        self._enroll()
        self.due_s = next_check_s(principal, self._beat_at_s)
        self._link.send(protocols.pong_message({"renewed": True, "expiresAt": principal.expires_s}))

    def _start(self, said: Said) -> None:
        if not self._ready:
            self.refuse(protocols.CLOSE_UNAUTHORIZED, "Unauthorized: send connection_init first and wait for the ack")
            return
        older = self._streams.get(said.id)
        if older is not None:
            if self._wire is protocols.TRANSPORT_WS:
                self.refuse(protocols.CLOSE_ID_TAKEN, f"Subscriber for {said.id} already exists")
                return
            older.stop()
        operation = protocols.read_operation(said.payload or {})
        stream = Stream(self, said.id)
        most = self._desk.settings.socket_subscriptions_max
        self._streams[said.id] = stream
        if len(self._streams) > most:
            stream.fail(RateLimited(f"this socket already runs {most} operations: complete one first", retry_after_s=1.0))
            return
        stream.task = self._desk.hub.spawn(stream.run(operation), "socket.operation")

    # ---- time limits and the end ---------------------------------------------------------------------------------------

    def check(self, now_s: float) -> None:
        if not self._ready:
            if now_s >= self.due_s:
                self.refuse(protocols.CLOSE_INIT_TIMEOUT, "Connection initialisation timeout")
            return
        if is_over(self.principal):
            self.end(TokenExpired("the token's time is over: connect again with a fresh one"))
            return
        if now_s >= self._beat_at_s:
            self._beat_at_s = now_s + HEARTBEAT_S
            self._link.beat(now_s, self._wire.keep_alive)
        self.due_s = next_check_s(self.principal, self._beat_at_s)

    def end(self, error: GatewayError) -> None:
        """Tell every operation why it ends, then close."""
        for stream in list(self._streams.values()):
            stream.fail(error)
        restart = error.code == "SERVER_SHUTDOWN"
        self.refuse(protocols.CLOSE_RESTART if restart else protocols.CLOSE_FORBIDDEN, f"{error.code}: {error.message}")

    def refuse(self, code: int, reason: str) -> None:
        """Close the socket and stop all that runs for it."""
        if not self._ended:
            self._desk.hub.figures.closes[code] += 1
            self._link.close(code, protocols.close_reason(reason))
            self.lost()


class Stream:
    """One operation of a session, from its start to `complete` or `error`."""

    __slots__ = ("_id", "_request_id", "_session", "member", "task")

    def __init__(self, session: Session, identity: str) -> None:
        self.member = Member(self, session._link, session._wire, protocols.event_tail(identity))
        self.task: asyncio.Task[None] | None = None
        self._session = session
        self._id = identity
        self._request_id = new_request_id()

    def context(self) -> Any:
        return self._session._desk.make_context(self._session.principal, self._request_id, self._session._address)

    async def run(self, operation: Operation) -> None:
        bind_contextvars(request_id=self._request_id)  # In the task's own copy of the context: it ends with the task.
        with within(self._session._trace):
            await self._run(operation)

    async def _run(self, operation: Operation) -> None:
        desk = self._session._desk
        try:
            caller = self._session.caller
            prepared = await desk.prepare(operation, self._session.principal, caller)
            if prepared.kind is OperationType.SUBSCRIPTION:
                await desk.hub.run_stream(self.member, prepared, operation.variables, self._session.principal)
                return
            desk.rates.spend(caller)
            with desk.rates.running(caller):
                answer = await desk.engine.execute(prepared, operation.variables, self.context())
            answer = desk.with_cost(answer, prepared, operation, caller)
        except DocumentError as error:
            self._finish(self._errors([render_error(each, self._request_id) for each in error.errors]))
        except Exception as error:  # A coded error is told as itself, a fault of ours as INTERNAL.
            self.fail(error)
        else:
            self.member.deliver(Rendered(answer.body))
            self._finish(protocols.complete_message(self._id))
        finally:
            self.task = None

    # ---- an outlet of the hub ------------------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        session = self._session
        while session._link.paused and not session._ended:
            if session._behind is None:
                session._behind = asyncio.Event()
            await session._behind.wait()

    def fail(self, error: Exception) -> None:
        self._finish(self._errors([_rendered(error, self._request_id)]))

    def _errors(self, errors: list[dict[str, Any]]) -> bytes:
        return protocols.error_message(self._session._wire, self._id, errors)

    def _finish(self, last_words: bytes) -> None:
        """Say the last message, unless the client completed first, and be forgotten."""
        session = self._session
        if session._streams.get(self._id) is self:
            session._link.send(last_words)
            self.stop()

    def stop(self) -> None:
        """End without a word: the client asked for it, or is gone."""
        if self._session._streams.get(self._id) is not self:
            return
        del self._session._streams[self._id]
        self.member.leave()
        del self.member  # The two hold each other, and would wait for Python's collector.
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


def _rendered(error: Exception, request_id: str) -> dict[str, Any]:
    return render_error(GraphQLError(str(error), original_error=error), request_id)
