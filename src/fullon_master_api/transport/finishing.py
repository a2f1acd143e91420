"""uvicorn's HTTP protocol, made to give a whole request away and to take a finished answer in one piece."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

COPIED_MAX: Final = 16_384
"""A body of as many bytes leaves by itself: to copy it costs more than another call."""
HEAD_BYTES_MAX: Final = 65_536
"""Bytes of a request that are not its body: its line, its headers, the sizes of its chunks and what follows them."""
HEADERS_MAX: Final = 100
WHOLE_S: Final = 30.0
"""How long a request may take to come whole, from the start of its connection or its own first byte."""
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

    Every other request is uvicorn's own in all, but that none may have an endless head or take forever to come.
    """

    _whole = _advanced = _refused = False
    _head_bytes = _body_bytes = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(WHOLE_S, self._refuse, 408)

    def data_received(self, data: bytes) -> None:
        self._advanced, self._body_bytes = False, 0
        super().data_received(data)
        if not self._advanced:
            self._head_bytes += len(data) - self._body_bytes
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431)
        if not self._whole and self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(WHOLE_S, self._refuse, 408)

    def on_message_begin(self) -> None:
        self._whole = False
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole = self._advanced = True
        self._head_bytes = 0
        self._in_time()
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._advanced, self._head_bytes = True, 0
        if len(self.headers) > HEADERS_MAX:
            self._refuse(431)
            raise ValueError("too many headers")  # The parser stops.
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
        self._in_time()
        nothing: Any = None
        self.parser = self.cycle = nothing

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int) -> None:
        """Say why, where no answer is on its way, and hang up."""
        self._refused = True
        self._in_time()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

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
