"""The answer to one request whose body is there: its headers are nearly the same each time."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope, Send

from fullon_master_api.transport.finishing import FinishingCycle
from fullon_master_api.transport.headers import NOSNIFF, Header
from fullon_master_api.transport.media import GRAPHQL_JSON, JSON

CONTENT_TYPES: Final = {media: (b"content-type", f"{media}; charset=utf-8".encode()) for media in (JSON, GRAPHQL_JSON)}
NO_STORE: Final = (b"cache-control", b"no-store")
FIELDS: Final = {
    media: b"".join(b"%b: %b\r\n" % header for header in (kind, NO_STORE, NOSNIFF)) + b"x-request-id: %b\r\n"
    for media, kind in CONTENT_TYPES.items()
}
"""The same as the lines of a head, but for what differs from request to request."""


class Finished:
    """An ASGI application that gives this answer. `more` are headers that only some answers have."""

    __slots__ = ("_body", "_media", "_more", "_request_id", "_status")

    def __init__(self, body: bytes, status: int, media: str, request_id: str, more: tuple[Header, ...]) -> None:
        self._body = body
        self._status = status
        self._media = media
        self._request_id = request_id
        self._more = more

    def send_at_once(self, send: Send) -> bool:
        """Give the answer to the server in one piece, if that is what stands behind `send`, and if it takes it."""
        server = getattr(send, "__self__", None)
        if type(server) is not FinishingCycle:
            return False
        fields = FIELDS[self._media] % self._request_id.encode()
        for header in self._more:
            fields += b"%b: %b\r\n" % header
        return server.finish(self._status, fields, self._body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % len(self._body))
        told = [(b"x-request-id", self._request_id.encode()), CONTENT_TYPES[self._media], NO_STORE, NOSNIFF, length, *self._more]
        await send({"type": "http.response.start", "status": self._status, "headers": told})
        await send({"type": "http.response.body", "body": self._body})
