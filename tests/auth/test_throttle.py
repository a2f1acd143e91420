"""Failed logins are bounded."""

from __future__ import annotations

import pytest

from fullon_master_api.auth import throttle as module
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_too_many_failures_of_one_key_are_refused_until_the_first_is_old() -> None:
    clock = Clock()
    throttle = LoginThrottle(attempts_max=3, window_s=60, clock=clock)
    for _ in range(3):
        throttle.check("mail:a", "address:1")
        throttle.failed("mail:a", "address:1")

    with pytest.raises(RateLimited) as refused:
        throttle.check("mail:a", "address:2")
    assert refused.value.retry_after_s == 60
    throttle.check("mail:b", "address:2")

    clock.now += 61
    throttle.check("mail:a", "address:1")


def test_a_good_login_forgets_the_failures_of_its_account_only() -> None:
    throttle = LoginThrottle(attempts_max=1, window_s=60)
    throttle.failed("mail:a", "address:1")

    throttle.succeeded("mail:a")

    throttle.check("mail:a")
    with pytest.raises(RateLimited):
        throttle.check("address:1")


def test_how_many_keys_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    throttle = LoginThrottle(attempts_max=1, window_s=60)
    for key in ("a", "b", "c"):
        throttle.failed(key)

    throttle.check("a")
    for key in ("b", "c"):
        with pytest.raises(RateLimited):
            throttle.check(key)
