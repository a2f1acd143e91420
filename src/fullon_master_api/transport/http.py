"""GraphQL over HTTP: POST and GET, media types, status codes, limits.

Source of its rules: the GraphQL-over-HTTP specification of the GraphQL foundation, and its audits in npm `graphql-http`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson
from graphql import GraphQLError, OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fullon_master_api.auth.rates import Caller, Rates
from fullon_master_api.errors import BadUserInput, Forbidden, GatewayError, ParseFailed, RateLimited, ServerShutdown, TooLarge
from fullon_master_api.executor.answers import Answer, DocumentError, answer_refused, encode
from fullon_master_api.executor.engine import Prepared
from fullon_master_api.executor.ftv1 import HEADER as FTV1_HEADER
from fullon_master_api.model import Principal
from fullon_master_api.transport.desk import Desk
from fullon_master_api.transport.protocols import BadMessage, Operation, read_operation
from fullon_master_api.transport.requests import is_origin_allowed, request_id_of
from fullon_master_api.transport.streaming import EVENT_STREAM, MULTIPART, SPELLINGS, HttpStream, stream_media, stream_response

JSON: Final = "application/json"
GRAPHQL_JSON: Final = "application/graphql-response+json"
HTML: Final = "text/html"
COST_HEADER: Final = "x-graphql-cost"
"""A request with this header is told in `extensions.cost` what it cost."""
CONTENT_TYPES: Final = {media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, GRAPHQL_JSON)}
PARTS: Final = 'multipart/mixed; boundary="-"'
PART_HEAD: Final = b"\r\n---\r\ncontent-type: application/json; charset=utf-8\r\n\r\n"
PARTS_END: Final = b"\r\n-----\r\n"
READING: Final = frozenset({"GET", "HEAD"})
NO_STORE: Final = (b"cache-control", b"no-store")

Page = Callable[[Request, Principal | None], Awaitable[Response]]
"""Answers a browser that opens `/graphql`, with what of GraphiQL this visitor may see. Raises Forbidden where that is nothing."""


class BadRequest(BadUserInput):
    """The request is JSON and not a GraphQL request."""

    http_status = 400


class UnsupportedMedia(GatewayError):
    """The body's media type is not one that GraphQL is sent in."""

    code, http_status = "BAD_USER_INPUT", 415


class NotAcceptable(GatewayError):
    """The client takes none of the media types that an answer may have."""

    code, http_status = "BAD_USER_INPUT", 406


class WrongMethod(GatewayError):
    """The method is not one by which this may be asked: a mutation may change things, so it is never done by GET."""

    code, http_status = "BAD_USER_INPUT", 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class Finished(Response):
    """An answer whose headers are bytes already."""

    def __init__(self, body: bytes, status: int, media: str, request_id: str) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"x-request-id", request_id.encode()),
            CONTENT_TYPES[media],
            NO_STORE,
            (b"content-length", b"%d" % len(body)),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request after its edge was checked."""

    request: Request
    request_id: str
    media: str


class HttpEndpoint:
    """`/graphql` for requests."""

    def __init__(self, desk: Desk, page: Page | None) -> None:
        self._desk = desk
        self._page = page

    async def __call__(self, request: Request) -> Response:
        edge_id: str | None = request.scope.get("state", {}).get("request_id")
        asked = Asked(request, edge_id or request_id_of(request.headers), choose_media(request.headers.get("accept")) or JSON)
        try:
            if request.method in READING and self._page is not None and prefers_html(request.headers.get("accept", "")):
                return await self._page(request, await self._visitor(request))
            return await self._answer(asked)
        except DocumentError as error:
            return _response(asked, error.answer(asked.request_id), status=_document_status(asked))
        except GatewayError as error:
            return _refused(asked, error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # Answered as INTERNAL and logged with the request id.
            return _refused(asked, error)

    async def _answer(self, asked: Asked) -> Response:
        request = asked.request
        if request.method not in READING and request.method != "POST":
            raise WrongMethod(f"GraphQL is not asked by {request.method}: use POST, or GET for queries", "GET, HEAD, POST")
        ranges = accepted(request.headers.get("accept", ""))
        if choose_media(request.headers.get("accept")) is None and not (EVENT_STREAM in ranges or MULTIPART in ranges):
            raise NotAcceptable(f"an answer is {JSON} or {GRAPHQL_JSON}: accept one of them")
        principal = await self._admit(request)
        operations, batched = await self._read(request)
        if batched:
            self._desk.rates.spend(_caller(request, principal), len(operations) - 1)
        if not batched:
            stream = await self._open_stream(asked, operations[0], principal, ranges)
            if stream is not None:
                return stream
            answer = await self._execute(asked, operations[0], principal)
            return _response(asked, answer, status=200 if answer.executed else _document_status(asked))
        answers = [await self._execute_apart(asked, operation, principal) for operation in operations]
        return _response(asked, Answer(b"[" + b",".join(answer.body for answer in answers) + b"]"), status=200)

    async def _admit(self, request: Request) -> Principal | None:
        """Who asks, if they may ask as much. A credential that does not hold is counted as one of nobody."""
        try:
            principal = await self._desk.authenticate(request.headers)
        except GatewayError:
            self._desk.rates.spend(_caller(request, None))
            raise
        self._desk.rates.spend(_caller(request, principal))
        return principal

    async def _visitor(self, request: Request) -> Principal | None:
        """Who opens a page. A browser that opens an address sends no credential, and pages are not counted."""
        given = "authorization" in request.headers or self._desk.settings.api_key_header_name in request.headers
        return await self._admit(request) if given else None

    async def _open_stream(
        self, asked: Asked, operation: Operation, principal: Principal | None, ranges: Mapping[str, float]
    ) -> Response | None:
        """A stream, where the client takes one and the operation is for it."""
        if EVENT_STREAM not in ranges and MULTIPART not in ranges:
            return None
        prepared = await self._prepare(asked, operation, principal)
        if prepared.incremental and takes_parts(asked.request.headers.get("accept", "")):
            return self._open_parts(asked, prepared, operation, principal)
        media = stream_media(ranges, subscription=prepared.kind is OperationType.SUBSCRIPTION)
        if media is None:
            return None
        if self._desk.hub.draining:
            raise ServerShutdown("the server is going away: connect again")
        caller = _caller(asked.request, principal)
        self._desk.rates.check_running(caller)
        api_key_header = self._desk.settings.api_key_header_name.lower()
        headers = {
            name: asked.request.headers[name] for name in ("authorization", api_key_header) if name in asked.request.headers
        }
        stream = HttpStream(self._desk, SPELLINGS[media], principal, asked.request_id, headers, caller)
        return stream_response(stream, stream.read(prepared, operation.variables), asked.request_id)

    def _open_parts(self, asked: Asked, prepared: Prepared, operation: Operation, principal: Principal | None) -> Response:
        """An answer whose deferred parts come as they are ready."""
        caller, rates = _caller(asked.request, principal), self._desk.rates
        rates.check_running(caller)
        context = self._desk.make_context(principal, asked.request_id)
        frames = self._desk.engine.execute_incrementally(prepared, operation.variables, context)

        async def parts() -> AsyncGenerator[bytes]:
            with rates.running(caller):
                async with aclosing(frames):
                    async for frame in frames:
                        yield PART_HEAD + encode(frame)
                yield PARTS_END

        headers = {
            "content-type": PARTS,
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-request-id": asked.request_id,
        }
        return StreamingResponse(parts(), headers=headers)

    async def _prepare(self, asked: Asked, operation: Operation, principal: Principal | None) -> Prepared:
        prepared = await self._desk.prepare(operation, principal, _caller(asked.request, principal))
        if prepared.kind is OperationType.MUTATION and asked.request.method in READING:
            raise WrongMethod("a mutation must be sent by POST", "POST")
        return prepared

    async def _execute(self, asked: Asked, operation: Operation, principal: Principal | None) -> Answer:
        prepared = await self._prepare(asked, operation, principal)
        context = self._desk.make_context(principal, asked.request_id)
        caller = _caller(asked.request, principal)
        traced = self._desk.settings.federation_enabled and asked.request.headers.get(FTV1_HEADER) == "ftv1"
        explained = bool(operation.extensions) and operation.extensions.get("explain") is True
        if explained and (principal is None or not principal.is_admin):
            raise Forbidden("Admin access required: how an operation was run is told to admins")
        with self._desk.rates.running(caller):
            answer = await self._desk.engine.execute(prepared, operation.variables, context, traced=traced, explained=explained)
        return self._desk.with_cost(answer, prepared, operation, caller, asked=COST_HEADER in asked.request.headers)

    async def _execute_apart(self, asked: Asked, operation: Operation, principal: Principal | None) -> Answer:
        """One of a batch: its refusal is its own answer and not that of the others."""
        try:
            return await self._execute(asked, operation, principal)
        except DocumentError as error:
            return error.answer(asked.request_id)
        except RateLimited as error:  # Those before it may have run.
            return answer_refused([GraphQLError(str(error), original_error=error)], asked.request_id)

    # ---- reading -------------------------------------------------------------------------------------------------------

    async def _read(self, request: Request) -> tuple[list[Operation], bool]:
        """The operations of a request, and whether they came as a batch."""
        if request.method in READING:
            return [self._read_query(request)], False
        media = request.headers.get("content-type", "").partition(";")
        if media[0].strip().lower() != JSON:
            raise UnsupportedMedia(f"the body was {media[0].strip() or 'of no type'}, must be {JSON}")
        body = read_json(await read_body(request, self._desk.settings.body_bytes_max))
        if type(body) is not list:
            return [_operation(body)], False
        most = self._desk.settings.batch_operations_max
        if not 0 < len(body) <= most:
            told = f"at most {most} operations" if most else "no batches: send one operation a request"
            raise BadRequest(f"the body was a list of {len(body)}; this server takes {told}")
        return [_operation(each) for each in body], True

    def _read_query(self, request: Request) -> Operation:
        """A query in the address. A page of another origin could send it without asking first, so its origin is checked."""
        site = request.headers.get("sec-fetch-site", "none")
        known = is_origin_allowed(request.headers, self._desk.settings.cors_origins)
        if not known or (site not in {"none", "same-origin"} and "origin" not in request.headers):
            raise Forbidden("a page of another origin may not send queries by GET: use POST")
        given: dict[str, Any] = dict(request.query_params)
        for name in ("variables", "extensions"):
            if given.get(name):
                given[name] = read_json(given[name])
        return _operation(given)


def _caller(request: Request, principal: Principal | None) -> Caller:
    client = request.scope.get("client")
    return Rates.caller(principal, client[0] if client else "")


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body. Raises TooLarge as soon as it is longer than allowed, without reading on."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > bytes_max:
        raise TooLarge(f"the body has {length} bytes, at most {bytes_max} are read")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise TooLarge(f"the body has more than {bytes_max} bytes")
        if not message.get("more_body", False):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)


def read_json(text: str | bytes) -> Any:
    """Raises ParseFailed for what is not JSON, or nests deeper than any request of ours."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ParseFailed(f"the request is not JSON: {error.msg}") from error


def _operation(body: Any) -> Operation:
    if type(body) is not dict:
        raise BadRequest("the request must be a JSON object with a 'query'")
    try:
        return read_operation(body)
    except BadMessage as error:
        raise BadRequest(str(error)) from error


# ---- media types and answers -------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def accepted(header: str) -> Mapping[str, float]:
    """Media ranges of an Accept header with their weights, as they stand."""
    found: dict[str, float] = {}
    for part in header.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value[2:] for value in parameters if value.lower().startswith("q=")), "1")
        try:
            found.setdefault(media.lower(), float(weight))
        except ValueError:
            found.setdefault(media.lower(), 0.0)
    return {media: weight for media, weight in found.items() if media and weight > 0}


@lru_cache(maxsize=256)
def choose_media(header: str | None) -> str | None:
    """The media type of the answer; None where the client takes neither. Without a wish it is application/json."""
    if header is None or not header.strip():
        return JSON
    ranges = accepted(header)
    wildcard = max(ranges.get("*/*", 0.0), ranges.get("application/*", 0.0))
    graphql, plain = ranges.get(GRAPHQL_JSON, 0.0), ranges.get(JSON, wildcard)
    if not graphql and not plain:
        return None
    return GRAPHQL_JSON if graphql >= plain else JSON


def takes_parts(header: str) -> bool:
    """Whether the client takes an answer in parts, in the current format; `deferSpec` names one that nobody writes any more."""
    return MULTIPART in accepted(header) and "deferspec" not in header.lower()


def prefers_html(header: str) -> bool:
    """Whether a browser opens the address, rather than a program that fetches an answer."""
    ranges = accepted(header)
    return ranges.get(HTML, 0.0) > max(ranges.get(JSON, 0.0), ranges.get(GRAPHQL_JSON, 0.0))


def _document_status(asked: Asked) -> int:
    """A refused document is an answer like any other in the older media type, and 400 in the newer one."""
    return 400 if asked.media == GRAPHQL_JSON else 200


def _response(asked: Asked, answer: Answer, *, status: int) -> Response:
    return Finished(answer.body, status, asked.media, asked.request_id)


def _refused(asked: Asked, error: Exception) -> Response:
    """The request was turned away before it became an operation."""
    status = error.http_status if isinstance(error, GatewayError) else 500
    answer = answer_refused([GraphQLError(str(error), original_error=error)], asked.request_id)
    response = _response(asked, answer, status=status)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    elif isinstance(error, WrongMethod):
        response.headers["allow"] = error.allowed
    elif isinstance(error, RateLimited):
        response.headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return response
