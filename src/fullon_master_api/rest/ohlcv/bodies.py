"""OHLCV answers as bytes: JSON numbers with the market's own digits, CSV and Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa
from fastapi import Response

from fullon_master_api.apis.ohlcv.frames import NS
from fullon_master_api.model import Candle, MarketTrade
from fullon_master_api.rest.ohlcv.asked import Format


@lru_cache(maxsize=100_000)
def instant(second: int) -> str:
    """`2025-11-10T17:23:00Z`"""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_instant(event_ns: int) -> str:
    """With as many digits of the second as there are, at most nine."""
    second, rest = divmod(event_ns, NS)
    return f"{instant(second)[:-1]}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def instant_ns(event_ns: int) -> str:
    return instant(event_ns // NS)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def candle_fragment(candle: Candle) -> str:
    """One row of JSON. The texts are decimals in plain notation, which is what a JSON number is (RFC 8259, section 6)."""
    filled = ',"filled":true' if candle.filled else ""
    return (
        f'{{"timestamp":"{instant(candle.opened_ns // NS)}","open":{candle.open},"high":{candle.high},"low":{candle.low},'
        f'"close":{candle.close},"vol":{candle.volume}{filled}}}'
    )


def trade_fragment(trade: MarketTrade) -> str:
    trade_id = orjson.dumps(trade.trade_id).decode()
    return (
        f'{{"timestamp":"{precise_instant(trade.event_ns)}","price":{trade.price},"volume":{trade.quantity},'
        f'"side":"{trade.side.value}","type":"{trade.order_type.value}","trade_id":{trade_id}}}'
    )


def json_response(body: Mapping[str, Any], name: str, fragments: Sequence[str]) -> Response:
    """The body with the rows under `name` as its last member."""
    head = orjson.dumps(body, option=orjson.OPT_UTC_Z)[:-1].decode()
    return Response(f'{head},"{name}":[{",".join(fragments)}]}}', media_type="application/json")


def json_body(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type="application/json")


def candles_table(candles: Sequence[Candle]) -> pa.Table:
    """Columns timestamp (UTC), open, high, low, close, volume, trades, filled; the numbers are exact decimals."""
    return pa.table(
        {
            "timestamp": pa.array([candle.opened_ns for candle in candles], pa.timestamp("ns", "UTC")),
            "open": _decimals([candle.open for candle in candles]),
            "high": _decimals([candle.high for candle in candles]),
            "low": _decimals([candle.low for candle in candles]),
            "close": _decimals([candle.close for candle in candles]),
            "volume": _decimals([candle.volume for candle in candles]),
            "trades": pa.array([candle.trades for candle in candles], pa.int64()),
            "filled": pa.array([candle.filled for candle in candles], pa.bool_()),
        }
    )


def trades_table(trades: Sequence[MarketTrade]) -> pa.Table:
    """Columns timestamp (UTC), trade_id, price, volume, side, type; the numbers are exact decimals."""
    return pa.table(
        {
            "timestamp": pa.array([trade.event_ns for trade in trades], pa.timestamp("ns", "UTC")),
            "trade_id": pa.array([trade.trade_id for trade in trades], pa.string()),
            "price": _decimals([trade.price for trade in trades]),
            "volume": _decimals([trade.quantity for trade in trades]),
            "side": pa.array([trade.side.value for trade in trades], pa.string()),
            "type": pa.array([trade.order_type.value for trade in trades], pa.string()),
        }
    )


def table_response(table: pa.Table, wanted: Format) -> Response:
    if wanted is Format.ARROW:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue().to_pybytes(), media_type=wanted.value)
    names = table.column_names
    lines = [",".join(names)]
    columns = [_texts(table.column(name)) for name in names]
    lines.extend(",".join(row) for row in zip(*columns, strict=True))
    return Response("\r\n".join([*lines, ""]), media_type="text/csv; charset=utf-8")


def _decimals(texts: Sequence[str]) -> pa.Array:
    places = len(texts[0].partition(".")[2]) if texts else 0
    return pa.array(texts, pa.string()).cast(pa.decimal128(38, places))


def _texts(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_timestamp(column.type):
        return [precise_instant(value) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_decimal(column.type):
        return [format(value, "f") for value in column.to_pylist()]
    if pa.types.is_boolean(column.type):
        return [str(value).lower() for value in column.to_pylist()]
    return ["" if value is None else _quoted(str(value)) for value in column.to_pylist()]


def _quoted(text: str) -> str:
    """RFC 4180: a value with a comma, a quote or a line end stands between quotes."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
