"""What a socket beside GraphQL's may take: counted together with GraphQL's sockets and with what is asked over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

from fullon_master_api.auth.rates import Rates
from fullon_master_api.errors import RateLimited
from fullon_master_api.model import Principal

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def refuse_handshake(scope: Mapping[str, Any], send: Send, status: int) -> None:
    """Answer the handshake with a status; a server without that extension answers 403."""
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-length", b"0")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1013 if status == 503 else 1008})


class SocketAllowance:
    """Of one socket. `sockets` are those that each user has open in this process, on whatever path."""

    def __init__(self, rates: Rates, sockets: Counter[int], sockets_max: int, address: str) -> None:
        self._rates = rates
        self._sockets = sockets
        self._sockets_max = sockets_max
        self._address = address

    def count_refusal(self) -> None:
        """A credential that did not hold is counted as a request of nobody, as over HTTP."""
        with suppress(RateLimited):  # It is refused anyhow.
            self._rates.spend(Rates.caller(None, self._address))

    def spend(self, principal: Principal) -> None:
        """Count a request. Raises RateLimited."""
        self._rates.spend(Rates.caller(principal, self._address))

    @contextmanager
    def held(self, principal: Principal) -> Iterator[None]:
        """While the user has this socket. Raises RateLimited where that is one too many."""
        uid = principal.uid
        if self._sockets[uid] >= self._sockets_max:
            raise RateLimited(f"a user may have {self._sockets_max} sockets", retry_after_s=1.0)
        self._sockets[uid] += 1
        try:
            yield
        finally:
            self._sockets[uid] -= 1
            if not self._sockets[uid]:
                del self._sockets[uid]
