"""Exchanges and symbols over REST: the catalogue's own, where the original answered nothing."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

CATALOGUE_ROUTES = [
    "/exchanges",
    "/exchanges/kraken/info",
    "/exchanges/kraken/status",
    "/exchanges/kraken/validate",
    "/exchanges/kraken/symbols",
    "/exchanges/kraken/symbols/BTC/USD/info",
    "/exchanges/kraken/symbols/BTC%2FUSD/metadata",
    "/symbols/search?q=btc",
]


async def body(http: httpx.AsyncClient, path: str) -> dict[str, object]:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    read: dict[str, object] = answer.json()
    assert read.pop("success") is True
    assert read.pop("message")
    assert str(read.pop("timestamp")).endswith("Z")
    return read


async def test_the_exchanges_are_those_of_the_catalogue(http: httpx.AsyncClient) -> None:
    answer = await body(http, "/exchanges")
    assert (answer["count"], answer["total_available"]) == (2, 2)
    exchanges = answer["exchanges"]
    assert isinstance(exchanges, list)
    assert [row["name"] for row in exchanges] == ["bitmex", "kraken"]


async def test_an_exchange_is_described_and_validated(http: httpx.AsyncClient) -> None:
    info = (await body(http, "/exchanges/kraken/info"))["info"]
    assert isinstance(info, dict)
    assert (info["name"], info["symbols"], info["more_symbols"]) == ("kraken", 2, False)
    assert await body(http, "/exchanges/kraken/validate") == {"exchange": "kraken", "valid": True}
    assert await body(http, "/exchanges/nowhere/validate") == {"exchange": "nowhere", "valid": False}
    assert await body(http, "/exchanges/kraken/status") == {
        "exchange": "kraken",
        "status": "collected",
        "symbols": 2,
        "symbols_with_data": 1,
        "newest_candle": "2023-11-15T00:02:00Z",
    }
    assert (await body(http, "/exchanges/bitmex/status"))["status"] == "empty"


async def test_symbols_of_an_exchange_come_in_pages(http: httpx.AsyncClient) -> None:
    first = await body(http, "/exchanges/kraken/symbols?limit=1")
    second = await body(http, "/exchanges/kraken/symbols?limit=1&offset=1")
    assert first["pagination"] == {"limit": 1, "offset": 0, "total": 2, "has_more": True}
    assert second["pagination"] == {"limit": 1, "offset": 1, "total": 2, "has_more": False}
    assert [row["symbol"] for page in (first, second) for row in page["symbols"]] == ["BTC/USD", "ETH/USD:USD"]  # type: ignore[attr-defined]


async def test_a_symbol_is_described_with_what_is_stored_of_it(http: httpx.AsyncClient) -> None:
    info = (await body(http, "/exchanges/kraken/symbols/BTC/USD/info"))["info"]
    assert isinstance(info, dict)
    assert (info["symbol"], info["base_currency"], info["quote_currency"], info["decimals"]) == ("BTC/USD", "BTC", "USD", 2)
    metadata = (await body(http, "/exchanges/kraken/symbols/BTC%2FUSD/metadata"))["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["newest_candle"] == "2023-11-15T00:02:00Z"
    assert metadata["trades_covered"] == []


async def test_a_search_finds_part_of_a_symbol_in_any_case(http: httpx.AsyncClient) -> None:
    found = await body(http, "/symbols/search?q=btc&limit=1")
    assert (found["count"], found["total_matches"], found["truncated"]) == (1, 2, True)
    one = await body(http, "/symbols/search?q=eth&exchange=kraken")
    results = one["results"]
    assert isinstance(results, list)
    assert [(row["exchange"], row["symbol"]) for row in results] == [("kraken", "ETH/USD:USD")]
    assert (await body(http, "/symbols/search?q=%25"))["total_matches"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/exchanges/nowhere/info",
        "/exchanges/nowhere/status",
        "/exchanges/nowhere/symbols",
        "/exchanges/kraken/symbols/NOT/THERE/info",
        "/exchanges/kraken/symbols/NOT/THERE/metadata",
    ],
)
async def test_what_the_catalogue_does_not_have_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", CATALOGUE_ROUTES)
async def test_the_catalogue_is_for_who_signed_in(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 200
    assert (await http.get(path, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("planned", "served"),
    [
        ("/api/candles/kraken/BTC/USD?timeframe=1m&limit=1", "/candles/kraken/BTC/USD/1m?limit=1"),
        ("/api/candles/kraken/BTC/USD/5m", "/candles/kraken/BTC/USD/5m"),
        (
            "/api/candles/kraken/BTC/USD/1m/range?start_time=2023-11-15T00:00:00Z&end_time=2023-11-15T00:01:00Z",
            "/candles/kraken/BTC/USD/1m/range?start_time=2023-11-15T00:00:00Z&end_time=2023-11-15T00:01:00Z&limit=100",
        ),
        ("/api/trades/kraken/BTC/USD?limit=2", "/trades/kraken/BTC/USD?limit=2"),
        (
            "/api/trades/kraken/BTC/USD/range?start_time=2023-11-15T00:00:00Z&end_time=2023-11-15T00:01:00Z",
            "/trades/kraken/BTC/USD/range?start_time=2023-11-15T00:00:00Z&end_time=2023-11-15T00:01:00Z&limit=100",
        ),
        ("/api/exchanges", "/exchanges"),
        ("/api/exchanges/kraken/symbols", "/exchanges/kraken/symbols"),
    ],
)
async def test_a_path_of_the_plan_answers_as_the_route_of_today(http: httpx.AsyncClient, planned: str, served: str) -> None:
    one, other = await http.get(planned), await http.get(served)
    assert one.status_code == other.status_code == 200, one.text
    bodies = [answer.json() for answer in (one, other)]
    for read in bodies:
        del read["timestamp"]
    assert bodies[0] == bodies[1]


async def test_half_a_range_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/candles/kraken/BTC/USD?start_time=2023-11-15T00:00:00Z")
    assert (answer.status_code, answer.json()["detail"]) == (422, "a range needs both start_time and end_time")


async def test_the_description_lists_the_thirteen_routes_of_the_original(app: FastAPI) -> None:
    prefix = "/api/v1/ohlcv"
    served = {path.removeprefix(prefix) for path in app.openapi()["paths"]}
    assert {path for path in served if not path.startswith("/api/")} == {
        "/trades/{exchange}/{symbol}",
        "/trades/{exchange}/{symbol}/range",
        "/candles/{exchange}/{symbol}/{timeframe}",
        "/candles/{exchange}/{symbol}/{timeframe}/range",
        "/timeseries/{exchange}/{symbol}/ohlcv",
        "/exchanges",
        "/exchanges/{exchange}/info",
        "/exchanges/{exchange}/status",
        "/exchanges/{exchange}/validate",
        "/exchanges/{exchange}/symbols",
        "/exchanges/{exchange}/symbols/{symbol}/info",
        "/exchanges/{exchange}/symbols/{symbol}/metadata",
        "/symbols/search",
    }
