"""GraphQL over HTTP: POST and GET, media types, status codes, limits.

Source of its rules: the GraphQL-over-HTTP specification of the GraphQL foundation, and its audits in npm `graphql-http`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from graphql import GraphQLError, OperationType
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope

from fullon_master_api.auth.origins import is_origin_allowed
from fullon_master_api.auth.rates import Rates
from fullon_master_api.errors import BadUserInput, Forbidden, GatewayError, RateLimited, ServerShutdown
from fullon_master_api.executor.answers import Answer, DocumentError, answer_refused, encode
from fullon_master_api.executor.engine import Prepared
from fullon_master_api.executor.ftv1 import HEADER as FTV1_HEADER
from fullon_master_api.model import Principal
from fullon_master_api.transport.asked import READING, Asked, read_body, read_json, take_body
from fullon_master_api.transport.desk import Desk
from fullon_master_api.transport.finished import Finished
from fullon_master_api.transport.headers import Header, over_tls
from fullon_master_api.transport.media import GRAPHQL_JSON, JSON, prefers_html, takes_parts
from fullon_master_api.transport.protocols import BadMessage, Operation, read_operation
from fullon_master_api.transport.streaming import SPELLINGS, HttpStream, stream_media, stream_response

COST_HEADER: Final = "x-graphql-cost"
"""A request with this header is told in `extensions.cost` what it cost."""
PARTS: Final = 'multipart/mixed; boundary="-"'
PART_HEAD: Final = b"\r\n---\r\ncontent-type: application/json; charset=utf-8\r\n\r\n"
PARTS_END: Final = b"\r\n-----\r\n"

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


class HttpEndpoint:
    """`/graphql` for requests."""

    def __init__(self, desk: Desk, page: Page | None) -> None:
        self._desk = desk
        self._page = page
        self._over_tls = over_tls(desk.settings.hsts_max_age_s)

    async def __call__(self, request: Request) -> ASGIApp:
        """As the endpoint of a route."""
        return await self.answer(request.scope, request.receive)

    async def answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The answer to a request of whatever method."""
        asked = Asked(scope, receive)
        try:
            if self._page is not None and asked.reads and prefers_html(asked.wish):
                return await self._page(Request(scope, receive), await self._visitor(asked))
            return await self._answer(asked)
        except DocumentError as error:
            return self._finished(asked, error.answer(asked.request_id), _document_status(asked))
        except GatewayError as error:
            return self._refused(asked, error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # Answered as INTERNAL and logged with the request id.
            return self._refused(asked, error)

    async def _answer(self, asked: Asked) -> ASGIApp:
        method = asked.scope["method"]
        if method != "POST" and method not in READING:
            raise WrongMethod(f"GraphQL is not asked by {method}: use POST, or GET for queries", "GET, HEAD, POST")
        if asked.wish.media is None and not asked.wish.streams:
            raise NotAcceptable(f"an answer is {JSON} or {GRAPHQL_JSON}: accept one of them")
        await self._admit(asked)
        if asked.reads:
            read: Operation | list[Operation] = self._read_query(asked)
        else:
            check_media(asked.headers.get("content-type", ""))
            bytes_max = self._desk.settings.body_bytes_max
            body = take_body(asked, bytes_max)
            read = self._operations(await read_body(asked, bytes_max) if body is None else body)
        if isinstance(read, list):
            self._desk.rates.spend(asked.caller, len(read) - 1)
            answers = [await self._execute_apart(asked, operation) for operation in read]
            return self._finished(asked, Answer(b"[" + b",".join(answer.body for answer in answers) + b"]"), 200)
        if asked.wish.streams:
            stream = await self._open_stream(asked, read)
            if stream is not None:
                return stream
        answer = await self._execute(asked, read)
        return self._finished(asked, answer, 200 if answer.executed else _document_status(asked))

    async def _admit(self, asked: Asked) -> None:
        """Find out who asks, if they may ask as much. A credential that does not hold is counted as one of nobody."""
        rates = self._desk.rates
        try:
            principal = await self._desk.authenticate(asked.headers)
        except GatewayError:
            rates.spend(asked.caller)
            raise
        if principal is not None:
            asked.principal, asked.caller = principal, Rates.caller(principal, "")
        rates.spend(asked.caller)

    async def _visitor(self, asked: Asked) -> Principal | None:
        """Who opens a page. A browser that opens an address sends no credential, and pages are not counted."""
        if "authorization" in asked.headers or self._desk.settings.api_key_header_name.lower() in asked.headers:
            await self._admit(asked)
        return asked.principal

    async def _open_stream(self, asked: Asked, operation: Operation) -> Response | None:
        """A stream, where the operation is for one that the client takes."""
        prepared = await self._prepare(asked, operation)
        if prepared.incremental and takes_parts(asked.headers.get("accept", "")):
            return self._open_parts(asked, prepared, operation)
        media = stream_media(asked.wish.ranges, subscription=prepared.kind is OperationType.SUBSCRIPTION)
        if media is None:
            return None
        if self._desk.hub.draining:
            raise ServerShutdown("the server is going away: connect again")
        self._desk.rates.check_running(asked.caller)
        credentials = ("authorization", self._desk.settings.api_key_header_name.lower())
        headers = {name: asked.headers[name] for name in credentials if name in asked.headers}
        stream = HttpStream(self._desk, SPELLINGS[media], asked, headers)
        return stream_response(stream, stream.read(prepared, operation.variables), asked.request_id)

    def _open_parts(self, asked: Asked, prepared: Prepared, operation: Operation) -> Response:
        """An answer whose deferred parts come as they are ready."""
        caller, rates = asked.caller, self._desk.rates
        rates.check_running(caller)
        context = self._desk.make_context(asked.principal, asked.request_id, asked.address)
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

    async def _prepare(self, asked: Asked, operation: Operation) -> Prepared:
        prepared = await self._desk.prepare(operation, asked.principal, asked.caller)
        if prepared.kind is OperationType.MUTATION and asked.reads:
            raise WrongMethod("a mutation must be sent by POST", "POST")
        return prepared

    async def _execute(self, asked: Asked, operation: Operation) -> Answer:
        desk = self._desk
        prepared = desk.find(operation, asked.principal)
        if prepared is None or asked.reads:
            prepared = await self._prepare(asked, operation)
        context = desk.make_context(asked.principal, asked.request_id, asked.address)
        traced = FTV1_HEADER in asked.headers and desk.settings.federation_enabled and asked.headers[FTV1_HEADER] == "ftv1"
        explained = bool(operation.extensions) and operation.extensions.get("explain") is True
        if explained and (asked.principal is None or not asked.principal.is_admin):
            raise Forbidden("Admin access required: how an operation was run is told to admins")
        with desk.rates.running(asked.caller):
            answer = await desk.engine.execute(prepared, operation.variables, context, traced=traced, explained=explained)
        return desk.with_cost(answer, prepared, operation, asked.caller, asked=COST_HEADER in asked.headers)

    async def _execute_apart(self, asked: Asked, operation: Operation) -> Answer:
        """One of a batch: its refusal is its own answer and not that of the others."""
        try:
            return await self._execute(asked, operation)
        except DocumentError as error:
            return error.answer(asked.request_id)
        except RateLimited as error:  # Those before it may have run.
            return answer_refused([GraphQLError(str(error), original_error=error)], asked.request_id)

    def _finished(self, asked: Asked, answer: Answer, status: int, more: tuple[Header, ...] = ()) -> Finished:
        if asked.scope["scheme"] == "https":
            more += self._over_tls
        return Finished(answer.body, status, asked.media, asked.request_id, more)

    def _refused(self, asked: Asked, error: Exception) -> Finished:
        """The request was turned away before it became an operation."""
        status = error.http_status if isinstance(error, GatewayError) else 500
        answer = answer_refused([GraphQLError(str(error), original_error=error)], asked.request_id)
        return self._finished(asked, answer, status, _refusal_headers(status, error))

    # ---- reading -------------------------------------------------------------------------------------------------------

    def _operations(self, text: bytes) -> Operation | list[Operation]:
        """The operation in a body, or those that came as a batch."""
        body = read_json(text)
        if type(body) is not list:
            return _operation(body)
        most = self._desk.settings.batch_operations_max
        if not 0 < len(body) <= most:
            told = f"at most {most} operations" if most else "no batches: send one operation a request"
            raise BadRequest(f"the body was a list of {len(body)}; this server takes {told}")
        return [_operation(each) for each in body]

    def _read_query(self, asked: Asked) -> Operation:
        """A query in the address. A page of another origin could send it without asking first, so its origin is checked."""
        site = asked.headers.get("sec-fetch-site", "none")
        known = is_origin_allowed(asked.headers, self._desk.settings.cors_origins)
        if not known or (site not in {"none", "same-origin"} and "origin" not in asked.headers):
            raise Forbidden("a page of another origin may not send queries by GET: use POST")
        given: dict[str, Any] = dict(QueryParams(asked.scope["query_string"]))
        for name in ("variables", "extensions"):
            if given.get(name):
                given[name] = read_json(given[name])
        return _operation(given)


def check_media(media: str) -> None:
    """Raises UnsupportedMedia for a body of another type than JSON."""
    if media != JSON:
        media = media.partition(";")[0].strip()
        if media.lower() != JSON:
            raise UnsupportedMedia(f"the body was {media or 'of no type'}, must be {JSON}")


def _operation(body: Any) -> Operation:
    if type(body) is not dict:
        raise BadRequest("the request must be a JSON object with a 'query'")
    try:
        return read_operation(body)
    except BadMessage as error:
        raise BadRequest(str(error)) from error


# ---- answers -----------------------------------------------------------------------------------------------------------


def _document_status(asked: Asked) -> int:
    """A refused document is an answer like any other in the older media type, and 400 in the newer one."""
    return 400 if asked.media == GRAPHQL_JSON else 200


def _refusal_headers(status: int, error: Exception) -> tuple[Header, ...]:
    """What a client is told beside the words of a refusal."""
    if status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(error, WrongMethod):
        return ((b"allow", error.allowed.encode()),)
    if isinstance(error, RateLimited):
        return ((b"retry-after", b"%d" % max(1, round(error.retry_after_s))),)
    return ()
