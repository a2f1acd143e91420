"""Trades, candles and time series over REST, in the original's words and the market's own digits."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest
from fastapi import FastAPI

RANGE = {"start_time": "2023-11-15T00:00:00Z", "end_time": "2023-11-15T00:03:00+00:00"}
DATA_ROUTES = [
    "/trades/kraken/BTC/USD",
    "/trades/kraken/BTC/USD/range",
    "/candles/kraken/BTC/USD/1m",
    "/candles/kraken/BTC/USD/1m/range",
    "/timeseries/kraken/BTC/USD/ohlcv",
]
FIRST = {
    "timestamp": "2023-11-15T00:00:00Z",
    "open": Decimal("100.10"),
    "high": Decimal("100.10"),
    "low": Decimal("99.05"),
    "close": Decimal("99.05"),
    "vol": Decimal("0.30000000"),
}


def exact(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


async def test_the_newest_candles_carry_the_markets_own_digits(http: httpx.AsyncClient) -> None:
    answer = await http.get("/candles/kraken/BTC/USD/1m")
    body = exact(answer)
    assert body["candles"][0] == FIRST
    assert '"close":99.05,"vol":0.30000000}' in answer.text
    assert [row["timestamp"] for row in body["candles"]] == ["2023-11-15T00:00:00Z", "2023-11-15T00:02:00Z"]
    del body["candles"], body["timestamp"]
    assert body == {
        "success": True,
        "message": "2 candles of kraken BTC/USD 1m",
        "count": 2,
        "exchange": "kraken",
        "symbol": "BTC/USD",
        "timeframe": "1m",
        "offset": 0,
        "limit": 100,
        "total_available": None,
        "start_time": None,
        "end_time": None,
    }


@pytest.mark.parametrize("path", ["/candles/kraken/BTC%2FUSD/1m", "/candles/kraken/BTC/USD/1m"])
async def test_a_symbol_may_be_encoded_or_not(http: httpx.AsyncClient, path: str) -> None:
    assert exact(await http.get(path))["symbol"] == "BTC/USD"


async def test_a_symbol_with_a_colon_is_found(http: httpx.AsyncClient) -> None:
    assert exact(await http.get("/candles/bitmex/ETH%2FUSD%3AUSD/1h"))["symbol"] == "ETH/USD:USD"
    assert exact(await http.get("/trades/bitmex/ETH/USD:USD"))["trades"] == []


@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "1h", "4h", "1d", "1w", "1M"])
async def test_every_timeframe_answers_no_more_than_the_limit(http: httpx.AsyncClient, timeframe: str) -> None:
    for limit in (1, 10):
        body = exact(await http.get(f"/candles/kraken/BTC/USD/{timeframe}", params={"limit": limit}))
        assert 1 <= body["count"] == len(body["candles"]) <= limit


async def test_a_range_holds_only_rows_inside_it(http: httpx.AsyncClient) -> None:
    inside = {"start_time": "2023-11-15T00:00:00Z", "end_time": "2023-11-15T02:02:00+02:00"}
    body = exact(await http.get("/candles/kraken/BTC/USD/1m/range", params=inside))
    assert body["candles"] == [FIRST]
    assert (body["start_time"], body["end_time"]) == ("2023-11-15T00:00:00Z", "2023-11-15T02:02:00+02:00")
    trades = exact(await http.get("/trades/kraken/BTC/USD/range", params=inside))["trades"]
    assert trades == [
        {
            "timestamp": "2023-11-15T00:00:00.0000005Z",
            "price": Decimal("100.10"),
            "volume": Decimal("0.10000000"),
            "side": "buy",
            "type": "unknown",
            "trade_id": "9",
        },
        {
            "timestamp": "2023-11-15T00:00:00.0000005Z",
            "price": Decimal("99.05"),
            "volume": Decimal("0.20000000"),
            "side": "sell",
            "type": "unknown",
            "trade_id": "10",
        },
    ]


async def test_a_time_series_keeps_the_newest_of_its_range(http: httpx.AsyncClient) -> None:
    body = exact(await http.get("/timeseries/kraken/BTC/USD/ohlcv", params=RANGE | {"timeframe": "1m", "limit": "1"}))
    assert [row["timestamp"] for row in body["ohlcv"]] == ["2023-11-15T00:02:00Z"]
    assert body["trades_processed"] == 1
    assert body["generation_time_ms"] > 0


async def test_a_gap_is_left_out_unless_it_is_asked_to_be_filled(http: httpx.AsyncClient) -> None:
    body = exact(await http.get("/candles/kraken/BTC/USD/1m/range", params=RANGE | {"fill": "PREVIOUS_CLOSE"}))
    rows = [(row["timestamp"][14:16], row["close"], row["vol"], row.get("filled", False)) for row in body["candles"]]
    assert rows == [
        ("00", Decimal("99.05"), Decimal("0.30000000"), False),
        ("01", Decimal("99.05"), Decimal("0"), True),
        ("02", Decimal("101.00"), Decimal("0.00000001"), False),
    ]


async def test_csv_and_arrow_hold_the_same_rows(http: httpx.AsyncClient) -> None:
    text = await http.get("/candles/kraken/BTC/USD/1m", headers={"Accept": "text/csv"})
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert rows[0] == {
        "timestamp": "2023-11-15T00:00:00Z",
        "open": "100.10",
        "high": "100.10",
        "low": "99.05",
        "close": "99.05",
        "volume": "0.30000000",
        "trades": "2",
        "final": "true",
        "filled": "false",
    }
    media = "application/vnd.apache.arrow.stream"
    stream = await http.get("/candles/kraken/BTC/USD/1m", headers={"Accept": media})
    assert stream.headers["content-type"] == media
    table = pa.ipc.open_stream(stream.content).read_all()
    assert [str(value) for value in table.column("close").to_pylist()] == [row["close"] for row in rows]
    trades = await http.get("/trades/kraken/BTC/USD", headers={"Accept": "text/csv;q=0.9"})
    assert trades.text.splitlines()[1] == "2023-11-15T00:00:00.0000005Z,9,100.10,0.10000000,buy,unknown"


@pytest.mark.parametrize("path", DATA_ROUTES)
async def test_nobody_reads_without_signing_in(http: httpx.AsyncClient, path: str) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer expired"}):
        answer = await http.get(path, params=RANGE, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Not authenticated"
        assert answer.headers["www-authenticate"] == "Bearer"
    answer = await http.get(path, params=RANGE, headers={"Authorization": "Bearer writer"})
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("path", DATA_ROUTES)
async def test_a_symbol_outside_the_catalogue_is_not_found_and_nothing_is_made(
    http: httpx.AsyncClient, app: FastAPI, path: str
) -> None:
    before = await app.state.stores.ohlcv.series()
    for wrong in (path.replace("BTC/USD", "NOT/THERE"), path.replace("kraken", "nowhere")):
        answer = await http.get(wrong, params=RANGE)
        assert answer.status_code == 404
        assert answer.json()["code"] == "NOT_FOUND"
        assert answer.json()["detail"].startswith("Exchange '")
        assert answer.json()["detail"].endswith(" not found")
    assert await app.state.stores.ohlcv.series() == before


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/candles/kraken/BTC/USD/7m", {}),
        ("/candles/kraken/BTC/USD/1m", {"limit": 0}),
        ("/candles/kraken/BTC/USD/1m", {"limit": 10**9}),
        ("/candles/kraken/BTC/USD/1m", {"limit": "many"}),
        ("/candles/kraken/BTC/USD/1m", {"fill": "LINEAR"}),
        ("/candles/kraken/BTC/USD/1d", {"zone": "Mars/Olympus"}),
        ("/trades/kraken/BTC/USD", {"limit": 5001}),
        ("/trades/kraken/BTC/USD/range", {"start_time": "2023-11-15T00:00:00Z"}),
        ("/trades/kraken/BTC/USD/range", {"start_time": "2023-11-15T00:00:00", "end_time": "2023-11-15T00:01:00Z"}),
        ("/candles/kraken/BTC/USD/1m/range", {"start_time": "2023-11-15T00:01:00Z", "end_time": "2023-11-15T00:00:00Z"}),
        ("/candles/kraken/BTC/USD/1m/range", {"start_time": "0001-01-01T00:00:00Z", "end_time": "2023-11-15T00:00:00Z"}),
        ("/timeseries/kraken/BTC/USD/ohlcv", RANGE | {"timeframe": "2m"}),
        ("/timeseries/kraken/BTC/USD/ohlcv", RANGE | {"limit": 10_001}),
    ],
)
async def test_a_bad_question_is_answered_with_what_was_wrong(http: httpx.AsyncClient, path: str, params: dict[str, Any]) -> None:
    answer = await http.get(path, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "BAD_USER_INPUT"), answer.text


async def test_a_time_series_may_hold_ten_thousand_rows(http: httpx.AsyncClient) -> None:
    assert (await http.get("/timeseries/kraken/BTC/USD/ohlcv", params=RANGE | {"limit": "10000"})).status_code == 200
    assert (await http.get("/trades/kraken/BTC/USD/range", params=RANGE | {"limit": "10000"})).status_code == 200


async def test_the_api_description_names_every_data_route(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert {
        "/api/v1/ohlcv/trades/{exchange}/{symbol}",
        "/api/v1/ohlcv/trades/{exchange}/{symbol}/range",
        "/api/v1/ohlcv/candles/{exchange}/{symbol}/{timeframe}",
        "/api/v1/ohlcv/candles/{exchange}/{symbol}/{timeframe}/range",
        "/api/v1/ohlcv/timeseries/{exchange}/{symbol}/ohlcv",
    } <= set(paths)
    assert all(path.startswith("/api/v1/ohlcv/") for path in paths)
