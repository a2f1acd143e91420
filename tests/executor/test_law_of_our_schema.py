"""The executor's law on the graph that we serve: our schema, our stores, the demo's data, an admin, a user and nobody."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fullon_master_api.apis.orm.demo import install_demo
from fullon_master_api.app import MasterGateway, open_gateway
from fullon_master_api.executor.answers import DocumentError
from fullon_master_api.executor.core import run_core
from fullon_master_api.executor.engine import Engine
from fullon_master_api.model import Candle, MarketTrade, Principal, Role, Scope, Side, Ticker, Timeframe
from fullon_master_api.resolvers.context import Context
from fullon_master_api.settings import Settings
from tests.executor.law_operations import Writer
from tests.executor.test_law import Told, by_core, same_errors, told

EXAMPLES = 3_000 if os.environ.get("PROFILE") == "ci" else 250
NOON_NS = 1_762_776_000_000_000_000
NAMED: dict[str, list[Any]] = {
    "exchange": ["kraken", "kraken", "nowhere"],
    "symbol": ["BTC/USD", "ETH/USD", "X/Y"],
    "symbols": ["BTC/USD", "SOL/USD"],
    "id": ["1", "2", "U3ltYm9sOjE", "77"],
    "first": [1, 2, 3, 0],
    "limit": [1, 2, 5],
    "after": ["", "nonsense"],
    "start": ["2025-11-10T11:00:00Z"],
    "end": ["2025-11-10T13:00:00Z"],
}


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[tuple[MasterGateway, list[Principal | None]]]:
    settings = Settings(
        _env_file=None,
        data_dir=folder,
        jwt_secret_key="a secret of this test, long enough",
        service_auto_start_enabled=False,
        health_monitor_enabled=False,
    )
    async with open_gateway(settings) as gateway:
        stores = gateway.stores
        made = await install_demo(stores.orm, password_hash="not a hash")
        for symbol in ("BTC/USD", "ETH/USD"):
            await stores.cache.tickers.set(
                Ticker(exchange="kraken", symbol=symbol, bid="1.50", ask="1.60", last="1.55", received_ns=NOON_NS)
            )
            candles = [
                Candle(opened_ns=NOON_NS + n * 60_000_000_000, open="1.5", high="2", low="1", close="1.75", volume="10", trades=n)
                for n in range(5)
            ]
            await stores.ohlcv.upsert_candles("kraken", symbol, Timeframe.MINUTE_1, candles)
            trades = [
                MarketTrade(trade_id=str(n), event_ns=NOON_NS + n, price="1.5", quantity="2", side=Side.BUY) for n in range(3)
            ]
            await stores.ohlcv.append_trades("kraken", symbol, trades)
        admin = Principal(uid=made.admin.uid, mail=made.admin.mail, role=Role.ADMIN, scopes=frozenset(Scope))
        trader = Principal(
            uid=made.trader.uid, mail=made.trader.mail, role=Role.USER, scopes=frozenset({Scope.READ, Scope.WRITE})
        )
        yield gateway, [admin, admin, trader, trader, None]


def at_paths(paths: Iterable[tuple[str | int, ...]]) -> list[Told]:
    """Errors by their places alone: their words are the gateway's own."""
    return [("", path, ()) for path in paths]


@pytest.mark.timeout(1800)
async def test_any_query_of_our_schema_has_the_answer_of_graphql_core(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    async with demo(tmp_path) as (gateway, callers):
        # Thousands of new documents in a row: without the limit of what may be spent on reading them.
        engine = Engine(gateway.engine.schema, replace(gateway.engine.limits, reading_burst_s=10**9))
        for seed in range(EXAMPLES):
            chance = random.Random(f"ours {seed}")
            text, variables = Writer(engine.schema._schema, chance, NAMED).operation("query")
            caller = chance.choice(callers)
            try:
                prepared = engine.prepare(text)
            except DocumentError as error:
                seen[error.codes[0]] += 1
                continue
            contexts = [Context(stores=gateway.stores, principal=caller, request_id="law") for _ in range(2)]
            data, errors = await run_core(engine.schema, prepared, variables, contexts[0], None)

            answer = json.loads((await engine.execute(prepared, variables, contexts[1])).body)

            if "data" not in answer:
                seen["refused"] += 1
                continue
            assert "run by graphql-core" not in engine.explain(prepared, variables), text
            assert json.dumps(answer["data"]) == json.dumps(json.loads(json.dumps(data, default=str))), (text, variables)
            ours = at_paths(tuple(error["path"]) for error in answer.get("errors", ()))
            if ours or errors:
                free = Context(stores=gateway.stores, principal=caller, request_id="law")
                _free, possible = await by_core(engine.schema, prepared, variables, free, None, propagate=False)
                core = at_paths(path for _message, path, _places in told(errors))
                same_errors(answer["data"], ours, core, at_paths(path for _message, path, _places in possible))
            seen["errors" if errors else "clean"] += 1
    assert seen["clean"] > EXAMPLES / 5, seen
    assert seen["errors"] > EXAMPLES / 20, seen
