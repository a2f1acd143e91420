"""Who may open a socket of the cache: decided before any frame is read or sent."""

from __future__ import annotations

from typing import Final

from starlette.websockets import WebSocket

from fullon_master_api.errors import GatewayError, Unauthenticated, UnknownUser
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Principal
from fullon_master_api.rest.cache.desk import Desk

log = get_logger(__name__)

POLICY_VIOLATION: Final = 1008

MISSING: Final = "Missing authentication token"
INVALID: Final = "Invalid authentication token"
UNKNOWN: Final = "User not found"
FAILED: Final = "Authentication error"
NOT_ADMIN: Final = "Admin access required"


async def admit(socket: WebSocket, desk: Desk, *, admin_only: bool) -> Principal | None:
    """Accept the socket; its principal, also kept as `state.user`. None where it was refused and closed with 1008.

    The token is `?token=` or a header. A refusal accepts first, because a browser shows the reason of a close and
    nothing of a refused handshake.
    """
    principal, refusal = await ask_who(socket, desk)
    await socket.accept()
    if principal is not None and admin_only and not principal.is_admin:
        refusal = NOT_ADMIN
    if principal is None:
        socket.state.allowance.count_refusal()
    if principal is None or refusal is not None:
        log.info("cache.socket_refused", path=socket.url.path, reason=refusal)
        await socket.close(POLICY_VIOLATION, refusal)
        return None
    socket.state.user = principal
    return principal


async def find_change(socket: WebSocket, desk: Desk, principal: Principal) -> str | None:
    """Why an open socket must close: its credential was refused since, or means another right. None while it holds.

    A store that does not answer changes nothing: what was known a moment ago still counts.
    """
    now, refusal = await ask_who(socket, desk)
    if refusal == FAILED:
        return None
    if now is not None and (now.uid, now.role, now.scopes) != (principal.uid, principal.role, principal.scopes):
        return INVALID
    return refusal


async def ask_who(socket: WebSocket, desk: Desk) -> tuple[Principal | None, str | None]:
    """The principal, or why there is none."""
    token = socket.query_params.get("token")
    authorization = f"Bearer {token}" if token else socket.headers.get("authorization")
    try:
        principal = await desk.authenticate(authorization, socket.headers.get(desk.api_key_header))
    except UnknownUser:
        return None, UNKNOWN
    except Unauthenticated:
        return None, INVALID
    except GatewayError as error:
        log.warning("cache.authentication_failed", error=error.message)
        return None, FAILED
    return (principal, None) if principal is not None else (None, MISSING)
