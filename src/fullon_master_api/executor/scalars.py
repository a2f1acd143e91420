"""Scalars of the graph: exact decimals, instants in UTC, integers beyond 32 bits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from fullon_master_api.errors import BadUserInput

BigInt = NewType("BigInt", int)
"""Annotation of an integer that can pass 2^31; a string on the wire."""

DIGITS_MAX: Final = 38
"""Digits of a decimal: what NUMERIC(38, …) holds on every engine we store to."""

DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
INTEGER: Final = re.compile(r"-?[0-9]{1,38}")
# RFC 3339 5.6: full-date "T" full-time; the zone is part of it, so a naive instant does not match.
INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
SHOWN_MAX: Final = 60


def decimal_text(value: Decimal) -> str:
    """A decimal in plain notation: `1E-7` becomes `0.0000001`. NaN and Infinity raise ValueError."""
    text = str(value)
    # str() is ten times as fast as format(value, "f"), and differs from it only by these letters.
    if "E" in text or "N" in text or "y" in text:
        if not value.is_finite():
            raise ValueError(f"{value} is not a number that can be shown")
        return format(value, "f")
    return text


def serialize_decimal(value: Any) -> str:
    """Text of market data is already plain and passes untouched; money is written out."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is Decimal or isinstance(value, Decimal):
        return decimal_text(value)
    if kind is int:
        return str(value)
    raise TypeError(f"Decimal cannot represent a {kind.__name__}")


def parse_decimal(value: Any) -> Decimal:
    """A decimal from a string or an integer. A JSON float has already lost digits, so it is refused."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadUserInput(f'Decimal was {_shown(value)}, must be a string as "0.1" or an integer, never a float')
    if isinstance(value, int):
        if abs(value) >= 10**DIGITS_MAX:
            raise BadUserInput(f"Decimal has more than {DIGITS_MAX} digits")
        return Decimal(value)
    if len(value) > 2 * SHOWN_MAX or DECIMAL.fullmatch(value) is None:
        raise BadUserInput(f'Decimal was {_shown(value)}, must be digits as "0.1", at most {DIGITS_MAX} of them')
    number = Decimal(value)
    _sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    # Written out, 1E5 has 6 digits and 1E-40 has 40 decimals: both count.
    if max(len(digits) + max(exponent, 0), -exponent) > DIGITS_MAX:
        raise BadUserInput(f"Decimal was {_shown(value)}, must have at most {DIGITS_MAX} digits")
    return number.quantize(Decimal(1)) if exponent > 0 else number


@lru_cache(maxsize=4096)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def nanosecond_text(value: int) -> str:
    """UTC nanoseconds since 1970 as RFC 3339: as many groups of three decimals as are not zero."""
    seconds, rest = divmod(value, 1_000_000_000)
    if rest == 0:
        return _second_text(seconds) + "Z"
    fraction = f"{rest:09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{_second_text(seconds)}.{fraction}Z"


def datetime_text(value: datetime) -> str:
    """An aware datetime as RFC 3339 in UTC. Without a zone it raises ValueError."""
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError("DateTime cannot represent a datetime without a zone")
        value = value.astimezone(UTC)
    text = value.isoformat()[:-6]
    return (text[:-3] if value.microsecond and value.microsecond % 1000 == 0 else text) + "Z"


def serialize_instant(value: Any) -> str:
    """An aware datetime, or an integer of nanoseconds, as RFC 3339 in UTC with `Z`; text that a store gives is that already."""
    if type(value) is str:
        return value
    if type(value) is int:
        return nanosecond_text(value)
    if isinstance(value, datetime):
        return datetime_text(value)
    raise TypeError(f"DateTime cannot represent a {type(value).__name__}")


def parse_instant(value: Any) -> datetime:
    """An instant from RFC 3339 with a zone, in UTC. What a microsecond cannot hold is refused, not cut."""
    match = INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadUserInput(f'DateTime was {_shown(value)}, must be RFC 3339 with a zone as "2025-11-10T12:00:00Z"')
    day, time, fraction, zone = match.groups()
    if fraction is not None and fraction[6:].strip("0"):
        raise BadUserInput(f"DateTime was {_shown(value)}, must have at most 6 decimals of a second")
    try:
        text = f"{day}T{time}.{(fraction or '')[:6]:0<6}{'+00:00' if zone in 'Zz' else zone}"
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadUserInput(f"DateTime was {_shown(value)}, which no calendar has") from error


def serialize_big(value: Any) -> str:
    """An integer of any size as a string, because JSON readers keep only 53 bits."""
    if type(value) is int:
        return str(value)
    raise TypeError(f"BigInt cannot represent a {type(value).__name__}")


def parse_big(value: Any) -> int:
    """An integer from its digits as a string, or from an Int."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**DIGITS_MAX:
        return value
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    raise BadUserInput(f"BigInt was {_shown(value)}, must be an integer of at most {DIGITS_MAX} digits")


def _shown(value: Any) -> str:
    """What a client sent, short enough for a message."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN_MAX:
        return "an integer of too many digits"
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


DECIMAL_SCALAR: Final[ScalarDefinition] = strawberry.scalar(
    name="Decimal",
    description=(
        'An exact decimal as a string in plain notation, as `"0.00001000"`: never an exponent, NaN or Infinity. '
        f"As input a string or an integer of at most {DIGITS_MAX} digits; a float is refused."
    ),
    serialize=serialize_decimal,
    parse_value=parse_decimal,
)
INSTANT_SCALAR: Final[ScalarDefinition] = strawberry.scalar(
    name="DateTime",
    description='An instant in UTC, as `"2025-11-10T12:00:00Z"` (RFC 3339). As input any zone, never without one.',
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=serialize_instant,
    parse_value=parse_instant,
)
BIG_INT_SCALAR: Final[ScalarDefinition] = strawberry.scalar(
    name="BigInt",
    description='An integer of any size as a string, as `"9007199254740993"`. As input a string or an integer.',
    serialize=serialize_big,
    parse_value=parse_big,
)

SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    Decimal: DECIMAL_SCALAR,
    datetime: INSTANT_SCALAR,
    BigInt: BIG_INT_SCALAR,
}
"""For `StrawberryConfig(scalar_map=SCALARS)`: annotate `Decimal`, `datetime`, `BigInt`; `JSON` is Strawberry's own."""
