"""How much one caller may ask: requests a minute, and requests at once; by user, and by address for strangers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Any, Final

from fullon_master_api.errors import RateLimited
from fullon_master_api.model import Principal
from fullon_master_api.settings import Settings

CALLERS_MAX: Final = 50_000
BUSY_RETRY_S: Final = 1.0

HOSTS_MAX: Final = 10_000
Caller = tuple[str, int | str]


def address_of(scope: Mapping[str, Any]) -> str:
    """The address that a client of an ASGI scope is counted by; empty where the server does not know where it connects from."""
    client = scope.get("client")
    return counted_address(client[0]) if client else ""


@lru_cache(maxsize=HOSTS_MAX)
def counted_address(host: str) -> str:
    """An IPv4 address as it is, an IPv6 address as its network of 64 bits: one subscriber has all of that (RFC 6177, 2)."""
    try:
        address = IPv6Address(host)
    except ValueError:  # An IPv4 address, or a name that a server gave it.
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))


@dataclass(slots=True)
class Bucket:
    """Requests that are left; refilled with time up to a minute's worth."""

    left: float
    at_s: float


class Rates:
    """Counted in this process, in memory of bounded size; of callers beyond it, those seen longest ago start anew."""

    def __init__(self, *, per_user: int, per_address: int, running_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = {"user": per_user, "address": per_address}
        self._running_max = running_max
        self._clock = clock
        self._buckets: OrderedDict[Caller, Bucket] = OrderedDict()
        self._running: dict[Caller, int] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Rates:
        return cls(
            per_user=settings.requests_per_minute_per_user,
            per_address=settings.requests_per_minute_per_address,
            running_max=settings.requests_running_max,
        )

    @staticmethod
    def caller(principal: Principal | None, address: str) -> Caller:
        """Whose allowance is used: the user's, from whatever address; the address's, where nobody signed in."""
        return ("address", address) if principal is None else ("user", principal.uid)

    def spend(self, caller: Caller, requests: int = 1) -> None:
        """Count requests. Raises RateLimited, which says when to come back."""
        limit = self._limits[caller[0]]
        if not limit:
            return
        bucket = self._bucket(caller, limit)
        if bucket.left < requests:
            wait_s = (requests - bucket.left) * 60 / limit
            told = f"one {caller[0]} may send {limit} requests a minute: wait {max(1, round(wait_s))} s"
            raise RateLimited(told, retry_after_s=wait_s)
        bucket.left -= requests

    def left(self, caller: Caller) -> tuple[int, int] | None:
        """(requests left, requests a minute); None where they are not limited."""
        limit = self._limits[caller[0]]
        return (int(self._bucket(caller, limit).left), limit) if limit else None

    def running(self, caller: Caller) -> Running:
        """While a request of this caller is worked on. Raises RateLimited when too many are."""
        return Running(self, caller)

    def check_running(self, caller: Caller) -> None:
        """Raises RateLimited when as many requests of this caller run as may."""
        if self._running.get(caller, 0) >= self._running_max:
            told = f"one {caller[0]} may have {self._running_max} requests running: wait for one to end"
            raise RateLimited(told, retry_after_s=BUSY_RETRY_S)

    def enter(self, caller: Caller) -> None:
        self._running[caller] = self._running.get(caller, 0) + 1

    def leave(self, caller: Caller) -> None:
        count = self._running.pop(caller)
        if count > 1:
            self._running[caller] = count - 1

    def _bucket(self, caller: Caller, limit: int) -> Bucket:
        now_s = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = Bucket(limit, now_s)
            if len(self._buckets) > CALLERS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller)
            bucket.left = min(limit, bucket.left + (now_s - bucket.at_s) * limit / 60)
            bucket.at_s = now_s
        return bucket


class Running:
    """Counts a request from `with` to its end; a plain class, since every request pays for it."""

    __slots__ = ("_caller", "_rates")

    def __init__(self, rates: Rates, caller: Caller) -> None:
        self._rates = rates
        self._caller = caller

    def __enter__(self) -> None:
        self._rates.check_running(self._caller)
        self._rates.enter(self._caller)

    def __exit__(self, *exc_info: object) -> None:
        self._rates.leave(self._caller)
