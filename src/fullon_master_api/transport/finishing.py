"""uvicorn's HTTP protocol, made to give a whole request away and to take a finished answer in one piece."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

COPIED_MAX: Final = 16_384
"""A body of as many bytes leaves by itself: to copy it costs more than another call."""
PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_.-]+)+")


class FinishingCycle(RequestResponseCycle):
    """uvicorn's care for one request that keeps its connection alive, with two short ways beside `receive` and `send`.

    An application finds it as the owner of its `send`, and so only where nobody stands between that would miss a message.
    """

    disconnected = False
    keep_alive = True
    waiting_for_100_continue = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0

    def __init__(self, protocol: FinishingProtocol) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = protocol.on_response_complete
        self.body = bytearray()

    def take_body(self, bytes_max: int) -> bytes | None:
        """The body, where all of it is there, nobody has taken it and it is no longer than this; else `receive` gives it."""
        if self.more_body or self.disconnected or self.response_complete or not self.message_event.is_set():
            return None
        if len(self.body) > bytes_max:
            return None
        self.message_event.clear()
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return body

    def finish(self, status: int, fields: bytes, body: bytes) -> bool:
        """Send a whole answer, if nothing keeps it from being the usual case; `fields` are the lines of its headers."""
        if self.response_started or self.disconnected or not self.keep_alive or self.access_log or self.flow.write_paused:
            return False
        if self.scope["method"] == "HEAD":
            return False
        self.response_started = self.response_complete = True
        dates = b"".join([b"%b: %b\r\n" % header for header in self.default_headers])
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (STATUS_LINE[status], dates, fields, len(body))
        if len(body) < COPIED_MAX:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        self.message_event.set()
        self.on_response()
        return True


class FinishingProtocol(HttpToolsProtocol):
    """uvicorn's protocol with cycles of ours for plain requests: POST over HTTP/1.1 that is kept alive, one after the other.

    Every other request is uvicorn's own in all.
    """

    def on_headers_complete(self) -> None:
        if not self._is_plain():
            super().on_headers_complete()
            return
        scope: HTTPScope = self.scope
        scope["method"] = "POST"
        scope["path"] = self.url.decode("ascii")
        scope["raw_path"] = self.url
        scope["query_string"] = b""
        cycle: Any = FinishingCycle(self)
        self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._let_go()

    def _let_go(self) -> None:
        """Hold nothing that holds this: it is freed with its connection, and need not wait for Python's collector."""
        nothing: Any = None
        self.parser = self.cycle = nothing

    def _is_plain(self) -> bool:
        parser, before = self.parser, self.cycle
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (before is None or before.response_complete)
            and PLAIN_PATH.fullmatch(self.url) is not None
            and not self.root_path
            and self.limit_concurrency is None
        )
