"""What a client gets back: the bytes of an answer, and every error in one shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from graphql import FieldNode, GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError

from fullon_master_api.errors import CODES, MASKED, GatewayError, RateLimited, public_code, public_message
from fullon_master_api.executor.scalars import datetime_text
from fullon_master_api.logs import get_logger

log: Final = get_logger(__name__)

CODED: Final = frozenset(CODES)
ENCODER: Final = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True):
    """`{"data":…,"errors":…}` as bytes; `codes` are those of its errors, in order; no `data` key when nothing was run."""

    body: bytes
    codes: tuple[str, ...] = ()
    executed: bool = True
    has_extensions: bool = False

    def extended(self, extensions: Mapping[str, object]) -> Answer:
        """The same answer with these `extensions` beside those that it has."""
        told = encode(extensions)
        head = self.body[:-2] + b"," + told[1:] if self.has_extensions else self.body[:-1] + b',"extensions":' + told
        return msgspec.structs.replace(self, body=head + b"}", has_extensions=True)


class DocumentError(Exception):
    """The request was refused before anything was run: it cannot be read, does not fit, or asks too much."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each error."""
        return tuple(_public(error)[0] for error in self.errors)

    def answer(self, request_id: str) -> Answer:
        """The refusal as a client gets it."""
        return answer_refused(self.errors, request_id)


def refusal(code: str, message: str, nodes: Any = None) -> GraphQLError:
    """An error with a public code; the message is ours and may be shown."""
    assert code in CODED, code
    return GraphQLError(message, nodes, extensions={"code": code})


def coded(error: GraphQLError, code: str) -> GraphQLError:
    """The same error under a public code; one that has a code already keeps it."""
    if (error.extensions or {}).get("code") in CODED:
        return error
    return GraphQLError(
        error.message,
        error.nodes,
        error.source,
        error.positions,
        error.path,
        error.original_error,
        {**(error.extensions or {}), "code": code},
    )


def render_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """`{message, locations, path, extensions: {code, requestId}}`; the text of an unknown fault is masked."""
    code, message, cause = _public(error)
    extensions: dict[str, Any] = {"code": code, "requestId": request_id}
    if isinstance(cause, GatewayError) and cause.path:
        extensions["inputPath"] = list(cause.path)
    if isinstance(cause, RateLimited):
        extensions["retryAfterMs"] = round(cause.retry_after_s * 1000)
    rendered: dict[str, Any] = {"message": message}
    if error.locations:
        rendered["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        rendered["path"] = list(error.path)
    rendered["extensions"] = extensions
    return rendered


def render_errors(errors: Sequence[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    """All errors of an answer. Each unknown fault is logged once with the request id, however many rows it took."""
    faults: dict[int, tuple[BaseException, GraphQLError, int]] = {}
    rendered = []
    for error in errors:
        shown = render_error(error, request_id)
        rendered.append(shown)
        if shown["extensions"]["code"] == "INTERNAL":
            fault = _public(error)[2] or error
            _fault, first, count = faults.get(id(fault), (fault, error, 0))
            faults[id(fault)] = (fault, first, count + 1)
    for fault, first, count in faults.values():
        log.error(
            "operation.failed",
            request_id=request_id,
            path=first.path,
            rows=count,
            fault=str(fault),
            exc_info=(type(fault), fault, fault.__traceback__),
        )
    return rendered


def answer_refused(errors: Sequence[GraphQLError], request_id: str) -> Answer:
    """An answer without `data`: nothing was run (GraphQL spec 7.1.2)."""
    rendered = render_errors(errors, request_id)
    return Answer(encode({"errors": rendered}), _codes(rendered), executed=False)


def answer_executed(data: Any, errors: Sequence[GraphQLError] | None, request_id: str) -> Answer:
    """An answer with `data`, null when an error took it all, and with the errors if there are any."""
    rendered = render_errors(errors, request_id) if errors else []
    try:
        body = encode({"data": data, "errors": rendered} if rendered else {"data": data})
    except (TypeError, ValueError, RecursionError) as fault:
        error = GraphQLError("the answer holds what JSON cannot", original_error=fault)
        rendered = render_errors([error], request_id)
        body = encode({"data": None, "errors": rendered})
    return Answer(body, _codes(rendered) if rendered else ())


def encode(value: Any) -> bytes:
    """JSON bytes. What the fast encoder refuses (a lone surrogate, an integer past 64 bits) the standard one still writes."""
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError):
        return json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()


def lines_of(values: Sequence[Any]) -> list[bytes] | None:
    """The JSON bytes of each value; None where the fast encoder refuses one."""
    try:
        return ENCODER.encode_lines(values).split(b"\n")[:-1]
    except (TypeError, ValueError, OverflowError):
        return None


def plain(value: Any) -> Any:
    """Structs and finished JSON as dicts and lists, at any depth, and instants as their text."""
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    if type(value) is datetime:
        return datetime_text(value)
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {key: plain(getattr(value, attribute)) for key, attribute in names}
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    return value


def _codes(rendered: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(error["extensions"]["code"] for error in rendered)


def _public(error: GraphQLError) -> tuple[str, str, BaseException | None]:
    """Code and text of an error as a client may see them, and the exception behind it."""
    cause: BaseException | None = error
    last = error
    while isinstance(cause, GraphQLError):
        code = (cause.extensions or {}).get("code")
        if code in CODED:
            return str(code), cause.message, cause.original_error
        if isinstance(cause, StrawberryInputCoercionError):
            return "BAD_USER_INPUT", cause.message, cause
        last, cause = cause, cause.original_error
    if cause is not None:
        return public_code(cause), public_message(cause), cause
    if last.nodes and not any(isinstance(node, FieldNode) for node in last.nodes):
        # graphql-core points at the argument or the variable when a value from the client does not fit.
        return "BAD_USER_INPUT", last.message, None
    return GatewayError.code, MASKED, last
