"""ccxt's sockets made exact and honest: digits as sent, every message in order, and no failure that goes unseen."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

import ccxt
import msgspec
from ccxt.async_support.base.ws.client import Client

from fullon_master_api.errors import ExchangeUnavailable
from fullon_master_api.logs import get_logger

MESSAGES_MAX: Final = 20_000

log = get_logger(__name__)

decode_exact = msgspec.json.Decoder(float_hook=str).decode
"""JSON whose numbers with a point stay text, so that `0.00012300` keeps its zeros and 1762795433.9717445 its last digit."""


class ExactClient(Client):  # type: ignore[misc]
    """ccxt's socket client, except that numbers stay exact and an unreadable message ends the connection.

    ccxt decodes to floats; and an exception in its message callback ends its receive loop without telling anybody, so that
    every waiter hangs until the keep-alive gives up.
    """

    def handle_text_or_binary_message(self, data: Any) -> None:
        try:
            self.on_message_callback(self, decode_exact(data))
        except Exception as error:  # Told to every reader of the connection, and written down: it may be our own mistake.
            log.warning("exchange.message_unreadable", url=self.url, error=repr(error), exc_info=True)
            self.on_error(ccxt.NetworkError(f"a message could not be read: {type(error).__name__}: {error}"))


class Feed:
    """What arrived for one reader, oldest first, until its connection fails. At most `MESSAGES_MAX` wait.

    A `lossy` feed then forgets the oldest message, where the newest says all; any other ends.
    """

    def __init__(self, *, lossy: bool = False) -> None:
        self.shared = False  # joined what another reader had subscribed: no snapshot will come
        self._lossy = lossy
        self._messages: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._error: Exception | None = None

    def put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._arrived.set()
        if len(self._messages) > MESSAGES_MAX:
            if self._lossy:
                self._messages.popleft()
            else:
                self._messages.clear()
                self.fail(ExchangeUnavailable(f"more than {MESSAGES_MAX} messages waited for their reader"))

    def fail(self, error: Exception) -> None:
        """End the feed; what came before the error is still read first."""
        self._error = self._error or error
        self._arrived.set()

    async def wait(self, timeout_s: float | None) -> list[dict[str, Any]]:
        """All that waits, at least one message; empty when `timeout_s` passed without any.

        Raises: the error with which the connection failed.
        """
        if not self._messages and self._error is None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if not self._messages and self._error is not None:
            raise self._error
        messages = list(self._messages)
        self._messages.clear()
        if self._error is None:
            self._arrived.clear()
        return messages


class ExactExchange:
    """Put before a class of `ccxt.pro`: exact numbers on REST and sockets, and hooks for a connection that failed."""

    def on_json_response(self, text: str) -> Any:
        return decode_exact(text)

    def client(self, url: str) -> Any:
        client = super().client(url)  # type: ignore[misc]
        if type(client) is Client:
            # ccxt makes the client inside this method and offers no other place to choose its class.
            client.__class__ = ExactClient
        return client

    def is_current(self, client: Any) -> bool:
        """Whether this is the socket in use, and not one that failed before and is still being closed."""
        return self.clients.get(client.url) is client  # type: ignore[attr-defined]

    def on_error(self, client: Any, error: Exception) -> None:
        if self.is_current(client):
            self.connection_failed(client, error)
            super().on_error(client, error)  # type: ignore[misc]

    def on_close(self, client: Any, code: Any) -> None:
        # ccxt would forget the socket of this URL even when that is a newer one.
        if self.is_current(client):
            self.connection_failed(client, client.error or ccxt.NetworkError(f"the socket closed with code {code}"))
            super().on_close(client, code)  # type: ignore[misc]

    def connection_failed(self, client: Any, error: Exception) -> None:
        """Told of every socket that failed or closed, whoever waits on it."""


def silent_s(client: Any) -> float:
    """Seconds since anything at all came over a socket, heartbeats included."""
    last_ms = client.last_message_at or client.connectionEstablished
    return 0.0 if last_ms is None else max(0.0, time.time() - last_ms / 1000)
