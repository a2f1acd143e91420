"""uvicorn's WebSocket protocol, made to give a connection away once the application accepts it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableSet
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from fullon_master_api.transport.handshake import Handshake, read_handshake

if TYPE_CHECKING:
    from fullon_master_api.transport.detached import Connection

EXTENSION: Final = "fullon.detach"
"""Key in the scope's extensions under which the detachable protocol lies."""

ACCEPTED: Final = Response(101, "Switching Protocols", Headers())


class DetachableProtocol(WebSocketsSansIOProtocol):
    """uvicorn's socket, which can give its connection away instead of accepting it. It agrees to no compression.

    A plain handshake is read by `read_handshake`. uvicorn's own machinery reads it once more, and answers, where the application
    keeps the socket; it alone reads any other handshake.
    """

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn.available_extensions = []
        self._asked: Handshake | None = None
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        asked = None if self.handshake_initiated else read_handshake(data)
        if asked is not None:
            self._ask_application(asked, data)
            return
        self._let_library_read()
        super().data_received(data)

    def _ask_application(self, asked: Handshake, data: bytes) -> None:
        """By uvicorn's own `handle_connect`, without the library's answer, which may never be needed."""
        self._asked, self._unread = asked, data
        library, self.conn = self.conn, cast("ServerProtocol", Accepting())
        self.handle_connect(cast("Request", asked))
        self.conn = library
        cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    def _let_library_read(self) -> None:
        """Catch up: the socket stays uvicorn's."""
        if self._asked is None:
            return
        self._asked = None
        self.conn.receive_data(self._unread)
        self._unread = b""
        for event in self.conn.events_received():
            assert isinstance(event, Request)
            self.request = event
            self.response = self.conn.accept(event)

    async def send(self, message: ASGISendEvent) -> None:
        self._let_library_read()
        await super().send(message)

    def is_detachable(self) -> bool:
        """Whether the client waits for its answer and has said nothing more, so that no byte is lost on the way."""
        return self._asked is not None and not self.transport.is_closing()

    def detach(self, connection: Connection, protocol: str) -> None:
        """Accept the client, and give the transport to `connection`."""
        assert self._asked is not None
        answer = self._asked.answer(protocol, self.default_headers)
        self._asked, self.handshake_complete = None, True
        del cast("dict[str, Any]", self.scope["extensions"])[EXTENSION]  # Nothing holds this protocol any more.
        transport, self.transport = self.transport, cast("asyncio.Transport", Gone())
        self.connections.discard(self)
        connection.take(transport, cast("MutableSet[Any]", self.connections), answer)


class Accepting:
    """Stands where the library is until the application has decided."""

    def accept(self, _request: Request) -> Response:
        return ACCEPTED


class Gone:
    """Stands where the transport was: uvicorn closes it when the application returns."""

    def close(self) -> None:
        """Nothing is left to close."""

    def is_closing(self) -> bool:
        return True
