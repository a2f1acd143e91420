"""How much one caller may ask."""

from __future__ import annotations

import pytest

from fullon_master_api.auth import rates as module
from fullon_master_api.auth.rates import Rates, address_of
from fullon_master_api.errors import RateLimited
from fullon_master_api.model import Principal, Role, Scope
from fullon_master_api.settings import Settings

ADA = Rates.caller(Principal(uid=1, mail="ada@fullon", role=Role.USER, scopes=frozenset(Scope)), "192.0.2.1")
BEN = Rates.caller(Principal(uid=2, mail="ben@fullon", role=Role.USER, scopes=frozenset(Scope)), "192.0.2.1")
STRANGER = Rates.caller(None, "192.0.2.1")


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_is_counted_as_whom_it_was_given_to(host: str, counted: str) -> None:
    assert address_of({"client": (host, 1)}) == counted
    assert address_of({"client": None}) == address_of({}) == ""


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def limited(rates: Rates, caller: module.Caller, requests: int = 1) -> float:
    with pytest.raises(RateLimited) as caught:
        rates.spend(caller, requests)
    return caught.value.retry_after_s


def test_a_minutes_worth_may_come_at_once_and_then_as_time_allows() -> None:
    clock = Clock()
    rates = Rates(per_user=60, per_address=6, running_max=1, clock=clock)
    for _ in range(60):
        rates.spend(ADA)

    assert limited(rates, ADA) == pytest.approx(1.0)
    assert limited(rates, ADA, 3) == pytest.approx(3.0)
    clock.now_s += 1.0
    rates.spend(ADA)
    assert rates.left(ADA) == (0, 60)
    clock.now_s += 3_600.0
    assert rates.left(ADA) == (60, 60)


def test_each_user_and_each_strangers_address_has_its_own() -> None:
    rates = Rates(per_user=1, per_address=1, running_max=1, clock=Clock())
    for caller in (ADA, BEN, STRANGER):
        rates.spend(caller)
        limited(rates, caller)


def test_zero_is_no_limit() -> None:
    rates = Rates(per_user=0, per_address=0, running_max=1, clock=Clock())
    for _ in range(1_000):
        rates.spend(STRANGER)
    assert rates.left(STRANGER) is None


def test_requests_at_once_are_bounded_and_a_failed_one_gives_its_place_back() -> None:
    rates = Rates(per_user=0, per_address=0, running_max=2, clock=Clock())
    with rates.running(ADA), rates.running(BEN):
        with pytest.raises(ZeroDivisionError), rates.running(ADA):
            raise ZeroDivisionError
        with rates.running(ADA), pytest.raises(RateLimited), rates.running(ADA):
            pass
    assert not rates._running


def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALLERS_MAX", 10)
    rates = Rates(per_user=1, per_address=1, running_max=1, clock=Clock())
    for number in range(100):
        rates.spend(Rates.caller(None, f"192.0.2.{number}"))
    assert len(rates._buckets) == 10


def test_the_limits_are_those_of_the_settings() -> None:
    settings = Settings(_env_file=None, requests_per_minute_per_address=1, requests_per_minute_per_user=0)
    rates = Rates.from_settings(settings)

    rates.spend(ADA, 50)
    rates.spend(STRANGER)
    assert limited(rates, STRANGER) > 0
