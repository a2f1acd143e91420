"""Every error a client may see, with its public code and HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Final


class ErrorCode(StrEnum):
    """The closed list of public codes; `docs/errors.md` explains each to a client."""

    PARSE_FAILED = "PARSE_FAILED"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_CURSOR = "BAD_CURSOR"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105  a code, not a secret
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    IMMUTABLE = "IMMUTABLE"
    COST_LIMIT = "COST_LIMIT"
    DEPTH_LIMIT = "DEPTH_LIMIT"
    TOO_LARGE = "TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    TIMEOUT = "TIMEOUT"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    GAP = "GAP"
    UNAVAILABLE = "UNAVAILABLE"
    SERVER_SHUTDOWN = "SERVER_SHUTDOWN"
    INTERNAL = "INTERNAL"


CODES: Final = tuple(code.value for code in ErrorCode)

MASKED: Final = "internal error; give the request id to whoever runs this server"


class GatewayError(Exception):
    """Base of every error a client may see. `code` is public: renaming one breaks clients.

    `path` names the input that was wrong (`("input", "price")`), empty where no single one was.
    """

    code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, path: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = tuple(path)


class ParseFailed(GatewayError):
    """The document or the body is not the language it claims to be."""

    code, http_status = "PARSE_FAILED", 400


class ValidationFailed(GatewayError):
    """The document is well formed and does not fit the schema."""

    code, http_status = "VALIDATION_FAILED", 400


class PersistedQueryNotFound(GatewayError):
    """No document of that hash is known here: send it again with its text."""

    code, http_status = "PERSISTED_QUERY_NOT_FOUND", 400


class PersistedQueryNotSupported(GatewayError):
    """This server does not remember documents for its clients: send texts."""

    code, http_status = "PERSISTED_QUERY_NOT_SUPPORTED", 400


class BadUserInput(GatewayError):
    """A value is outside what its field takes; the message says what was found and what is allowed."""

    code, http_status = "BAD_USER_INPUT", 422


class BadCursor(BadUserInput):
    """A cursor that this server never gave, or that belongs to another list."""

    code = "BAD_CURSOR"


class Unauthenticated(GatewayError):
    """Nobody is signed in, or the credential is not valid."""

    code, http_status = "UNAUTHENTICATED", 401


class TokenExpired(Unauthenticated):
    """The token was valid and its time is over: refresh it."""

    code = "TOKEN_EXPIRED"


class UnknownUser(Unauthenticated):
    """The credential is well signed, and its user is not there any more."""


class Forbidden(GatewayError):
    """The caller is known and may not do this."""

    code, http_status = "FORBIDDEN", 403


class NotFound(GatewayError):
    """Nothing of that name is there for this caller."""

    code, http_status = "NOT_FOUND", 404


class Conflict(GatewayError):
    """The change contradicts what is stored: a duplicate, or a state that does not allow it."""

    code, http_status = "CONFLICT", 409


class Immutable(Conflict):
    """A record that may never change, as the fill of a live trade."""

    code = "IMMUTABLE"


class CostLimit(GatewayError):
    """The operation would cost more than one operation may."""

    code, http_status = "COST_LIMIT", 400


class DepthLimit(GatewayError):
    """The operation nests deeper than one operation may."""

    code, http_status = "DEPTH_LIMIT", 400


class TooLarge(GatewayError):
    """A body, a message or a document is larger than allowed."""

    code, http_status = "TOO_LARGE", 413


class RateLimited(GatewayError):
    """Too many requests: wait `retry_after_s` seconds."""

    code, http_status = "RATE_LIMITED", 429

    def __init__(self, message: str, *, retry_after_s: float, path: Sequence[str | int] = ()) -> None:
        super().__init__(message, path=path)
        self.retry_after_s = retry_after_s


class TimedOut(GatewayError):
    """The work was stopped because its time was over."""

    code, http_status = "TIMEOUT", 504


class SlowConsumer(GatewayError):
    """A reader of a lossless stream fell too far behind: resume after its last cursor."""

    code, http_status = "SLOW_CONSUMER", 503


class HistoryGap(GatewayError):
    """Events between the cursor and now are no longer kept: read the state anew."""

    code, http_status = "GAP", 410


class Unavailable(GatewayError):
    """A store or an exchange does not answer; what needs it is missing, the rest works."""

    code, http_status = "UNAVAILABLE", 503


class ServerShutdown(GatewayError):
    """The server is going away: connect again."""

    code, http_status = "SERVER_SHUTDOWN", 503


class CacheUnavailable(Unavailable):
    """The cache does not answer."""


class StoreUnavailable(Unavailable):
    """The SQL store does not answer."""


class ExchangeUnavailable(Unavailable):
    """The exchange does not answer, or is under maintenance."""


class ExchangeRefused(GatewayError):
    """The exchange answered and said no: insufficient funds, a bad order, an unknown symbol."""

    code, http_status = "BAD_USER_INPUT", 422


class ExchangeDenied(GatewayError):
    """The exchange does not accept our credentials: trying again cannot help."""

    code, http_status = "FORBIDDEN", 403


class StaleEpoch(GatewayError):
    """A write by an owner whose lease has passed to another; the write did not happen."""

    code, http_status = "CONFLICT", 409


def public_code(error: BaseException) -> str:
    """The code a client sees for this error; `INTERNAL` for everything we did not name."""
    return error.code if isinstance(error, GatewayError) else GatewayError.code


def public_message(error: BaseException) -> str:
    """The text a client sees: our own words, and never those of an unknown fault."""
    return error.message if isinstance(error, GatewayError) else MASKED
