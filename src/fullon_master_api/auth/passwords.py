"""Passwords: argon2id hashes, made and checked off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fullon_master_api.errors import BadUserInput

LENGTH_MIN: Final = 8
LENGTH_MAX: Final = 256
THREADS: Final = 2


class Passwords:
    """Hashes and checks passwords in its own few threads, so that a login never holds up a request."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._hasher = PasswordHasher()
        # An unknown user costs the same work as a known one: this hash is checked in their place.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to store. Raises BadUserInput where the length is not 8 to 256 characters."""
        if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
            raise BadUserInput(
                f"the password has {len(password)} characters, must have {LENGTH_MIN} to {LENGTH_MAX}", path=("password",)
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one of this hash; the same time passes where there is no hash."""
        if len(password) > LENGTH_MAX:
            return False
        checked = await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, stored or self._nobody, password)
        return checked and stored is not None

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
