"""Trades in columns: checked and scaled by Arrow, tens of thousands at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.door import EVENT_NS_MAX
from fullon_master_api.apis.ohlcv.frames import DAY_NS
from fullon_master_api.apis.ohlcv.numbers import DECIMALS_MAX, INT64_MAX, PART
from fullon_master_api.apis.ohlcv.scaling import Decimals, Digits, open_series
from fullon_master_api.apis.ohlcv.steps import InsertMany, KeepPartitions, Transaction
from fullon_master_api.apis.ohlcv.writing import build_minutes, fold, known_ids

EXACT: Final = pa.decimal128(38, DECIMALS_MAX)
UINT64: Final = 2**64


class Unusual(Exception):
    """These rows are not all plain and good: look at them one by one."""


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Trades in order of time; `numbers` and `texts` are the two columns of their ids."""

    event_ns: list[int]
    numbers: list[int]
    texts: list[str]
    price: pa.Array
    quantity: pa.Array
    sides: list[int]
    order_types: list[int]


def exact_decimals(column: pa.Array) -> pa.Array:
    """Numbers of any column type as decimals with 18 places; a float is what its shortest text says.

    Raises: Unusual where one is missing, not above zero, or has more digits.
    """
    try:
        if not pa.types.is_decimal(column.type):
            column = column if _is_text(column.type) else column.cast(pa.string())
        exact = column.cast(EXACT)
    except pa.ArrowInvalid as error:
        raise Unusual(str(error)) from None
    if exact.null_count or (len(exact) and pc.min(exact).as_py() <= 0):
        raise Unusual("a number is missing or not above zero")
    return exact


def check_columns(event_ns: pa.Array) -> None:
    """Raises: Unusual where a time is missing, or outside of what is kept."""
    if event_ns.null_count or (len(event_ns) and not 0 <= pc.min(event_ns).as_py() <= pc.max(event_ns).as_py() < EVENT_NS_MAX):
        raise Unusual("a time is missing or out of range")


def append_columns(exchange: str, symbol: str, trades: TradeColumns, *, decimals: Decimals) -> Transaction[int]:
    """Store the trades that are new and build their candles; the answer is how many were new."""
    series = yield from open_series(
        exchange, symbol, prices=_digits(trades.price), quantities=_digits(trades.quantity), decimals=decimals
    )
    ids = list(zip(trades.numbers, trades.texts, strict=True))
    numbers = [number for number, text in ids if not text]
    known = yield from known_ids(series, numbers, [text for _, text in ids if text])
    prices, quantities = _scaled(trades.price, series.price_exponent), _scaled(trades.quantity, series.quantity_exponent)
    rows = list(
        zip(trades.event_ns, trades.numbers, trades.texts, prices, quantities, trades.sides, trades.order_types, strict=True)
    )
    if known or len(set(ids)) < len(ids):
        first = {(row[1], row[2]): row for row in reversed(rows) if (row[1], row[2]) not in known}
        rows = list(first.values())
    rows.sort()
    if rows:
        key = series.series_id
        stored = [
            (key, event_ns, number, text, price, quantity % PART, quantity // PART, side, order_type)
            for event_ns, number, text, price, quantity, side, order_type in rows
        ]
        yield KeepPartitions(frozenset(row[0] // DAY_NS for row in rows))
        yield InsertMany("market_trades", sql.TRADE_COLUMNS, stored)
        yield from build_minutes(series, fold((row[0], row[3], row[4]) for row in rows))
    return len(rows)


def _digits(exact: pa.Array) -> Digits:
    """The fewest places that keep every number, found by halving."""
    low, high = 0, DECIMALS_MAX
    while low < high:
        middle = (low + high) // 2
        if pc.all(pc.equal(pc.round(exact, middle), exact)).as_py():
            high = middle
        else:
            low = middle + 1
    return Digits(low, format(pc.max(exact).as_py().normalize(), "f"))


def _scaled(exact: pa.Array, exponent: int) -> Sequence[int]:
    """The integers behind decimals of this exponent, read from Arrow's own 128 bits (two words, the low one first)."""
    decimals = exact.cast(pa.decimal128(38, exponent))
    words = pa.Array.from_buffers(pa.int64(), 2 * (decimals.offset + len(decimals)), [None, decimals.buffers()[1]])
    pairs = pa.FixedSizeListArray.from_arrays(words, 2)[decimals.offset :]
    low: list[int] = pc.list_element(pairs, 0).to_pylist()
    if pc.max(exact).as_py() * Decimal(10) ** exponent <= INT64_MAX:
        return low
    high: list[int] = pc.list_element(pairs, 1).to_pylist()
    return [(more << 64) + part % UINT64 for part, more in zip(low, high, strict=True)]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
