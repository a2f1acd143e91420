"""The columns of a file, by whatever names files give them, as trades and candles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from string import Formatter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fullon_master_api.apis.ohlcv.bulk import TradeColumns, Unusual, check_columns, exact_decimals
from fullon_master_api.apis.ohlcv.door import ORDER_TYPE_NUMBER, SIDE_NUMBER, id_columns
from fullon_master_api.apis.ohlcv.frames import NS
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Candle, MarketTrade, OrderType, Side

TIME_NAMES: Final = ("timestamp", "time", "ts", "date", "datetime", "open_time", "ts_ns", "ts_us", "ts_ms", "ts_s", "event_ns")
QUANTITY_NAMES: Final = ("quantity", "volume", "amount", "size", "qty", "vol")
ID_NAMES: Final = ("trade_id", "id", "tid")
SIDE_NAMES: Final = ("side", "taker_side")
TYPE_NAMES: Final = ("type", "order_type", "ord_type")
SIDES: Final = {"buy": Side.BUY, "b": Side.BUY, "sell": Side.SELL, "s": Side.SELL}
SIDE_WORDS: Final = pa.array(SIDES)
SIDE_NUMBERS: Final = pa.array([SIDE_NUMBER[side] for side in SIDES.values()])
UNITS: Final = {"_ns": 1, "_us": 1000, "_ms": 1_000_000, "_s": NS}
DIGITS: Final = re.compile(r"[0-9]+(\.[0-9]{1,9})?")
INT64_DIGITS: Final = 18
WHOLE: Final = r"^(0|[1-9][0-9]{0,17})$"
ORDER_TYPES: Final = {order_type.value: order_type for order_type in OrderType}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a file hold what; None where it has none."""

    time: str
    numbers: tuple[str, ...]
    trade_id: str | None = None
    side: str | None = None
    order_type: str | None = None
    trades: str | None = None
    final: str | None = None
    filled: str | None = None


def trade_layout(names: Sequence[str], side: Side | None) -> Layout:
    """Raises: BadUserInput where a column is missing."""
    found = _found(names, {"price": ("price",), "quantity": QUANTITY_NAMES})
    taker = _first(names, SIDE_NAMES)
    if taker is None and side is None:
        raise BadUserInput(f"the file must have a column {' or '.join(SIDE_NAMES)}, or name one side for all rows")
    return Layout(_time(names), found, _first(names, ID_NAMES), taker, _first(names, TYPE_NAMES))


def candle_layout(names: Sequence[str]) -> Layout:
    """Raises: BadUserInput where a column is missing."""
    wanted = {"open": ("open",), "high": ("high",), "low": ("low",), "close": ("close",), "volume": QUANTITY_NAMES}
    trades, final, filled = (_first(names, spellings) for spellings in (("trades", "count"), ("final",), ("filled",)))
    return Layout(_time(names), _found(names, wanted), trades=trades, final=final, filled=filled)


def _time(names: Sequence[str]) -> str:
    return _found(names, {"time": TIME_NAMES})[0]


def _found(names: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    found = {noun: _first(names, spellings) for noun, spellings in wanted.items()}
    missing = [spellings for noun, spellings in wanted.items() if found[noun] is None]
    if missing:
        raise BadUserInput(f"the file must have a column {' or '.join(missing[0])}; it has {', '.join(names)}")
    return tuple(name for name in found.values() if name is not None)


def _first(names: Sequence[str], spellings: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[spelling] for spelling in spellings if spelling in lower), None)


def template_of(text: str, names: Sequence[str]) -> Callable[[Mapping[str, Any]], str]:
    """`{exchange}` or `{symbol}:{market}`: a name built from columns of the row.

    Raises: BadUserInput for a column that the file does not have.
    """
    for _, name, _, _ in Formatter().parse(text):
        if name is not None and name not in names:
            raise BadUserInput(f"{text!r} needs a column {name!r}; the file has {', '.join(names)}")
    return text.format_map


def fields_of(*texts: str) -> list[str]:
    """Columns that these templates name."""
    return list(dict.fromkeys(name for text in texts for _, name, _, _ in Formatter().parse(text) if name))


class MadeIds:
    """Ids for trades that have none: their instant and their number in it, the same whenever the file is read again."""

    def __init__(self) -> None:
        self._last_ns, self._count = -1, 0

    def next(self, event_ns: int) -> str:
        """Raises: ValueError for a row before the last one: without order the number in an instant is not known."""
        if event_ns < self._last_ns:
            raise ValueError("rows without trade_id must be in order of time")
        self._count = self._count + 1 if event_ns == self._last_ns else 0
        self._last_ns = event_ns
        return f"{event_ns}-{self._count}"


def trade_columns(batch: pa.RecordBatch, layout: Layout, side: Side | None, made: MadeIds) -> TradeColumns:
    """All rows at once. Raises: Unusual when one of them needs a closer look; nothing is lost then."""
    price, quantity = (exact_decimals(batch.column(name)) for name in layout.numbers)
    times = _times(batch.column(layout.time), layout.time)
    check_columns(times)
    event_ns: list[int] = times.to_pylist()
    sides = _sides(batch, layout, side)
    types = [ORDER_TYPE_NUMBER[OrderType.UNKNOWN]] * len(event_ns)
    if layout.order_type is not None:
        words = batch.column(layout.order_type).to_pylist()
        types = [ORDER_TYPE_NUMBER[ORDER_TYPES.get(str(word).lower(), OrderType.UNKNOWN)] for word in words]
    if layout.trade_id is None:
        if any(later < earlier for earlier, later in pairwise(event_ns)):
            raise Unusual("rows without ids are not in order of time")
        try:
            ids = [made.next(instant) for instant in event_ns]
        except ValueError as error:
            raise Unusual(str(error)) from None
    else:
        column = _whole_numbers(batch.column(layout.trade_id))
        whole = pa.types.is_integer(column.type) and len(column) > 0 and not column.null_count
        if whole and 0 <= pc.min(column).as_py() <= pc.max(column).as_py() < 10**INT64_DIGITS:
            return TradeColumns(event_ns, column.to_pylist(), [""] * len(event_ns), price, quantity, sides, types)
        ids = column.cast(pa.string()).to_pylist()
        if any(not word or len(word) > 90 or not word.isprintable() for word in ids):
            raise Unusual("an id is missing, too long or not printable")
    pairs = [id_columns(word) for word in ids]
    return TradeColumns(event_ns, [pair[0] for pair in pairs], [pair[1] for pair in pairs], price, quantity, sides, types)


def _sides(batch: pa.RecordBatch, layout: Layout, side: Side | None) -> list[int]:
    if layout.side is None:
        assert side is not None, "trade_layout saw to it"
        return [SIDE_NUMBER[side]] * batch.num_rows
    found = pc.index_in(pc.utf8_lower(batch.column(layout.side).cast(pa.string())), SIDE_WORDS)
    if found.null_count:
        raise Unusual("a side is neither buy nor sell")
    numbers: list[int] = pc.take(SIDE_NUMBERS, found).to_pylist()
    return numbers


def _whole_numbers(column: pa.Array) -> pa.Array:
    """Text that is all whole numbers as these numbers, as a CSV file has them; any other column as it is."""
    if not pa.types.is_string(column.type) or not pc.all(pc.match_substring_regex(column, WHOLE)).as_py():
        return column
    return column.cast(pa.int64())


def _times(column: pa.Array, name: str) -> pa.Array:
    """Nanoseconds since 1970 of a column of whole numbers or times with a zone. Raises: Unusual for all others."""
    column = _whole_numbers(column)
    if pa.types.is_integer(column.type) and not column.null_count and len(column):
        units = {unit_of(name, pc.min(column).as_py()), unit_of(name, pc.max(column).as_py())}
        if len(units) == 1:
            return _multiplied(column, units.pop())
        raise Unusual("the unit of the times is not clear")
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            return column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        if pa.types.is_string(column.type):
            return column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise Unusual(str(error)) from None
    raise Unusual("times have no zone, or are of another type")


def _multiplied(column: pa.Array, unit: int) -> pa.Array:
    try:
        return pc.multiply_checked(column.cast(pa.int64()), unit)
    except pa.ArrowInvalid as error:
        raise Unusual(str(error)) from None


def unit_of(name: str, value: int) -> int:
    """Nanoseconds of one: by the column's name, else by size, as seconds, ms, us and ns of our age differ by a thousand."""
    for ending, unit in UNITS.items():
        if name.lower().endswith(ending):
            return unit
    return NS if value < 10**11 else 1_000_000 if value < 10**14 else 1000 if value < 10**17 else 1


def instant_of(value: object, name: str) -> int:
    """One time in nanoseconds. Raises: ValueError for text without a zone, and for what is no time."""
    if value is None or value == "":
        raise ValueError(f"{name} is missing")
    if isinstance(value, datetime):
        text = value.isoformat()
    else:
        text = str(value).strip()
        if DIGITS.fullmatch(text):
            return int(Decimal(text) * unit_of(name, int(Decimal(text))))
    stamp = pa.scalar(text.replace(" ", "T", 1))
    try:
        return int(stamp.cast(pa.timestamp("ns", "UTC")).value)
    except pa.ArrowInvalid:
        raise ValueError(f"{name} was {text[:40]!r}, must be a time with a zone, or a number since 1970") from None


def number_of(value: object, name: str) -> str:
    """One number as text, a float as its shortest one. Raises: ValueError where it is missing or none."""
    if value is None or value == "":
        raise ValueError(f"{name} is missing")
    try:
        return format(Decimal(str(value)), "f")
    except InvalidOperation:
        raise ValueError(f"{name} was {str(value)[:40]!r}, must be a number") from None


def trade_of(row: Mapping[str, Any], layout: Layout, side: Side | None, made: MadeIds) -> MarketTrade:
    """Raises: ValueError."""
    event_ns = instant_of(row[layout.time], layout.time)
    price, quantity = (number_of(row[name], name) for name in layout.numbers)
    if layout.side is not None:
        found = SIDES.get(str(row[layout.side]).lower())
        if found is None:
            raise ValueError(f"{layout.side} was {row[layout.side]!r}, must be buy or sell")
        side = found
    assert side is not None, "trade_layout saw to it"
    trade_id = made.next(event_ns) if layout.trade_id is None else str(row[layout.trade_id])
    word = "" if layout.order_type is None else str(row[layout.order_type]).lower()
    order_type = ORDER_TYPES.get(word, OrderType.UNKNOWN)
    return MarketTrade(trade_id=trade_id, event_ns=event_ns, price=price, quantity=quantity, side=side, order_type=order_type)


def candle_of(row: Mapping[str, Any], layout: Layout) -> Candle:
    """Final where the file does not say. Raises: ValueError, also for a candle that only stands in for a gap."""
    if _mark(row, layout.filled, default=False):
        raise ValueError("the candle stands in for a span without trades, which is not stored")
    opened, high, low, closed, volume = (number_of(row[name], name) for name in layout.numbers)
    count = None if layout.trades is None else row[layout.trades]
    return Candle(
        opened_ns=instant_of(row[layout.time], layout.time),
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=volume,
        trades=None if count is None or count == "" else int(count),
        final=_mark(row, layout.final, default=True),
    )


def _mark(row: Mapping[str, Any], name: str | None, *, default: bool) -> bool:
    value = None if name is None else row[name]
    if value is None or value == "":
        return default
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"{name} was {str(value)[:40]!r}, must be true or false")
    return str(value).lower() == "true"
