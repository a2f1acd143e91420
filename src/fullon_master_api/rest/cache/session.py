"""One client's socket: its requests in order, its streams beside them, all in the original's envelopes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from time import time
from typing import Any, Final, TypeVar

import msgspec
import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from fullon_master_api.errors import (
    BadUserInput,
    Forbidden,
    HistoryGap,
    RateLimited,
    SlowConsumer,
    Unavailable,
    public_message,
)
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal
from fullon_master_api.rest.cache.desk import GAP_KEY, Action, Desk, Endpoint, Json, Params, Refused, Stream
from fullon_master_api.rest.cache.door import INVALID, POLICY_VIOLATION, find_change
from fullon_master_api.rest.cache.envelopes import Envelope, RequestId

log = get_logger(__name__)

STREAMS_MAX: Final = 200
FRAME_BYTES_MAX: Final = 64_000
ANSWER_TIMEOUT_S: Final = 10.0
ASK_AGAIN_S: Final = 2.0
NAME_LENGTH_MAX: Final = 128
FRAME_TOO_LARGE: Final = 1009
GAP_ITEM: Final = "gap"
OWN_KEYS: Final = ("action", "operation", "request_id", "token", "params")

CODES: Final = {
    BadUserInput: "INVALID_PARAMS",
    Forbidden: "FORBIDDEN",
    HistoryGap: "GAP",
    RateLimited: "RATE_LIMITED",
    SlowConsumer: "SLOW_CONSUMER",
    Unavailable: "CACHE_ERROR",
}
"""Our errors in the words of these sockets; what is not here is INTERNAL_ERROR."""


class Unsubscribe(Params, frozen=True):
    stream_key: str | None = None
    request_id: str | int | None = None


class Session:
    """Serves one socket until it closes, its token ends or the server stops.

    Requests are answered one after another. Each stream is a task of this session, so it ends with the socket; what its
    reader does not take is conflated or bounded by its mailbox on the bus. `connection_id` only names streams to the
    client who chose it: nothing is shared between sockets.
    """

    def __init__(
        self, socket: WebSocket, desk: Desk, principal: Principal, endpoint: Endpoint, envelope: Envelope, connection_id: str
    ) -> None:
        self._socket, self._desk, self._principal, self._endpoint = socket, desk, principal, endpoint
        self._envelope, self._connection_id = envelope, connection_id
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._refusal: str | None = None

    async def run(self) -> None:
        ends_s = self._principal.expires_s
        try:
            async with asyncio.timeout(None if ends_s is None else max(0.0, ends_s - time())):
                async with asyncio.TaskGroup() as self._tasks:
                    reading = self._tasks.create_task(self._read(), name="cache-socket:read")
                    asking = self._tasks.create_task(self._ask_again(reading), name="cache-socket:ask-again")
                    try:
                        await asyncio.wait([reading])
                    finally:
                        for task in [asking, *self._streams.values()]:
                            task.cancel()
        except TimeoutError:
            self._refusal = INVALID
        if self._refusal is not None:
            with suppress(WebSocketDisconnect):
                await self._socket.close(POLICY_VIOLATION, self._refusal)

    async def _ask_again(self, reading: asyncio.Task[None]) -> None:
        """End the session soon after its credential does: a user switched off, a key revoked, a role changed."""
        while self._refusal is None:
            await asyncio.sleep(ASK_AGAIN_S)
            self._refusal = await find_change(self._socket, self._desk, self._principal)
        reading.cancel()

    async def _read(self) -> None:
        while True:
            frame = await self._socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            text: str | bytes = frame.get("text") or frame.get("bytes") or ""
            if len(text) > FRAME_BYTES_MAX:
                await self._socket.close(FRAME_TOO_LARGE, f"a frame may have {FRAME_BYTES_MAX} bytes")
                return
            await self._handle(text)

    async def _handle(self, text: str | bytes) -> None:
        verb = self._envelope.verb
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            await self._fail(None, None, Refused("MALFORMED_MESSAGE", f"the message is not JSON: {error}"))
            return
        if not isinstance(request, dict):
            await self._fail(None, None, Refused("MALFORMED_MESSAGE", "the message must be an object"))
            return
        request_id, asked = request.get("request_id"), request.get(verb)
        if not isinstance(request_id, str | int | None) or len(str(request_id)) > NAME_LENGTH_MAX:
            why = f"request_id must be text of at most {NAME_LENGTH_MAX} characters, or a number"
            await self._fail(None, None, Refused("MALFORMED_MESSAGE", why))
            return
        request_id = self._envelope.name(request_id)
        if not isinstance(asked, str):
            await self._fail(request_id, None, Refused("INVALID_OPERATION", f"{verb} is missing"))
            return
        try:
            await self._act(request_id, asked, request)
        except Exception as error:
            await self._fail(request_id, asked, error)

    async def _act(self, request_id: RequestId, asked: str, request: Json) -> None:
        begun_s = time()
        self._socket.state.allowance.spend(self._principal)
        if asked in self._endpoint.actions:
            action = self._endpoint.actions[asked]
            self._check_rights(action)
            params = _convert(request.get("params"), action.params)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                result = await action.answer(self._desk, self._principal, params)
            await self._send(self._envelope.result(request_id, asked, result, begun_s))
        elif asked in self._endpoint.streams:
            self._check_rights(self._endpoint.streams[asked])
            await self._subscribe(request_id, asked, request)
        elif asked == "unsubscribe":
            await self._unsubscribe(request_id, request)
        else:
            known = ", ".join([*self._endpoint.actions, *self._endpoint.streams, "unsubscribe"])
            raise Refused("INVALID_OPERATION", f"unknown {self._envelope.verb} {asked[:NAME_LENGTH_MAX]!r}; known are {known}")

    def _check_rights(self, asked: Action | Stream) -> None:
        if asked.admin_only and not self._principal.is_admin:
            raise Refused("FORBIDDEN", "Admin access required")

    # ---- streams -----------------------------------------------------------------------------------------------------

    async def _subscribe(self, request_id: RequestId, asked: str, request: Json) -> None:
        stream = self._endpoint.streams[asked]
        if stream.parts is not None:
            for name, part in stream.parts(_convert(_beside(request), stream.params)):
                if name not in self._streams:
                    items = await stream.open(self._desk, self._principal, part)
                    self._start(name, self._run_bare(request_id, asked, items))
            return
        key = f"{self._connection_id}:{request_id if request_id is not None else asked}"
        if key in self._streams:
            raise Refused("INVALID_PARAMS", f"{key!r} streams already: end it, or choose another request_id")
        params = _convert(request.get("params"), stream.params)
        items = await stream.open(self._desk, self._principal, params)
        self._start(key, self._run(key, request_id, asked, stream.item, items))

    def _start(self, key: str, running: Coroutine[Any, Any, None]) -> None:
        if len(self._streams) >= STREAMS_MAX:
            running.close()
            raise Refused("RATE_LIMITED", f"a socket may have {STREAMS_MAX} streams")
        task = self._streams[key] = self._tasks.create_task(running, name=f"cache-stream:{key}")
        task.add_done_callback(lambda _task: self._streams.pop(key, None))

    async def _run(self, key: str, request_id: RequestId, asked: str, item: str, items: AsyncGenerator[Json]) -> None:
        try:
            async with aclosing(items):
                await self._send(self._envelope.confirmed(request_id, asked, key))
                async for result in items:
                    name = GAP_ITEM if GAP_KEY in result else item
                    await self._send(self._envelope.item(request_id, name, key, result))
        except Exception as error:
            await self._fail(request_id, asked, error)

    async def _run_bare(self, request_id: RequestId, asked: str, items: AsyncGenerator[Json]) -> None:
        try:
            async with aclosing(items):
                async for result in items:
                    await self._send(result)
        except Exception as error:
            await self._fail(request_id, asked, error)

    async def _unsubscribe(self, request_id: RequestId, request: Json) -> None:
        bare = next((stream for stream in self._endpoint.streams.values() if stream.parts is not None), None)
        if bare is not None and bare.parts is not None and "exchange" in request:
            keys = [name for name, _part in bare.parts(_convert(_beside(request), bare.params))]
        else:
            params = _convert(request.get("params"), Unsubscribe)
            named = params.stream_key or f"{self._connection_id}:{params.request_id}"
            keys = [named]
        tasks = [self._streams[key] for key in keys if key in self._streams]
        if not tasks:
            raise Refused("INVALID_PARAMS", f"no stream {', '.join(keys)[:NAME_LENGTH_MAX]!r} on this socket")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._send(self._envelope.ended(request_id, keys))

    # ---- out ---------------------------------------------------------------------------------------------------------

    async def _fail(self, request_id: RequestId, asked: str | None, error: Exception) -> None:
        """Tell the client what went wrong; the socket and its other streams go on."""
        if isinstance(error, WebSocketDisconnect):
            return
        code, why = _explain(error, asked)
        with suppress(WebSocketDisconnect):
            await self._send(self._envelope.failure(request_id, asked, code, why))

    async def _send(self, message: Json) -> None:
        """One whole message; the streams and the answers of a socket take turns."""
        text = orjson.dumps(message).decode()
        async with self._sending:
            await self._socket.send_text(text)


P = TypeVar("P", bound=Params)


def _convert(given: object, kind: type[P]) -> P:
    try:
        return msgspec.convert({} if given is None else given, kind)
    except msgspec.ValidationError as error:
        raise Refused("INVALID_PARAMS", str(error)) from error


def _beside(request: Json) -> Json:
    """The parameters that stand beside `action`."""
    return {key: value for key, value in request.items() if key not in OWN_KEYS}


def _explain(error: Exception, asked: str | None) -> tuple[str, str]:
    """Code and text for the client; what we cannot name is in the log and not in the answer."""
    if isinstance(error, Refused):
        return error.code, error.message
    if isinstance(error, TimeoutError):
        return "CACHE_ERROR", f"no answer within {ANSWER_TIMEOUT_S:g} s"
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return code, public_message(error)
    log.error("cache.socket_failed", asked=asked, exc_info=error)
    return "INTERNAL_ERROR", public_message(error)
