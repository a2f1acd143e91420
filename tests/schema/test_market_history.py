"""Candles, columns, trades and coverage over GraphQL: exact, half-open, in every timeframe, with where they came from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.executor.engine import Engine
from fullon_master_api.model import Candle, MarketTrade, Principal, Role, Scope, Side, Timeframe
from fullon_master_api.resolvers.context import Context
from fullon_master_api.schema import build_schema

NS = 10**9
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z, a Wednesday
KEY = ("kraken", "BTC/USD")
READER = Principal(uid=2, mail="trader@fullon", role=Role.USER, scopes=frozenset({Scope.READ}))
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Ask]:
    """Asks about BTC/USD: trades in the minutes 0, 1 and 3 of a day, of which the exchange's own candle is known for minute 1."""
    async with (
        open_orm(f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}") as orm,
        open_ohlcv(f"sqlite+aiosqlite:///{tmp_path / 'ohlcv.db'}") as ohlcv,
    ):
        exchange = await orm.exchanges.install(None, KEY[0])
        await orm.symbols.add(None, {"cat_ex_id": exchange.cat_ex_id, "symbol": KEY[1], "decimals": 2})
        for number, second, price in ((9, 0, "100.10"), (10, 5, "99.05"), (11, 60, "98.5"), (12, 180, "101")):
            trade = MarketTrade(
                trade_id=str(number), event_ns=(DAY_S + second) * NS + 500, price=price, quantity="0.00000001", side=Side.BUY
            )
            await ohlcv.append_trades(*KEY, [trade], price_decimals=2, covered=(DAY_S * NS, (DAY_S + second + 1) * NS))
        own = Candle(opened_ns=(DAY_S + 60) * NS, open="98.5", high="98.5", low="90", close="97", volume="7")
        await ohlcv.upsert_candles(*KEY, Timeframe.MINUTE_1, [own])
        engine, stores = Engine(build_schema()), SimpleNamespace(orm=orm, ohlcv=ohlcv)

        async def ask_symbol(fields: str, symbol: str = KEY[1]) -> dict[str, Any]:
            prepared = engine.prepare(f'{{ symbol(exchange: "kraken", symbol: "{symbol}") {{ {fields} }} }}')
            answer = await engine.execute(prepared, {}, Context(stores, READER, "test"))  # type: ignore[arg-type]
            found: dict[str, Any] = orjson.loads(answer.body)
            return found

        yield ask_symbol


async def test_candles_are_exact_and_say_where_they_came_from(ask: Ask) -> None:
    rows = "openedAt open high low close volume trades final filled source revision"
    answer = await ask(f"candles(timeframe: MINUTE_1, fill: PREVIOUS_CLOSE) {{ {rows} }}")
    assert "errors" not in answer
    names = rows.split()
    assert [[row[name] for name in names] for row in answer["data"]["symbol"]["candles"]] == [
        ["2023-11-15T00:00:00Z", "100.10", "100.10", "99.05", "99.05", "0.00000002", 2, True, False, "TRADES", 0],
        ["2023-11-15T00:01:00Z", "98.50", "98.50", "90.00", "97.00", "7.00000000", None, True, False, "EXCHANGE", 1],
        ["2023-11-15T00:02:00Z", "97.00", "97.00", "97.00", "97.00", "0.00000000", 0, True, True, None, 0],
        ["2023-11-15T00:03:00Z", "101.00", "101.00", "101.00", "101.00", "0.00000001", 1, False, False, "TRADES", 0],
    ]


async def test_every_timeframe_is_there_and_tells_of_revisions_below_it(ask: Ask) -> None:
    fields = [f"{t.name}: candles(timeframe: {t.name}) {{ low volume final source revision }}" for t in Timeframe]
    answer = await ask(" ".join(fields))
    assert "errors" not in answer
    for timeframe in Timeframe:
        if timeframe is not Timeframe.MINUTE_1:
            first = answer["data"]["symbol"][timeframe.name][0]
            closed = timeframe is Timeframe.MINUTE_3
            assert (first["low"], first["source"], first["final"]) == ("90.00", "ROLLUP", closed), timeframe
    assert answer["data"]["symbol"]["MINUTE_3"][0]["revision"] == 1


async def test_ranges_are_half_open_and_columns_hold_the_same_candles(ask: Ask) -> None:
    span = 'start: "2023-11-15T00:00:00Z", end: "2023-11-15T00:03:00Z"'
    answer = await ask(
        f"candles(timeframe: MINUTE_1, {span}) {{ openedAt close }}"
        f" first: candles(timeframe: MINUTE_1, {span}, limit: 1) {{ close }}"
        f" columns: candleColumns(timeframe: MINUTE_1, {span}) {{ openedAt close volume }}"
        f" trades({span}) {{ id tradedAt price quantity side type }} coverage {{ start end }}"
        " minutes: coverage(timeframe: MINUTE_1) { start end }"
    )
    assert "errors" not in answer
    found = answer["data"]["symbol"]
    assert [row["close"] for row in found["candles"]] == ["99.05", "97.00"]
    assert found["first"] == [{"close": "99.05"}]
    opened = [datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M") for ms in found["columns"]["openedAt"]]
    assert (opened, found["columns"]["close"]) == (["00:00", "00:01"], [99.05, 97.0])
    assert found["columns"]["volume"] == [2e-08, 7.0]
    assert [trade["id"] for trade in found["trades"]] == ["9", "10", "11"]
    assert found["trades"][0] == {
        "id": "9",
        "tradedAt": "2023-11-15T00:00:00.000000500Z",
        "price": "100.10",
        "quantity": "0.00000001",
        "side": "BUY",
        "type": "UNKNOWN",
    }
    assert found["coverage"] == [{"start": "2023-11-15T00:00:00Z", "end": "2023-11-15T00:03:01Z"}]
    assert found["minutes"] == [{"start": "2023-11-15T00:01:00Z", "end": "2023-11-15T00:02:00Z"}]


async def test_days_of_a_zone_begin_at_its_midnight(ask: Ask) -> None:
    answer = await ask('candles(timeframe: DAY_1, zone: "America/New_York") { openedAt }')
    assert answer["data"]["symbol"]["candles"] == [{"openedAt": "2023-11-14T05:00:00Z"}]


async def test_a_symbol_that_the_catalogue_does_not_have_is_not_found(ask: Ask) -> None:
    answer = await ask("candles(timeframe: MINUTE_1) { close }", symbol="NOT/THERE")
    assert answer["data"] == {"symbol": None}
    assert [(error["extensions"]["code"], error["path"]) for error in answer["errors"]] == [("NOT_FOUND", ["symbol"])]
