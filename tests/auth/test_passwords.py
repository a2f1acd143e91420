"""Passwords are checked beside the event loop, and no more of them wait than are soon done."""

from __future__ import annotations

import asyncio

import pytest

from fullon_master_api.auth import passwords as module
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.errors import RateLimited


async def test_a_password_matches_its_own_hash_and_nobody_has_the_hash_of_nobody() -> None:
    async with open_passwords() as passwords:
        stored = await passwords.hash("correct horse")

        assert await passwords.matches(stored, "correct horse")
        assert not await passwords.matches(stored, "correct house")
        assert not await passwords.matches(None, "nobody has this password")


async def test_no_more_checks_wait_than_are_soon_done_and_there_is_room_again_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    async with open_passwords() as passwords:
        ended = await asyncio.gather(*(passwords.matches(None, "a guess") for _ in range(8)), return_exceptions=True)

        assert ended[:3] == [False] * 3
        assert [type(each) for each in ended[3:]] == [RateLimited] * 5
        assert not await passwords.matches(None, "another guess")
