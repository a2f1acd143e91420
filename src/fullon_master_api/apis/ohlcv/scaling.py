"""How many digits a series keeps: its exponents, raised or lowered when values need it, all rows in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.numbers import EXPONENT_DEFAULT, INT64_MAX, QUANTITY_MAX, decimals_max, scaled
from fullon_master_api.apis.ohlcv.records import Series
from fullon_master_api.apis.ohlcv.steps import Run, Transaction
from fullon_master_api.errors import BadUserInput

STEP_DECIMALS: Final = 3  # a part times 10**3 stays below 2**63, so quantities grow by at most three digits at once


class Digits(NamedTuple):
    """What numbers need: the most digits behind the point, and the largest of them."""

    decimals: int = 0
    largest: str = "0"


class Decimals(NamedTuple):
    """What the caller knows of the market's steps; None where it does not."""

    price: int | None = None
    quantity: int | None = None


NO_DIGITS: Final = Digits()
UNKNOWN: Final = Decimals()


def digits_of(texts: Sequence[str], *others: Sequence[str]) -> Digits:
    """Of numbers in plain notation; none of `others` is larger than the largest of `texts`.

    Numbers with as many digits before the point compare as texts.
    """
    largest = max(texts, key=_magnitude, default="0")
    return Digits(max(map(decimals_max, (texts, *others))), largest)


def _magnitude(text: str) -> tuple[int, str]:
    text = text.lstrip("0")
    return len(text.partition(".")[0]), text


def open_series(
    exchange: str, symbol: str, *, prices: Digits = NO_DIGITS, quantities: Digits = NO_DIGITS, decimals: Decimals = UNKNOWN
) -> Transaction[Series]:
    """The series, made if it is new, locked for this transaction, with room for these numbers.

    Raises: BadUserInput for a number that does not fit 18 digits (price) or 33 digits (quantity) beside the stored ones.
    """
    shown_price = max(decimals.price or 0, prices.decimals)
    shown_quantity = max(decimals.quantity or 0, quantities.decimals)
    key = (exchange, symbol)
    found = yield Run(sql.CHANGE_SERIES, key)
    if not found:
        first_price = shown_price if decimals.price is not None else max(EXPONENT_DEFAULT, shown_price)
        first_quantity = shown_quantity if decimals.quantity is not None else max(EXPONENT_DEFAULT, shown_quantity)
        yield Run(sql.ADD_SERIES, (*key, first_price, first_quantity, shown_price, shown_quantity))
        found = yield Run(sql.CHANGE_SERIES, key)
    series = Series(**dict(zip(Series.__struct_fields__, found[0], strict=True)))
    wanted = msgspec.structs.replace(
        series,
        price_decimals=max(series.price_decimals, shown_price),
        quantity_decimals=max(series.quantity_decimals, shown_quantity),
    )
    wanted = msgspec.structs.replace(
        wanted,
        price_exponent=_exponent(prices.largest, series.price_exponent, wanted.price_decimals, INT64_MAX, "price"),
        quantity_exponent=_exponent(
            quantities.largest, series.quantity_exponent, wanted.quantity_decimals, QUANTITY_MAX, "quantity"
        ),
    )
    if wanted != series:
        yield from _rescale_prices(series, wanted)
        yield from _rescale_quantities(series, wanted)
        scale = (wanted.price_exponent, wanted.quantity_exponent, wanted.price_decimals, wanted.quantity_decimals)
        yield Run(sql.SET_SCALE, (series.series_id, *scale))
    return wanted


def _exponent(largest: str, kept: int, shown: int, limit: int, name: str) -> int:
    """The exponent to keep: the present one if it does, else exactly the digits that are shown."""
    exponent = max(kept, shown)
    if scaled(largest, exponent) > limit:
        exponent = shown
        if scaled(largest, exponent) > limit:
            raise BadUserInput(
                f"{name} was {largest}: with the {shown} decimals of its series it is too large to be kept exactly"
            )
    return exponent


def _rescale_prices(series: Series, wanted: Series) -> Transaction[None]:
    grown = wanted.price_exponent - series.price_exponent
    if grown > 0:
        stored = yield Run(sql.PRICES_MAX, (series.series_id,))
        if max(value or 0 for value in stored[0]) > INT64_MAX // 10**grown:
            raise BadUserInput(f"prices of this series are too large to be kept with {wanted.price_exponent} decimals")
    for statement in sql.GROW_PRICES if grown > 0 else sql.SHRINK_PRICES if grown < 0 else ():
        yield Run(statement, (series.series_id, 10 ** abs(grown)))


def _rescale_quantities(series: Series, wanted: Series) -> Transaction[None]:
    grown = wanted.quantity_exponent - series.quantity_exponent
    if grown < 0:
        raise BadUserInput(f"quantities of this series are too large beside its {series.quantity_exponent} decimals")
    stored = (yield Run(sql.QUANTITIES_MAX, (series.series_id,))) if grown else [(0, 0)]
    if max(value or 0 for value in stored[0]) >= INT64_MAX // 10**grown:
        raise BadUserInput(f"quantities of this series are too large to be kept with {wanted.quantity_exponent} decimals")
    while grown > 0:
        step = min(grown, STEP_DECIMALS)
        for statement in sql.GROW_QUANTITIES:
            yield Run(statement, (series.series_id, 10**step))
        grown -= step
