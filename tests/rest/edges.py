"""The edge of REST for a test's application: it lets everybody in, as far as the test says no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastapi import FastAPI

from fullon_master_api.auth.rates import Rates
from fullon_master_api.model import Principal
from fullon_master_api.rest.edge import Edge, Sockets


async def nobody(_authorization: str | None, _api_key: str | None) -> Principal | None:
    return None


class Room:
    """Places for sockets."""

    def __init__(self, size: int) -> None:
        self.left = size

    def admit(self, _address: str) -> bool:
        if self.left:
            self.left -= 1
            return True
        return False

    def dismiss(self, _address: str) -> None:
        self.left += 1


def sockets_for(*, most: int = 1000, of_user: int = 1000, origins: Sequence[str] = ()) -> Sockets:
    room = Room(most)
    return Sockets(admit=room.admit, dismiss=room.dismiss, users=Counter(), of_user_max=of_user, origins=origins)


def add_edge(app: FastAPI, sockets: Sockets | None = None, rates: Rates | None = None) -> None:
    app.add_middleware(
        Edge,
        authenticate=nobody,
        api_key_header="X-API-Key",
        body_bytes_max=100_000,
        foreign_path="/graphql",
        rates=rates or Rates(per_user=0, per_address=0, running_max=100),
        limited_prefix="/api",
        sockets=sockets or sockets_for(),
    )
