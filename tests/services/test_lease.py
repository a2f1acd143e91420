"""Leases by their own clock, and how a supervisor waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fullon_master_api.model import ServiceName
from fullon_master_api.services.lease import Leases
from fullon_master_api.services.supervisor import Supervisor
from tests.services.stage import LEASE_S, open_platform

TICKER = ServiceName.TICKER


async def test_a_lease_ends_its_time_after_the_call_for_it_began_and_not_after_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database counts from some moment within the call: only so does the old owner stop before another is let in."""
    now_s = 100.0
    async with open_platform(tmp_path) as resources:
        store = resources.orm.services
        claim, renew = store.claim, store.renew

        async def slow_claim(names: Sequence[str], owner: str, ttl_s: float) -> dict[str, int]:
            nonlocal now_s
            claimed = await claim(names, owner, ttl_s)
            now_s += 3.0
            return claimed

        async def slow_renew(owner: str, epochs: Mapping[str, int], ttl_s: float) -> set[str]:
            nonlocal now_s
            kept = await renew(owner, epochs, ttl_s)
            now_s += 4.0
            return kept

        monkeypatch.setattr(store, "claim", slow_claim)
        monkeypatch.setattr(store, "renew", slow_renew)
        leases = Leases(store, [TICKER], owner="me", ttl_s=60.0, clock=lambda: now_s)
        assert leases.deadline_s() is None
        assert await leases.claim() == {TICKER: 1}
        assert leases.deadline_s() == 57.0
        now_s += 10.0
        assert await leases.renew() == set()
        assert leases.deadline_s() == 56.0
        now_s += 56.0
        assert (leases.overdue(), dict(leases.held)) == ({TICKER}, {})


async def test_a_lease_that_ends_this_instant_is_not_waited_for_as_if_none_were_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def renewed(within_s: float) -> set[ServiceName]:
        waits.append(within_s)
        raise ValueError("the end of this test")

    async with open_platform(tmp_path) as resources:
        supervisor = Supervisor(resources.orm.services, resources.bus, {}, ttl_s=LEASE_S)
        monkeypatch.setattr(supervisor._leases, "deadline_s", lambda: 0.0)
        monkeypatch.setattr(supervisor, "_renewed", renewed)
        with pytest.raises(ValueError, match="the end of this test"):
            await supervisor._keep_leases()
    assert waits == [0.01]
