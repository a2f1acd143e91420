"""The real stores that `executor.py` compares over: our schema, tokens and tables on PostgreSQL and SQLite.

Each server prints `{"port":…,"pid":…,"token":…,"newcomer":…}` and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI, Request
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import create_async_engine
from strawberry.fastapi import BaseContext, GraphQLRouter

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.executor_profile import profiled
from benchmarks.executor_queries import ME, OTHER

from fullon_master_api.apis.orm import tables, tables_trading
from fullon_master_api.app import MasterGateway, lasting_objects, open_gateway
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.model import Candle, OrderStatus, OrderType, Side, Ticker, Timeframe
from fullon_master_api.resolvers.context import Context
from fullon_master_api.schema import build_schema
from fullon_master_api.settings import Settings
from fullon_master_api.transport.server import server_config

START_NS = 1_762_776_000_000_000_000


def settings_of(url: str) -> Settings:
    folder = Path(url.partition("///")[2]).parent if url.startswith("sqlite") else Path(os.devnull).parent
    candles = url.replace("fullon.db", "candles.db")
    return Settings(
        _env_file=None,
        data_dir=folder,
        database_url=url,
        ohlcv_database_url=candles,
        jwt_secret_key="a secret of this benchmark, long enough",
        service_auto_start_enabled=False,
        health_monitor_enabled=False,
        requests_per_minute_per_address=0,
        requests_per_minute_per_user=0,
    )


async def fill(url: str) -> None:
    """20 users with 10 bots of 50 orders each, 200 symbols, 1,000 candles of one of them."""
    async with open_gateway(settings_of(url)) as gateway:
        now = datetime(2025, 11, 10, 12, tzinfo=UTC)
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            uids = range(1, 21)
            bots = [(uid * 10 + n, uid) for uid in uids for n in range(10)]
            users = [{"uid": uid, "mail": f"user{uid}@fullon", "password_hash": "none"} for uid in uids]
            await connection.execute(insert(tables.users), users)
            await connection.execute(insert(tables.cat_exchanges), [{"cat_ex_id": 1, "name": "kraken"}])
            symbols = [
                {"symbol_id": n + 1, "symbol": f"C{n}/USD", "cat_ex_id": 1, "base": f"C{n}", "quote": "USD"} for n in range(200)
            ]
            await connection.execute(insert(tables.symbols), symbols)
            accounts = [{"ex_id": uid, "uid": uid, "cat_ex_id": 1, "name": "main"} for uid in uids]
            await connection.execute(insert(tables.exchanges), accounts)
            await connection.execute(
                insert(tables.bots), [{"bot_id": bot, "uid": uid, "name": f"bot {bot}"} for bot, uid in bots]
            )
            orders = [_order(bot, uid, n, now) for bot, uid in bots for n in range(50)]
            for start in range(0, len(orders), 1_000):
                await connection.execute(insert(tables_trading.orders), orders[start : start + 1_000])
            if engine.dialect.name == "postgresql":
                await _prepare_postgraphile(connection)
        await engine.dispose()
        candles = [
            Candle(
                opened_ns=START_NS + n * 60_000_000_000,
                open=f"{100 + n}.25",
                high=f"{101 + n}.5",
                low=f"{99 + n}.75",
                close=f"{100 + n}.5",
                volume="12.3456",
                trades=n,
            )
            for n in range(1_000)
        ]
        await gateway.stores.ohlcv.upsert_candles("kraken", "C7/USD", Timeframe.MINUTE_1, candles)


def _order(bot: int, uid: int, n: int, now: datetime) -> dict[str, Any]:
    return {
        "bot_id": bot,
        "uid": uid,
        "ex_id": uid,
        "cat_ex_id": 1,
        "exchange": "kraken",
        "symbol": f"C{(bot + n) % 200}/USD",
        "order_type": OrderType.LIMIT,
        "side": Side.BUY,
        "volume": Decimal("0.5"),
        "final_volume": Decimal(0),
        "price": Decimal("100.25"),
        "status": OrderStatus.OPEN,
        "created_at": now,
    }


async def _prepare_postgraphile(connection: Any) -> None:
    """What PostGraphile needs beside our tables: the relations that have no foreign key, and the tickers, as a table."""
    for statement in (
        "COMMENT ON TABLE orders IS E'@foreignKey (cat_ex_id, symbol) references symbols (cat_ex_id, symbol)'",
        "COMMENT ON TABLE market_candles IS E'@foreignKey (series_id) references market_series (series_id)'",
        "CREATE TABLE bench_tickers (symbol_id BIGINT PRIMARY KEY REFERENCES symbols (symbol_id), bid NUMERIC, ask NUMERIC,"
        " last NUMERIC, volume NUMERIC, updated_at TIMESTAMPTZ)",
        "INSERT INTO bench_tickers SELECT symbol_id, 1.50, 1.60, 1.55, 7.5, now() FROM symbols",
        "ANALYZE",
    ):
        await connection.execute(text(statement))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[MasterGateway, list[str]]]:
    """The gateway over filled stores, tickers in its cache, and tokens of the user who asks and of another."""
    settings = settings_of(url)
    async with open_gateway(settings) as gateway:
        for n in range(200):
            ticker = Ticker(
                exchange="kraken", symbol=f"C{n}/USD", bid="1.50", ask="1.60", last="1.55", volume="7.5", received_ns=START_NS
            )
            await gateway.stores.cache.tickers.set(ticker)
        signer = Signer.from_settings(settings)
        yield gateway, [signer.sign(uid=uid, mail=f"user{uid}@fullon") for uid in (ME, OTHER)]


class LoaderContext(BaseContext, Context):
    """What FastAPI's router hands to resolvers."""

    def __init__(self, context: Context) -> None:
        BaseContext.__init__(self)
        Context.__init__(self, context.stores, context.principal, context.request_id)


def default_app(gateway: MasterGateway) -> FastAPI:
    """The same schema and stores under Strawberry's own router and execution."""

    async def get_context(request: Request) -> LoaderContext:
        principal = await gateway.stores.sessions.authenticate(request.headers.get("authorization"), None)
        return LoaderContext(Context(gateway.stores, principal, "bench"))

    app = FastAPI()
    app.include_router(GraphQLRouter(build_schema(), path="/graphql", context_getter=get_context))
    return app


async def serve(peer: str, url: str) -> None:
    async with opened(url) as (gateway, (token, newcomer)):
        if peer == "fullon":  # As `fullon serve` is served; the peer by uvicorn as it comes.
            config = server_config(gateway.app, uvloop_enabled=True, message_bytes_max=1_000_000)
            config.port = 0
        else:
            app = default_app(gateway)
            config = uvicorn.Config(app, port=0, log_level="error", access_log=False, lifespan="off", http="httptools")
        server = uvicorn.Server(config)
        with lasting_objects():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve())
                while not server.started:
                    await asyncio.sleep(0.01)
                port = server.servers[0].sockets[0].getsockname()[1]
                print(json.dumps({"port": port, "pid": os.getpid(), "token": token, "newcomer": newcomer}), flush=True)
                with profiled():
                    await asyncio.to_thread(sys.stdin.read)
                server.should_exit = True


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fill(sys.argv[2]) if sys.argv[1] == "fill" else serve(sys.argv[1], sys.argv[2]))
