"""The WebSocket endpoint: whom it lets in, and the session it gives them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Receive, Scope
from starlette.types import Send as AsgiSend

from fullon_master_api.auth.origins import is_origin_allowed
from fullon_master_api.auth.rates import address_of
from fullon_master_api.auth.sockets import refuse_handshake
from fullon_master_api.logs import get_logger
from fullon_master_api.transport import protocols
from fullon_master_api.transport.desk import Desk
from fullon_master_api.transport.detached import Connection
from fullon_master_api.transport.links import AsgiLink, Send
from fullon_master_api.transport.protocols import choose_wire
from fullon_master_api.transport.sessions import Session
from fullon_master_api.transport.upgrade import EXTENSION, DetachableProtocol

log = get_logger(__name__)

QUERY_CREDENTIALS: Final = ("token", "access_token", "authorization", "apiKey", "api_key")


class SocketEndpoint:
    """`/graphql` for sockets, as a plain ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        hub, settings = self._desk.hub, self._desk.settings
        headers = Headers(scope=scope)
        if not is_origin_allowed(headers, settings.cors_origins):
            hub.figures.sockets_refused += 1
            await refuse_handshake(scope, send, 403)
            return
        address = address_of(scope)
        if not hub.admit(address, settings.socket_connections_max, settings.socket_connections_per_address_max):
            await refuse_handshake(scope, send, 503)
            return
        detached = False
        try:
            detached = await self._let_in(scope, receive, send, headers, address)
        finally:
            if not detached:
                hub.dismiss(address)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, headers: Headers, address: str) -> bool:
        """Accept and serve. True where the socket lives on without this task; it then dismisses its address at its end."""
        wire = choose_wire(list(scope.get("subprotocols", [])))
        if wire is None:
            await send({"type": "websocket.accept"})
            names = " or ".join(known.name for known in protocols.WIRES)
            await send({"type": "websocket.close", "code": protocols.CLOSE_NO_PROTOCOL, "reason": f"speak {names}"})
            return False
        hub, credentials = self._desk.hub, self._credentials(scope, headers)
        bytes_max = self._desk.settings.socket_message_bytes_max
        protocol = scope.get("extensions", {}).get(EXTENSION)
        if isinstance(protocol, DetachableProtocol) and protocol.is_detachable():
            connection = Connection(hub.flusher, bytes_max, hub, address)
            connection.session = Session(self._desk, connection, wire, credentials, address)
            protocol.detach(connection, wire.name)
            return True
        await send({"type": "websocket.accept", "subprotocol": wire.name})
        link = AsgiLink(send, hub.spawn)
        session = link.owner = Session(self._desk, link, wire, credentials, address)
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text")
                if text is None:
                    session.refuse(protocols.CLOSE_BAD_MESSAGE, "Invalid message: send text, not binary")
                elif len(text) > bytes_max:
                    session.refuse(protocols.CLOSE_TOO_BIG, f"a message may have {bytes_max} bytes")
                else:
                    session.received(text)
        finally:
            link.lost()
            session.lost()
        return False

    def _credentials(self, scope: Scope, headers: Headers) -> dict[str, str]:
        """Credentials of the handshake. Browsers cannot set headers on a socket, so a query parameter may carry them."""
        api_key_header = self._desk.settings.api_key_header_name.lower()
        found = {name: headers[name] for name in ("authorization", api_key_header) if name in headers}
        if found:
            return found
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        given: dict[str, Any] = {name: query[name][0] for name in QUERY_CREDENTIALS if name in query}
        return protocols.credentials_in(given, api_key_header)
