"""Routes by which a user of the paper exchange makes it misbehave and behave again; not Kraken's, and on loopback only."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

import msgspec
from aiohttp import web

from fullon_master_api.exchanges.paper.faults import Faults

SWITCHES: Final = ("maintenance", "refuse", "stalled", "silent")
SHARES: Final = ("lose", "duplicate", "reorder", "cut")
DELAY_S_MAX: Final = 60.0


class Controls:
    """GET `/paper/faults`, PATCH it with what to change, DELETE it to behave; DELETE `/paper/sockets` cuts them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def add_routes(self, app: web.Application, host: str) -> None:
        if not _is_loopback(host):
            return
        app.router.add_get("/paper/faults", self._show)
        app.router.add_patch("/paper/faults", self._change)
        app.router.add_delete("/paper/faults", self._clear)
        app.router.add_delete("/paper/sockets", self._drop)

    async def _show(self, _: web.Request) -> web.Response:
        return self._answer()

    async def _change(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=dict[str, bool | int | float])
            checked = {name: _checked(name, value) for name, value in wanted.items()}
        except (msgspec.DecodeError, ValueError) as error:
            return web.json_response({"detail": str(error)}, status=422)
        for name, value in checked.items():
            setattr(self._faults, name, value)
        return self._answer()

    async def _clear(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return self._answer()

    async def _drop(self, _: web.Request) -> web.Response:
        return web.json_response({"dropped": self._faults.drop_sockets()})

    def _answer(self) -> web.Response:
        return web.json_response({name: getattr(self._faults, name) for name in (*SWITCHES, *SHARES, "rest_delay_s")})


def _checked(name: str, value: Any) -> bool | float:
    """The value as its fault takes it. Raises: ValueError that says what it takes."""
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"{name} was {value!r}, must be true or false")
        return value
    most = DELAY_S_MAX if name == "rest_delay_s" else 1.0
    if name not in (*SHARES, "rest_delay_s"):
        raise ValueError(f"no fault {name!r}; known are {', '.join((*SWITCHES, *SHARES, 'rest_delay_s'))}")
    if isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name} was {value!r}, must be 0 to {most:g}")
    return float(value)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
