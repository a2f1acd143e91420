"""The second factor, against the vectors of its standards."""

from __future__ import annotations

import base64

import pytest

from fullon_master_api.auth.totp import new_totp_secret, totp_code, totp_step, totp_uri

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("counter", "code"),
    [(0, "755224"), (1, "287082"), (2, "359152"), (3, "969429"), (4, "338314"), (9, "520489")],
)
def test_codes_are_those_of_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert totp_code(SECRET, counter) == code


@pytest.mark.parametrize(("now_s", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_rfc_6238_appendix_b(now_s: int, code: str) -> None:
    assert totp_step(SECRET, code, now_s) == now_s // 30


def test_a_code_is_taken_one_step_early_and_late_and_no_further() -> None:
    code = totp_code(SECRET, 100)

    assert [totp_step(SECRET, code, 3000 + 30 * step) for step in (-2, -1, 0, 1, 2)] == [None, 100, 100, 100, None]


def test_a_secret_that_is_not_base32_is_refused() -> None:
    with pytest.raises(ValueError, match="base32"):
        totp_code("not base 32!", 0)


def test_a_new_secret_has_160_bits_and_its_address_is_what_apps_take() -> None:
    secret = new_totp_secret()

    assert len(base64.b32decode(secret)) == 20
    assert secret != new_totp_secret()
    address = f"otpauth://totp/Fullon%3Aada%40fullon?secret={secret}&issuer=Fullon&digits=6&period=30"
    assert totp_uri(secret, "ada@fullon") == address
