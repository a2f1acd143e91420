"""Passwords: argon2id hashes, made and checked off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fullon_master_api.errors import BadUserInput, RateLimited

LENGTH_MIN: Final = 8
LENGTH_MAX: Final = 256
THREADS: Final = 2
WAITING_MAX: Final = 50
"""Passwords that are hashed or checked, or wait for it: two seconds of work."""
RETRY_S: Final = 2.0

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords in its own few threads, so that a login never holds up a request."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._waiting = 0
        self._hasher = PasswordHasher()
        # An unknown user costs the same work as a known one: this hash is checked in their place.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to store. Raises BadUserInput where the length is not 8 to 256 characters; RateLimited where too many wait."""
        if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
            raise BadUserInput(
                f"the password has {len(password)} characters, must have {LENGTH_MIN} to {LENGTH_MAX}", path=("password",)
            )
        return await self._work(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one of this hash; the same time passes where there is no hash. Raises RateLimited."""
        if len(password) > LENGTH_MAX:
            return False
        checked = await self._work(self._verify, stored or self._nobody, password)
        return checked and stored is not None

    async def _work(self, work: Callable[..., T], *given: str) -> T:
        if self._waiting >= WAITING_MAX:
            raise RateLimited("too many logins at once: try again in a moment", retry_after_s=RETRY_S)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
        finally:
            self._waiting -= 1

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


@asynccontextmanager
async def open_passwords() -> AsyncIterator[Passwords]:
    """The threads end with the block."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="argon2") as pool:
        yield Passwords(pool)
