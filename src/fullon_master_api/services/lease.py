"""The leases that this process holds: won by epoch, kept by renewing, trusted until its own clock says stop."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fullon_master_api.model import DesiredState, FeedHealth, Fence, Principal, Service, ServiceName, ServiceState


class ServiceStore(Protocol):
    """What the manager and the supervisor need of the SQL store."""

    async def get_all(self) -> list[Service]: ...
    async def get(self, name: ServiceName) -> Service: ...
    async def set_desired(
        self, name: ServiceName, desired: DesiredState, *, by: Principal | None, restart: bool = False
    ) -> Service: ...
    async def claim(self, names: Sequence[str], owner: str, ttl_s: float) -> dict[str, int]: ...
    async def renew(self, owner: str, epochs: Mapping[str, int], ttl_s: float) -> set[str]: ...
    async def release(self, owner: str, epochs: Mapping[str, int]) -> None: ...
    async def observe(
        self,
        fence: Fence,
        *,
        state: ServiceState | None = None,
        observed_generation: int | None = None,
        last_error: str | None = None,
        restarts: int | None = None,
        feeds: Sequence[FeedHealth] | None = None,
    ) -> Service: ...


def owner_name() -> str:
    """A name no other process has: host, pid and eight random digits, because pids come back."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Leases:
    """Claims what is free, renews what is held, and says what was lost.

    A held lease ends, for us, `ttl_s` after the *start* of the last call that gave or renewed it, on our monotonic
    clock. The database counts from a later moment, so we always stop before it lets another owner in.
    """

    def __init__(
        self,
        store: ServiceStore,
        names: Sequence[ServiceName],
        *,
        owner: str,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._names, self.owner, self.ttl_s, self._clock = store, tuple(names), owner, ttl_s, clock
        self._epochs: dict[ServiceName, int] = {}
        self._deadlines: dict[ServiceName, float] = {}

    @property
    def held(self) -> Mapping[ServiceName, int]:
        """Epoch of each lease that we may still act under."""
        now = self._clock()
        return {name: epoch for name, epoch in self._epochs.items() if now < self._deadlines[name]}

    def deadline_s(self) -> float | None:
        """Seconds until the first held lease ends by our own clock; None when none is held."""
        return min(self._deadlines.values()) - self._clock() if self._deadlines else None

    async def claim(self) -> dict[ServiceName, int]:
        """Take every lease that nobody holds; the answer has the ones won now."""
        missing = [name for name in self._names if name not in self._epochs]
        if not missing:
            return {}
        asked = self._clock()
        claimed = await self._store.claim(missing, self.owner, self.ttl_s)
        won = {ServiceName(name): epoch for name, epoch in claimed.items()}
        for name, epoch in won.items():
            self._epochs[name], self._deadlines[name] = epoch, asked + self.ttl_s
        return won

    async def renew(self) -> set[ServiceName]:
        """Prolong what is held; the answer has the leases that are ours no more."""
        if not self._epochs:
            return set()
        asked, before = self._clock(), dict(self._epochs)
        kept = {ServiceName(name) for name in await self._store.renew(self.owner, _named(before), self.ttl_s)}
        for name in kept & self._epochs.keys():
            self._deadlines[name] = asked + self.ttl_s
        return before.keys() - kept

    def overdue(self) -> set[ServiceName]:
        """Leases that our own clock has ended, whatever the store would say."""
        now = self._clock()
        return {name for name, deadline in self._deadlines.items() if now >= deadline}

    def forget(self, names: set[ServiceName]) -> None:
        for name in names:
            self._epochs.pop(name, None)
            self._deadlines.pop(name, None)

    async def release(self) -> None:
        """Give back what is held, so that another process need not wait for the end of the lease."""
        epochs = dict(self._epochs)
        self.forget(set(epochs))
        if epochs:
            await self._store.release(self.owner, _named(epochs))


def _named(epochs: Mapping[ServiceName, int]) -> dict[str, int]:
    return {name.value: epoch for name, epoch in epochs.items()}
