"""Numbers and instants of the wire: exact, plain, and never through a float."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.exchanges.ccxt_wire import decode_exact
from fullon_master_api.exchanges.wire_values import SECOND_NS, instant_ns, plain, positive, seconds_ns

numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1E+20"), max_value=Decimal("1E+20"), places=18)


@given(numbers)
def test_a_number_keeps_its_value_and_loses_only_its_exponent(number: Decimal) -> None:
    for text in (str(number), format(number, "f"), f"{number:E}"):
        told = plain(text)
        assert told is not None
        assert Decimal(told) == number
        assert "e" not in told.lower()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0.00012300", "0.00012300"),
        ("1e-8", "0.00000001"),
        (1e-05, "0.00001"),
        (106824, "106824"),
        ("105433.60000", "105433.60000"),
    ],
)
def test_the_digits_that_came_are_the_digits_that_stay(value: object, told: str) -> None:
    assert plain(value) == told


@pytest.mark.parametrize("value", [None, "", "NaN", "Infinity", "-inf", "abc", "1,5", True, "0x10"])
def test_what_is_no_number_counts_as_absent(value: object) -> None:
    assert plain(value) is None
    assert positive(value) is None


@pytest.mark.parametrize("value", ["0", "0.000", "-1.5", 0, -3, "0E-8"])
def test_a_price_of_zero_or_below_is_no_price(value: object) -> None:
    assert positive(value) is None


def test_json_numbers_arrive_with_the_digits_that_were_sent() -> None:
    message = decode_exact('{"qty":0.00012300,"small":1e-8,"time":1762795433.9717445,"long":0.1234567890123456789,"n":7}')

    assert message == {
        "qty": "0.00012300",
        "small": "1e-8",
        "time": "1762795433.9717445",
        "long": "0.1234567890123456789",
        "n": 7,
    }
    assert seconds_ns(message["time"]) == 1_762_795_433_971_744_500


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(0, 999_999_999))  # noqa: DTZ001
def test_an_instant_is_exact_to_its_last_digit(day: datetime, part_ns: int) -> None:
    seconds = int(day.replace(microsecond=0, tzinfo=UTC).timestamp())
    text = day.strftime("%Y-%m-%dT%H:%M:%S")

    assert instant_ns(f"{text}.{part_ns:09d}Z") == seconds * SECOND_NS + part_ns
    assert instant_ns(f"{text}.{part_ns // 1000:06d}Z") == seconds * SECOND_NS + part_ns // 1000 * 1000
    assert instant_ns(f"{text}Z") == seconds * SECOND_NS
    assert seconds_ns(f"{seconds}.{part_ns:09d}") == seconds * SECOND_NS + part_ns


def test_no_instant_is_none() -> None:
    assert (instant_ns(None), instant_ns(""), seconds_ns(None)) == (None, None, None)
