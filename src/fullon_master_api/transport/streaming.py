"""Subscriptions over HTTP: Server-Sent Events and multipart answers, one stream a request.

Sources: PROTOCOL.md of npm `graphql-sse`, "distinct connections mode"; Apollo's "Multipart protocol for GraphQL
subscriptions over HTTP". Lines of an event stream end with LF, which every reader of it understands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLError, OperationType
from starlette.responses import StreamingResponse

from fullon_master_api.errors import GatewayError, TokenExpired
from fullon_master_api.executor.answers import DocumentError, answer_refused
from fullon_master_api.executor.engine import Prepared
from fullon_master_api.model import Principal
from fullon_master_api.transport.desk import Desk
from fullon_master_api.transport.groups import Member
from fullon_master_api.transport.links import Reader, Rendered
from fullon_master_api.transport.protocols import TRANSPORT_WS
from fullon_master_api.transport.sessions import credential_key, is_over, next_check_s

if TYPE_CHECKING:
    from fullon_master_api.transport.asked import Asked

EVENT_STREAM: Final = "text/event-stream"
MULTIPART: Final = "multipart/mixed"
HEARTBEAT_S: Final = 10.0
QUEUED_MAX: Final = 32
"""Events that may wait for a reader before it counts as behind."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one kind of stream is written."""

    content_type: str
    head: bytes
    tail: bytes
    error_head: bytes
    error_tail: bytes
    heartbeat: bytes
    end: bytes


SPELLINGS: Final[Mapping[str, Spelling]] = {
    EVENT_STREAM: Spelling(
        content_type="text/event-stream; charset=utf-8",
        head=b"event: next\ndata: ",
        tail=b"\n\n",
        error_head=b"event: next\ndata: ",
        error_tail=b"\n\n",
        heartbeat=b":\n\n",
        end=b"event: complete\ndata: \n\n",
    ),
    MULTIPART: Spelling(
        content_type='multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"',
        head=b'\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{"payload":',
        tail=b"}",
        error_head=b'\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{"payload":null,',
        error_tail=b"}",
        heartbeat=b"\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}",
        end=b"\r\n--graphql--\r\n",
    ),
}


class HttpStream:
    """One subscription on one HTTP answer: the hub's outlet, its link, and what the answer is read from."""

    def __init__(
        self,
        desk: Desk,
        spelling: Spelling,
        asked: Asked,
        headers: Mapping[str, str],
    ) -> None:
        self.paused = self.joining = False
        self.parts, self.parts_bytes = list[bytes](), 0
        self.member = Member(self, self, TRANSPORT_WS, b"")
        self.credentials = dict(headers)
        self._desk = desk
        self._caller = asked.caller
        self._address = asked.address
        self._spelling = spelling
        self._principal = asked.principal
        self._request_id = asked.request_id
        self._parts: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._emptied = asyncio.Event()
        self._ended = False
        self._beat_at_s = monotonic() + HEARTBEAT_S
        self.due_s = next_check_s(asked.principal, self._beat_at_s)

    # ---- an outlet of the hub, and its own link ------------------------------------------------------------------------

    def context(self) -> Any:
        return self._desk.make_context(self._principal, self._request_id, self._address)

    def deliver(self, event: Rendered, reader: Reader) -> None:
        self._put(self._spelling.head + event.body + self._spelling.tail)

    def send(self, text: bytes) -> None:
        self._put(text)

    def flush(self) -> None:
        """What is delivered is read at once."""

    def beat(self, now_s: float, keep_alive: bytes) -> None:
        """The stream's own heartbeat is sent by `check`."""

    def close(self, code: int, reason: str) -> None:
        self._end()

    async def wait_ready(self) -> None:
        while self.paused and not self._ended:
            self._emptied.clear()
            await self._emptied.wait()

    def fail(self, error: Exception) -> None:
        if not self._ended:
            answer = answer_refused([GraphQLError(str(error), original_error=error)], self._request_id)
            body = answer.body if self._spelling.error_head == self._spelling.head else answer.body[1:-1]
            self._put(self._spelling.error_head + body + self._spelling.error_tail)
            self._end()

    # ---- watched by the hub --------------------------------------------------------------------------------------------

    @property
    def uid(self) -> int | None:
        return self._principal.uid if self._principal is not None else None

    @property
    def credential(self) -> object:
        return credential_key(self.credentials) if self._principal is not None else None

    async def identify(self) -> Principal | None:
        return await self._desk.authenticate(self.credentials)

    @property
    def principal(self) -> Principal | None:
        return self._principal

    def check(self, now_s: float) -> None:
        if is_over(self._principal):
            self.end(TokenExpired("the token's time is over: connect again with a fresh one"))
        elif now_s >= self._beat_at_s:
            self._beat_at_s = now_s + HEARTBEAT_S
            self._put(self._spelling.heartbeat)
        self.due_s = next_check_s(self._principal, self._beat_at_s)

    def end(self, error: GatewayError) -> None:
        self.fail(error)

    # ---- the answer ----------------------------------------------------------------------------------------------------

    def _put(self, part: bytes) -> None:
        if not self._ended:
            self._parts.append(part)
            self.paused = len(self._parts) >= QUEUED_MAX
            self._changed.set()

    def _end(self) -> None:
        self._ended = True
        self.member.leave()
        self._parts.append(self._spelling.end)
        self._changed.set()
        self._emptied.set()

    async def run(self, prepared: Prepared, variables: Mapping[str, Any]) -> None:
        """Open the stream and see it through. Errors are told in the stream: its headers are gone already."""
        try:
            if prepared.kind is OperationType.SUBSCRIPTION:
                await self._desk.hub.run_stream(self.member, prepared, variables, self._principal)
                return
            answer = await self._desk.engine.execute(prepared, variables, self.context())
            self.member.deliver(Rendered(answer.body))
            self._end()
        except DocumentError as error:
            self.member.deliver(Rendered(error.answer(self._request_id).body))
            self._end()
        except Exception as error:  # A coded error is told as itself, a fault of ours as INTERNAL.
            self.fail(error)

    async def read(self, prepared: Prepared, variables: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        """The bytes of the answer, until the stream ends or the reader leaves."""
        hub = self._desk.hub
        hub.watch(self)
        hub.enroll(self)
        hub.figures.streams += 1
        self._desk.rates.enter(self._caller)
        task = hub.spawn(self.run(prepared, variables), "http.stream")
        try:
            while self._parts or not self._ended:
                await self._changed.wait()
                self._changed.clear()
                data = b"".join(self._parts)
                self._parts.clear()
                yield data
                if self.paused and not self._parts:
                    self.paused = False
                    self._emptied.set()
                    self.member.resume()
        finally:
            self._ended = True
            self._emptied.set()
            self.member.leave()
            task.cancel()
            hub.unwatch(self)
            hub.expel(self)
            hub.figures.streams -= 1
            self._desk.rates.leave(self._caller)


def stream_media(ranges: Mapping[str, float], *, subscription: bool) -> str | None:
    """The kind of stream a client takes for this operation; None where it gets a plain answer.

    Many clients list every media type they could read. A query is streamed only to one that does not want JSON as much.
    """
    json = max(ranges.get("application/json", 0.0), ranges.get("application/graphql-response+json", 0.0), ranges.get("*/*", 0.0))
    best = max((EVENT_STREAM, MULTIPART), key=lambda media: ranges.get(media, 0.0))
    weight = ranges.get(best, 0.0)
    if not weight or (not subscription and (best == MULTIPART or weight <= json)):
        return None
    return best


def stream_response(stream: HttpStream, body: AsyncIterator[bytes], request_id: str) -> StreamingResponse:
    """No proxy may keep the events back."""
    headers = {
        "content-type": stream._spelling.content_type,
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-request-id": request_id,
    }
    return StreamingResponse(body, headers=headers)
