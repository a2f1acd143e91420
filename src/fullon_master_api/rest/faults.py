"""Errors as REST answers: `{detail, code, request_id}`."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fullon_master_api.errors import (
    BadUserInput,
    GatewayError,
    RateLimited,
    Unauthenticated,
    public_code,
    public_message,
)

STATUS_CODES: Final = {
    400: "BAD_USER_INPUT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "BAD_USER_INPUT",
    406: "BAD_USER_INPUT",
    409: "CONFLICT",
    413: "TOO_LARGE",
    415: "BAD_USER_INPUT",
    422: "BAD_USER_INPUT",
    429: "RATE_LIMITED",
    503: "UNAVAILABLE",
}


class ErrorBody(BaseModel):
    """`detail` is a sentence, or for a body that does not fit the list of what is wrong where."""

    detail: str | list[dict[str, Any]]
    code: str
    request_id: str


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody, "description": words}
    for status, words in {
        400: "The body is not JSON.",
        401: "Nobody is signed in, or the credential is not valid.",
        403: "The caller may not do this.",
        404: "There is nothing of that name for this caller.",
        409: "The change contradicts what is stored.",
        413: "The body is too large.",
        422: "A value is missing or wrong; `detail` says where.",
        429: "Too many requests; `Retry-After` says when to come back.",
        500: "A fault of ours.",
        503: "A store does not answer.",
    }.items()
}
"""The errors that a route may answer, for the API's description."""


def install_faults(app: FastAPI) -> None:
    """Render every error that has a name in one place; those that have none are the edge's."""
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def _answer(request: Request, status: int, detail: object, code: str, headers: dict[str, str] | None = None) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    return JSONResponse({"detail": detail, "code": code, "request_id": request_id}, status, headers)


async def _gateway_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, BadUserInput) and error.path:
        row = {"loc": list(error.path), "msg": error.message, "type": "value_error"}
        return _answer(request, error.http_status, [row], error.code, headers)
    return _answer(request, error.http_status, public_message(error), public_code(error), headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The input itself is not repeated: it may be a password.
    rows = [{"loc": list(row["loc"]), "msg": row["msg"], "type": row["type"]} for row in error.errors()]
    return _answer(request, 422, jsonable_encoder(rows), "BAD_USER_INPUT")


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = STATUS_CODES.get(error.status_code, "INTERNAL" if error.status_code >= 500 else "BAD_USER_INPUT")
    return _answer(request, error.status_code, error.detail, code, dict(error.headers or {}))
