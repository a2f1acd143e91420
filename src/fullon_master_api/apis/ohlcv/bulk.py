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
from fullon_master_api.apis.ohlcv.numbers import DECIMALS_MAX, INT64_MAX, PART
from fullon_master_api.apis.ohlcv.records import Series
from fullon_master_api.apis.ohlcv.scaling import Decimals, Digits, open_series
from fullon_master_api.apis.ohlcv.steps import InsertMany, KeepPartitions, Transaction
from fullon_master_api.apis.ohlcv.writing import build_minutes, days_of, fold, known_ids

EXACT: Final = pa.decimal128(38, DECIMALS_MAX)
UINT64: Final = 2**64
SAMPLE: Final = 100
TradeTuple = tuple[int, int, int, str, int, int, int, int, int]


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
    prices, quantities = _scaled(trades.price, series.price_exponent), _scaled(trades.quantity, series.quantity_exponent)
    small = max(quantities, default=0) < PART
    lows = quantities if small else [quantity % PART for quantity in quantities]
    highs = [0] * len(prices) if small else [quantity // PART for quantity in quantities]
    keys = [series.series_id] * len(prices)
    # Columns become rows in one go: at this number of rows each step of Python on every row is felt.
    rows = list(
        zip(
            keys,
            trades.event_ns,
            trades.numbers,
            trades.texts,
            prices,
            lows,
            highs,
            trades.sides,
            trades.order_types,
            strict=True,
        )
    )
    rows = yield from _new_rows(series, trades, rows)
    if rows:
        volumes = [row[5] for row in rows] if small else [row[5] + row[6] * PART for row in rows]
        folded = fold([row[1] for row in rows], [row[4] for row in rows], volumes)
        yield KeepPartitions(days_of(folded))
        yield InsertMany("market_trades", sql.TRADE_COLUMNS, rows)
        yield from build_minutes(series, folded)
    return len(rows)


def _new_rows(series: Series, trades: TradeColumns, rows: list[TradeTuple]) -> Transaction[list[TradeTuple]]:
    """Rows whose ids are not stored, each once, in order of time and id."""
    words = [text for text in trades.texts if text]
    numbers = (
        trades.numbers if not words else [number for number, text in zip(trades.numbers, trades.texts, strict=True) if not text]
    )
    known = yield from known_ids(series, numbers, words)
    if known or len(set(numbers)) < len(numbers) or len(set(words)) < len(words):
        rows = list({row[2:4]: row for row in reversed(rows) if row[2:4] not in known}.values())
    rows.sort()
    return rows


def _digits(exact: pa.Array) -> Digits:
    """The fewest places that keep every number: those of a few, if they do for all, else found by halving."""
    low = max((decimals_of(number) for number in exact[:SAMPLE].to_pylist()), default=0)
    high = DECIMALS_MAX
    middle = low
    while low < high:
        if pc.all(pc.equal(pc.round(exact, middle), exact)).as_py():
            high = middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    return Digits(low, format(pc.max(exact).as_py().normalize(), "f"))


def decimals_of(number: Decimal) -> int:
    return len(format(number, "f").partition(".")[2].rstrip("0"))


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
