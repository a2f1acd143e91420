"""What the texts on an exchange's wire mean: exact numbers and instants."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from fullon_master_api.model import DecimalText

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000

# What nearly every number of a wire is; these need no closer look.
PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII).fullmatch
POSITIVE: Final = re.compile(r"(?=[0-9.]*[1-9])[0-9]+(?:\.[0-9]+)?", re.ASCII).fullmatch


def plain(value: Any) -> DecimalText | None:
    """A number of the wire in plain notation, with the digits it came with; None where there is none.

    Text is kept as it is, unless it has an exponent; NaN, Infinity and anything that is no number count as absent.
    """
    if value is None or value == "" or isinstance(value, bool):
        return None
    text = value if isinstance(value, str) else str(value)
    if PLAIN(text):
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return format(number, "f") if number.is_finite() else None


def positive(value: Any) -> DecimalText | None:
    """As `plain`, and None as well for zero and below: no price and no quantity of a trade is ever that."""
    if isinstance(value, str) and POSITIVE(value):
        return value
    text = plain(value)
    return None if text is None or text.startswith("-") or not text.strip("0.") else text


def decimal(value: Any) -> Decimal | None:
    """A number of the wire as money."""
    text = plain(value)
    return None if text is None else Decimal(text)


def instant_ns(value: Any) -> int | None:
    """RFC 3339 text in UTC as nanoseconds since 1970, exactly; None where there is none."""
    if not isinstance(value, str) or len(value) < 19:
        return None
    part = value[20:].removesuffix("Z") if len(value) > 19 else ""
    return _seconds(value[:19]) * SECOND_NS + int(f"{part:0<9.9}" if part else 0)


def seconds_ns(value: Any) -> int | None:
    """Seconds since 1970 with a fraction, as nanoseconds, exactly: never through a float."""
    text = plain(value)
    return None if text is None else int(Decimal(text).scaleb(9))


def milliseconds_ns(value: Any) -> int | None:
    return None if value is None else int(value) * MILLISECOND_NS


@lru_cache(maxsize=4096)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())
