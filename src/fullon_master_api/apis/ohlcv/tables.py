"""Candles and trades as Arrow tables with exact decimals, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from fullon_master_api.apis.ohlcv.frames import NS
from fullon_master_api.model import Candle, MarketTrade

DIGITS: Final = 38
STAMP: Final = pa.timestamp("ns", "UTC")


def candles_schema(price_decimals: int, quantity_decimals: int) -> pa.Schema:
    price, quantity = pa.decimal128(DIGITS, price_decimals), pa.decimal128(DIGITS, quantity_decimals)
    prices = [(name, price) for name in ("open", "high", "low", "close")]
    marks = [("trades", pa.int64()), ("final", pa.bool_()), ("filled", pa.bool_())]
    return pa.schema([("timestamp", STAMP), *prices, ("volume", quantity), *marks])


def trades_schema(price_decimals: int, quantity_decimals: int) -> pa.Schema:
    price, quantity = pa.decimal128(DIGITS, price_decimals), pa.decimal128(DIGITS, quantity_decimals)
    words = [("side", pa.string()), ("type", pa.string())]
    return pa.schema([("timestamp", STAMP), ("trade_id", pa.string()), ("price", price), ("volume", quantity), *words])


def candles_table(candles: Sequence[Candle], schema: pa.Schema | None = None) -> pa.Table:
    """Columns timestamp (UTC), open, high, low, close, volume, trades, final, filled."""
    schema = schema or candles_schema(_places([candle.open for candle in candles]), _places([c.volume for c in candles]))
    columns: list[list[Any]] = [
        [candle.opened_ns for candle in candles],
        [candle.open for candle in candles],
        [candle.high for candle in candles],
        [candle.low for candle in candles],
        [candle.close for candle in candles],
        [candle.volume for candle in candles],
        [candle.trades for candle in candles],
        [candle.final for candle in candles],
        [candle.filled for candle in candles],
    ]
    return pa.table([_column(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)


def trades_table(trades: Sequence[MarketTrade], schema: pa.Schema | None = None) -> pa.Table:
    """Columns timestamp (UTC), trade_id, price, volume, side, type."""
    schema = schema or trades_schema(_places([trade.price for trade in trades]), _places([t.quantity for t in trades]))
    columns: list[list[Any]] = [
        [trade.event_ns for trade in trades],
        [trade.trade_id for trade in trades],
        [trade.price for trade in trades],
        [trade.quantity for trade in trades],
        [trade.side.value for trade in trades],
        [trade.order_type.value for trade in trades],
    ]
    return pa.table([_column(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)


def csv_lines(table: pa.Table, *, header: bool = True) -> str:
    """RFC 4180: lines end with CRLF; the decimals stand in plain notation."""
    lines = [",".join(table.column_names)] if header else []
    lines.extend(",".join(row) for row in zip(*(_texts(column) for column in table.columns), strict=True))
    return "".join(f"{line}\r\n" for line in lines)


@lru_cache(maxsize=100_000)
def instant(second: int) -> str:
    """`2025-11-10T17:23:00Z`"""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_instant(event_ns: int) -> str:
    """With as many digits of the second as there are, at most nine."""
    second, rest = divmod(event_ns, NS)
    return f"{instant(second)[:-1]}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def _places(texts: Sequence[str]) -> int:
    return max((len(text.partition(".")[2]) for text in texts), default=0)


def _column(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


def _texts(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_timestamp(column.type):
        return [precise_instant(value) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_decimal(column.type):
        return [format(value, "f") for value in column.to_pylist()]
    if pa.types.is_boolean(column.type):
        return [str(value).lower() for value in column.to_pylist()]
    return ["" if value is None else _quoted(str(value)) for value in column.to_pylist()]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
