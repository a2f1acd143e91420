"""OHLCV answers as bytes: JSON numbers with the market's own digits, CSV and Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
from fastapi import Response

from fullon_master_api.apis.ohlcv.frames import NS
from fullon_master_api.apis.ohlcv.tables import csv_lines, instant, precise_instant
from fullon_master_api.model import Candle, MarketTrade
from fullon_master_api.rest.ohlcv.asked import Format


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


def table_response(table: pa.Table, wanted: Format) -> Response:
    if wanted is Format.ARROW:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue().to_pybytes(), media_type=wanted.value)
    return Response(csv_lines(table), media_type="text/csv; charset=utf-8")
