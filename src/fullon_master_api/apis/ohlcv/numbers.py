"""Exact decimals as scaled integers, and back as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final

PLAIN: Final = re.compile(r"[0-9]{1,34}(\.[0-9]{1,34})?", re.ASCII)
INT64_MAX: Final = 2**63 - 1
PART: Final = 10**15
"""Quantities are stored in two integers, `high * PART + low`: their sums and 18 digits behind the point fit."""
QUANTITY_MAX: Final = INT64_MAX * PART
EXPONENT_DEFAULT: Final = 8
DECIMALS_MAX: Final = 18
MEMO_MAX: Final = 200_000


def plain(text: str) -> str:
    """The number in plain notation; `1E-8` is accepted and becomes `0.00000001`.

    Raises: ValueError for what is not a finite number of at most 34 digits on either side of the point, or is below zero.
    """
    if PLAIN.fullmatch(text):
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal number") from None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number < 0 or abs(exponent) > 34:
        raise ValueError(f"{text!r} is not a finite number of zero or more")
    written = format(number, "f")
    if not PLAIN.fullmatch(written):
        raise ValueError(f"{text!r} has too many digits")
    return written


def decimals(text: str) -> int:
    """Digits behind the point that say something: `105.430` has 2."""
    return len(text.partition(".")[2].rstrip("0"))


def decimals_max(texts: Iterable[str]) -> int:
    """The most of them; a number's text is looked at once, however often it comes."""
    return max((len(text.partition(".")[2].rstrip("0")) for text in set(texts)), default=0)


def scaled(text: str, exponent: int) -> int:
    """`105.43` with exponent 3 is 105430. The text must not have more digits than the exponent keeps."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > exponent:
        fraction = fraction.rstrip("0")
        assert len(fraction) <= exponent, f"{text} has more than {exponent} decimals"
    return int(whole + fraction.ljust(exponent, "0"))


class Texts(dict[int, str]):
    """Scaled integers of one exponent as plain text with `shown` digits, remembered once written.

    The same bars are read again and again, and a bar opens where the last one closed: a look-up replaces the formatting.
    """

    def __init__(self, exponent: int, shown: int) -> None:
        super().__init__()
        self._cut = 10 ** (exponent - shown)
        self._shown = shown

    def __missing__(self, value: int) -> str:
        if len(self) >= MEMO_MAX:
            self.clear()
        digits = str(value // self._cut)
        shown = self._shown
        if shown:
            digits = digits.zfill(shown + 1)
            digits = f"{digits[:-shown]}.{digits[-shown:]}"
        self[value] = digits
        return digits


_TEXTS: Final[dict[tuple[int, int], Texts]] = {}


def texts(exponent: int, shown: int) -> Texts:
    """The memo of this exponent and number of shown digits, one for the process."""
    memo = _TEXTS.get((exponent, shown))
    if memo is None:
        memo = _TEXTS[exponent, shown] = Texts(exponent, shown)
    return memo
