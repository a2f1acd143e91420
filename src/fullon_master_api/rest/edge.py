"""The edge of every REST request: its id, its caller, the size of its body; and of the sockets beside GraphQL's."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullon_master_api.auth.origins import is_origin_allowed
from fullon_master_api.auth.rates import Rates, address_of
from fullon_master_api.auth.sockets import SocketAllowance, refuse_handshake
from fullon_master_api.errors import GatewayError, RateLimited, TooLarge, public_code, public_message
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal

log = get_logger(__name__)

TRY_AGAIN_LATER: Final = 1013
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Authenticate = Callable[[str | None, str | None], Awaitable[Principal | None]]
"""`(authorization, api_key)` header values to the caller; None where both are absent, an error where one is not valid."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """All sockets of the process, GraphQL's among them: `admit` counts one of an address in, if there is room."""

    admit: Callable[[str], bool]
    dismiss: Callable[[str], None]
    users: Counter[int]
    of_user_max: int
    origins: Sequence[str]


class Edge:
    """Gives each request `state.request_id`, `state.user` (or None) and `state.refusal` (why a credential was refused).

    A refused credential does not end the request here: public routes answer without one, every other raises the refusal.
    `foreign_path` is not REST's: GraphQL has an edge of its own. `rates` count what is asked under `limited_prefix`; probes and
    pages are outside it, so that nobody can make a living server look dead.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Authenticate,
        api_key_header: str,
        body_bytes_max: int,
        foreign_path: str,
        rates: Rates,
        limited_prefix: str,
        sockets: Sockets,
    ) -> None:
        self._app = app
        self._foreign_path = foreign_path
        self._authenticate = authenticate
        self._api_key_header = api_key_header
        self._body_bytes_max = body_bytes_max
        self._rates = rates
        self._limited_prefix = limited_prefix
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] != self._foreign_path:
            await self._run_socket(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"] == self._foreign_path:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        state = scope.setdefault("state", {})
        state |= {"request_id": request_id, "user": None, "refusal": None}
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            bounded = await self._bounded(headers, receive)
            if bounded is None:
                told = f"the body is larger than {self._body_bytes_max} bytes: send less at once"
                await _refuse(send_with_id, request_id, TooLarge(told))
                return
            try:
                state["user"] = await self._authenticate(headers.get("authorization"), headers.get(self._api_key_header))
            except GatewayError as refusal:
                state["refusal"] = refusal
            await self._run(scope, bounded, send_with_id)
        except RateLimited as error:
            await _refuse(send_with_id, request_id, error)
        except Exception as error:
            # Answered here, where the answer still gets its id and the headers of all others.
            log.error("rest.failed", path=scope["path"], method=scope["method"], exc_info=error)
            if started:
                raise
            await _refuse(send_with_id, request_id, error)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, if its caller may ask as much. Raises RateLimited before anything is sent."""
        if not scope["path"].startswith(self._limited_prefix):
            await self._app(scope, receive, send)
            return
        address = address_of(scope)
        caller = Rates.caller(scope["state"]["user"], address)
        self._rates.spend(caller)
        with self._rates.running(caller):
            await self._app(scope, receive, send)

    async def _run_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a socket on, if it comes from where one may and there is room; `state.allowance` is what it may take."""
        sockets, address = self._sockets, address_of(scope)
        if not is_origin_allowed(Headers(scope=scope), sockets.origins):
            if (await receive())["type"] == "websocket.connect":
                await refuse_handshake(scope, send, 403)
        elif not sockets.admit(address):
            if (await receive())["type"] == "websocket.connect":  # Accepted first: a browser shows a reason in no other way.
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "Too many connections"})
        else:
            allowance = SocketAllowance(self._rates, sockets.users, sockets.of_user_max, address)
            scope.setdefault("state", {})["allowance"] = allowance
            try:
                await self._app(scope, receive, send)
            finally:
                sockets.dismiss(address)

    async def _bounded(self, headers: Headers, receive: Receive) -> Receive | None:
        """`receive` of a body within the limit; None where the body is larger."""
        length = headers.get("content-length")
        if length is not None:
            return receive if length.isdecimal() and int(length) <= self._body_bytes_max else None
        if "transfer-encoding" not in headers:
            return receive
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._body_bytes_max:
                return None
        read = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_read() -> Message:
            return next(read, None) or await receive()

        return receive_read


async def _refuse(send: Send, request_id: str, error: Exception) -> None:
    body = orjson.dumps({"detail": public_message(error), "code": public_code(error), "request_id": request_id})
    status = error.http_status if isinstance(error, GatewayError) else GatewayError.http_status
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    elif isinstance(error, TooLarge):
        headers.append((b"connection", b"close"))  # The rest of the body is not read.
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
