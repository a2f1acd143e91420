"""What every resolver is handed: who asks, and the stores that answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fullon_master_api.apis.cache import Cache
from fullon_master_api.apis.ohlcv import OhlcvStore
from fullon_master_api.apis.orm import Orm
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.bus import Bus
from fullon_master_api.errors import Forbidden, Unauthenticated
from fullon_master_api.model import Principal
from fullon_master_api.services.manager import ServiceManager


@dataclass(frozen=True, slots=True)
class Stores:
    """The rooms below, opened once by `app`."""

    orm: Orm
    ohlcv: OhlcvStore
    cache: Cache
    bus: Bus
    sessions: Sessions
    services: ServiceManager


@dataclass(slots=True)
class Context:
    """One operation's context; never shared between operations, so nothing in it can go stale."""

    stores: Stores
    principal: Principal | None
    request_id: str
    address: str = ""
    loaders: dict[Any, Any] = field(default_factory=dict)

    @property
    def bus(self) -> Bus:
        return self.stores.bus

    @property
    def user(self) -> Principal:
        """The signed-in caller. Raises Unauthenticated where nobody is."""
        if self.principal is None:
            raise Unauthenticated("not authenticated: log in and send the token as 'Authorization: Bearer …'")
        return self.principal

    @property
    def writer(self) -> Principal:
        """The caller, who may change things. Raises Forbidden for a read-only credential."""
        if not self.user.may_write:
            raise Forbidden("this credential may only read: use one with the scope 'write'")
        return self.user

    @property
    def admin(self) -> Principal:
        """The caller, who is an admin. Raises Forbidden for everybody else."""
        if not self.user.is_admin:
            raise Forbidden("Admin access required")
        return self.user

    def require_user(self) -> None:
        """For fields that answer every signed-in caller alike. Raises Unauthenticated."""
        _ = self.user

    def require_admin(self) -> None:
        """For fields that answer every admin alike. Raises Unauthenticated, Forbidden."""
        _ = self.admin
