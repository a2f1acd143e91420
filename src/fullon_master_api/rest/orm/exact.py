"""JSON numbers in and out with all their digits: no float stands between the wire and a `Decimal`."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Annotated, Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema


def _refuse_constant(word: str) -> Any:
    raise json.JSONDecodeError(f"{word} is not a JSON number", word, 0)


class ExactRequest(Request):
    """A request whose body's numbers are read as `int` and `Decimal`."""

    async def json(self) -> Any:
        return json.loads(await self.body(), parse_float=Decimal, parse_constant=_refuse_constant)


class ExactRoute(APIRoute):
    """A route whose handler gets an `ExactRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            return await handler(ExactRequest(request.scope, request.receive))

        return exact


def _must_be_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a JSON number")
    return value


Number = Annotated[Decimal, BeforeValidator(_must_be_number), WithJsonSchema({"type": "number"})]
"""An exact decimal that is a JSON number on the wire."""


def _raw(value: object) -> object:
    """What orjson does not know: a decimal in plain notation is a JSON number as it stands (RFC 8259, section 6)."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def exact_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer of plain values, records' fields, decimals and aware times."""
    content = orjson.dumps(body, default=_raw, option=orjson.OPT_UTC_Z)
    return Response(content, status, headers, media_type="application/json")
