"""Scalars of the graph, in and out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.errors import BadUserInput
from fullon_master_api.executor import scalars

PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_leaves_in_plain_notation_and_is_read_back_equal(value: Decimal) -> None:
    text = scalars.serialize_decimal(value)

    assert PLAIN.fullmatch(text)
    assert Decimal(text) == value


def test_text_of_market_data_passes_untouched() -> None:
    text = "0.00001000"

    assert scalars.serialize_decimal(text) is text


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_what_is_not_a_number_never_leaves(value: Decimal) -> None:
    with pytest.raises(ValueError, match="not a number"):
        scalars.serialize_decimal(value)


@pytest.mark.parametrize("value", [1.5, True, None, b"1"])
def test_a_decimal_is_never_made_of_something_else(value: Any) -> None:
    with pytest.raises(TypeError, match="Decimal cannot represent"):
        scalars.serialize_decimal(value)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [("0.10", "0.10"), (7, "7"), ("1e3", "1000"), ("1E-7", "0.0000001"), ("-.5", "-0.5"), ("+2.", "2"), ("0" * 3 + "1", "1")],
)
def test_a_decimal_is_read_from_strings_and_integers(given_: Any, expected: str) -> None:
    assert scalars.serialize_decimal(scalars.parse_decimal(given_)) == expected


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        1.0,
        True,
        None,
        [],
        "NaN",
        "Infinity",
        "-inf",
        "1_000",
        "١٢",
        "",
        " 1",
        "1\n",
        "0x1",
        "9" * 39,
        10**38,
        10**4000,
        "1e38",
        "1e-39",
        "1e999",
    ],
)
def test_a_decimal_refuses_floats_words_separators_foreign_digits_and_too_many_of_them(value: Any) -> None:
    with pytest.raises(BadUserInput, match="Decimal"):
        scalars.parse_decimal(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2025, 11, 10, 12, 0, 0, tzinfo=UTC), "2025-11-10T12:00:00Z"),
        (datetime(2025, 11, 10, 12, 0, 0, 250_000, tzinfo=UTC), "2025-11-10T12:00:00.250Z"),
        (datetime(2025, 11, 10, 12, 0, 0, 1, tzinfo=UTC), "2025-11-10T12:00:00.000001Z"),
        (datetime(2025, 11, 10, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2025-11-10T12:00:00Z"),
        (1_762_776_000_000_000_000, "2025-11-10T12:00:00Z"),
        (1_762_776_000_120_000_000, "2025-11-10T12:00:00.120Z"),
        (1_762_776_000_000_000_001, "2025-11-10T12:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        ("2025-11-10T12:00:00.120Z", "2025-11-10T12:00:00.120Z"),
    ],
)
def test_an_instant_leaves_in_utc_with_z(value: Any, expected: str) -> None:
    assert scalars.serialize_instant(value) == expected


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_instant_is_read_back_equal(value: datetime) -> None:
    assert scalars.parse_instant(scalars.serialize_instant(value)) == value


def test_a_datetime_without_a_zone_never_leaves() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        scalars.serialize_instant(datetime(2025, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-10T12:00:00",
        "2025-11-10",
        "2025-13-10T12:00:00Z",
        "2025-11-10T12:00:00.0000001Z",
        5,
        None,
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_an_instant_without_a_zone_or_outside_the_calendar_is_refused(value: Any) -> None:
    with pytest.raises(BadUserInput, match="DateTime was"):
        scalars.parse_instant(value)


def test_an_instant_of_another_zone_arrives_in_utc() -> None:
    assert scalars.parse_instant("2025-11-10t14:00:00.5+02:00") == datetime(2025, 11, 10, 12, 0, 0, 500_000, tzinfo=UTC)


@given(st.integers(min_value=-(10**37), max_value=10**37))
def test_a_big_integer_travels_as_text(value: int) -> None:
    assert scalars.parse_big(scalars.serialize_big(value)) == value


@pytest.mark.parametrize("value", ["", "1.0", "1_0", "٣", "9" * 39, 1.0, True, None, 10**40])
def test_a_big_integer_refuses_what_is_not_one(value: Any) -> None:
    with pytest.raises(BadUserInput, match="BigInt"):
        scalars.parse_big(value)
