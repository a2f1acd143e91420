"""One HTTP request as GraphQL's endpoint sees it: its headers, its body, who sent it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from fullon_master_api.auth.rates import Caller, Rates, address_of
from fullon_master_api.errors import ParseFailed, TooLarge
from fullon_master_api.model import Principal
from fullon_master_api.transport.finishing import FinishingCycle
from fullon_master_api.transport.media import JSON, wish_of
from fullon_master_api.transport.requests import request_id_of

READING: Final = frozenset({"GET", "HEAD"})
LATIN: Final = "latin-1"


class Asked:
    """One HTTP request: what its edge says, and who it turned out to be."""

    __slots__ = ("address", "caller", "headers", "media", "principal", "reads", "receive", "request_id", "scope", "wish")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.headers = plain_headers(scope)
        state = scope.get("state")
        self.request_id: str = (state and state.get("request_id")) or request_id_of(self.headers)
        self.wish = wish_of(self.headers.get("accept", ""))
        self.media = self.wish.media or JSON
        self.principal: Principal | None = None
        self.address = address_of(scope)
        self.caller: Caller = Rates.caller(None, self.address)
        self.reads = scope["method"] in READING
        """Whether it comes by a method that may change nothing."""


def plain_headers(scope: Scope) -> dict[str, str]:
    """Headers by their lower-case names; of a header that was sent twice the first counts, as in Starlette."""
    return {name.decode(LATIN): value.decode(LATIN) for name, value in reversed(scope["headers"])}


def take_body(asked: Asked, bytes_max: int) -> bytes | None:
    """The body, if all of it is there and it is no longer than allowed; else `read_body` waits for it, or refuses it."""
    server = getattr(asked.receive, "__self__", None)
    return server.take_body(bytes_max) if type(server) is FinishingCycle else None


async def read_body(asked: Asked, bytes_max: int) -> bytes:
    """The body. Raises TooLarge as soon as it is longer than allowed, without reading on."""
    length = asked.headers.get("content-length", "")
    if length.isdigit() and int(length) > bytes_max:
        raise TooLarge(f"the body has {length} bytes, at most {bytes_max} are read")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await asked.receive()
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
