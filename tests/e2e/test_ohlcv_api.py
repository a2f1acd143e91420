"""The OHLCV API as its users know it: who may ask, what is described, candles and time series of a collected market."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import jwt
import pytest

from fullon_master_api.model import Timeframe
from tests.e2e.running import ANSWER_S, DemoProcess, data_of

HOME = "/api/v1/ohlcv"
RANGE = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2100-01-01T00:00:00Z"}
DATA_ROUTES = [
    "/trades/kraken/BTC/USD",
    "/trades/kraken/BTC/USD/range",
    "/candles/kraken/BTC/USD/1m",
    "/candles/kraken/BTC%2FUSD/1m/range",
    "/timeseries/kraken/BTC/USD/ohlcv",
    "/api/candles/kraken/BTC/USD?timeframe=1h&limit=100",
]
MADE = 'mutation { createApiKey(input: { name: "charts", scopes: [READ] }) { key } }'


@pytest.fixture(scope="module")
def reader(demo: DemoProcess) -> Iterator[httpx.Client]:
    """A chart program with a key that may read, once three minutes of the market are collected."""
    with demo.client("trader@fullon") as trader:
        key = data_of(trader, MADE)["createApiKey"]["key"]
    with httpx.Client(base_url=f"{demo.url}{HOME}", headers={"X-API-Key": key}, timeout=ANSWER_S) as client:
        until = time.monotonic() + 120
        while len(rows_of(client, "/candles/kraken/BTC/USD/1m", "candles")) < 3:
            assert time.monotonic() < until, "no three candles"
            time.sleep(0.2)
        yield client


def rows_of(client: httpx.Client, path: str, name: str, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["count"] == len(body[name])
    rows: list[dict[str, Any]] = body[name]
    return rows


def expired(demo: DemoProcess) -> str:
    """The trader's own token, rightly signed, of an hour ago."""
    token = demo.token("trader@fullon")
    secret = json.loads((demo.log.parent / "data" / "demo-secrets.json").read_text())["jwt_secret_key"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims |= {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}
    return jwt.encode(claims, secret, algorithm=jwt.get_unverified_header(token)["alg"])


@pytest.mark.parametrize("path", DATA_ROUTES)
def test_a_data_route_refuses_who_shows_no_good_token(demo: DemoProcess, stranger: httpx.Client, path: str) -> None:
    cases = [{}, {"Authorization": "Bearer bad"}, {"Authorization": f"Bearer {expired(demo)}"}, {"X-API-Key": "invalid_api_key"}]
    for headers in cases:
        answer = stranger.get(HOME + path, params=None if "?" in path else RANGE, headers=headers)
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.json()["detail"]


def test_every_described_path_lies_under_the_prefix_and_the_data_routes_are_among_them(stranger: httpx.Client) -> None:
    described = [path for path in stranger.get("/openapi.json").json()["paths"] if "ohlcv" in path and "/cache/" not in path]
    assert len(described) >= 3
    assert all(path.startswith(f"{HOME}/") for path in described)
    for route in (
        "/trades/{exchange}/{symbol}",
        "/candles/{exchange}/{symbol}/{timeframe}",
        "/candles/{exchange}/{symbol}/{timeframe}/range",
        "/timeseries/{exchange}/{symbol}/ohlcv",
    ):
        assert HOME + route in described


@pytest.mark.parametrize("timeframe", [timeframe.value for timeframe in Timeframe])
def test_candles_of_every_timeframe_keep_to_the_limit(reader: httpx.Client, timeframe: str) -> None:
    for limit in (1, 10):
        rows = rows_of(reader, f"/candles/kraken/BTC/USD/{timeframe}", "candles", limit=limit)
        assert 1 <= len(rows) <= limit
        for row in rows:
            assert row.keys() >= {"timestamp", "open", "high", "low", "close", "vol"}
            assert row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]


def test_rows_of_a_range_lie_inside_it(reader: httpx.Client) -> None:
    opened = [row["timestamp"] for row in rows_of(reader, "/candles/kraken/BTC/USD/1m", "candles", limit=3)]
    span = {"start_time": opened[0], "end_time": opened[-1]}
    start, end = map(datetime.fromisoformat, (opened[0], opened[-1]))
    for path, name in (
        ("/candles/kraken/BTC/USD/1m/range", "candles"),
        ("/timeseries/kraken/BTC/USD/ohlcv", "ohlcv"),
        ("/trades/kraken/BTC/USD/range", "trades"),
    ):
        rows = rows_of(reader, path, name, **span)
        assert rows, path
        assert all(start <= datetime.fromisoformat(row["timestamp"]) < end for row in rows), path


def test_a_time_series_comes_by_key_with_timeframe_range_and_limit(reader: httpx.Client) -> None:
    rows = rows_of(reader, "/timeseries/kraken/BTC/USD/ohlcv", "ohlcv", **RANGE, timeframe="1m", limit=2)
    newest = rows_of(reader, "/candles/kraken/BTC/USD/1m", "candles", limit=4)
    assert len(rows) == 2
    assert {row["timestamp"] for row in rows} <= {row["timestamp"] for row in newest}
