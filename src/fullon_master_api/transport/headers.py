"""Headers of every face: those that each answer carries, and those by which a caller names its trace."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullon_master_api.tracing import is_recording, trace_of_caller, within

Header = tuple[bytes, bytes]
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")


def over_tls(hsts_max_age_s: int) -> tuple[Header, ...]:
    """What is said over TLS alone (RFC 6797, 7.2); nothing where the age is 0."""
    return ((b"strict-transport-security", f"max-age={hsts_max_age_s}".encode()),) if hsts_max_age_s else ()


class SecureHeaders:
    """`X-Content-Type-Options: nosniff`, and over TLS `Strict-Transport-Security`, where an answer has not its own.

    Behind a proxy that ends TLS, its address must be trusted, or the scheme of its requests is taken for plain HTTP.
    """

    def __init__(self, app: ASGIApp, *, hsts_max_age_s: int) -> None:
        self._app = app
        self._plain: tuple[Header, ...] = (NOSNIFF,)
        self._over_tls = (NOSNIFF, *over_tls(hsts_max_age_s))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secure = self._over_tls if scope.get("scheme") == "https" else self._plain

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                names = {name for name, _ in headers}
                headers += (header for header in secure if header[0] not in names)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class CallerTraces:
    """ASGI middleware: the spans of a request, or of a socket's operations, belong to the trace that its caller names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not is_recording():
            await self._app(scope, receive, send)
            return
        with within(trace_of_caller(Headers(scope=scope))):
            await self._app(scope, receive, send)
