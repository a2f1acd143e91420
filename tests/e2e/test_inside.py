"""A gateway in this process, looked at from inside: how often it asks its stores, what it shows of a service that died."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type
from sqlalchemy import event
from sqlalchemy.engine import Engine as SqlEngine

from fullon_master_api.app import MasterGateway, lasting_objects, open_gateway
from fullon_master_api.demo import open_demo, paper_source, symbols_without_ticker
from fullon_master_api.errors import CacheUnavailable, GatewayError, StoreUnavailable
from fullon_master_api.executor.engine import Engine
from fullon_master_api.model import DesiredState, Principal, Role, Scope, Ticker
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.identity import read_global_id
from fullon_master_api.schema import build_schema
from fullon_master_api.tracing import noted_statements
from tests.apis.cache.records import balance, position, tick

MARKETS = """
  { symbols(exchange: "kraken") { nodes { symbol exchange { name } ticker { last symbol { base } }
    candles(timeframe: MINUTE_1, limit: 100) { openedAt close } trades(limit: 10) { price } } } }
"""
MINE = """
  { me { bots(first: 50) { nodes { name strategies { name template { name } feeds { symbol { symbol } } }
    orders(first: 50) { nodes { side symbol { symbol ticker { last } } bot { name } dryTrades { price } } }
    dryTrades(first: 20) { nodes { price symbol { symbol } } } logs(first: 5) { nodes { message } } } }
    exchangeAccounts { name exchange { name } balances { total } positions { quantity } } } }
"""

FROM_THE_CACHE = """
  { symbol(exchange: "kraken", symbol: "BTC/USD") { ticker { last } }
    me { exchangeAccounts { balances { currency total free used } positions { symbolName quantity price } }
      bots(first: 50) { nodes { status { feeds } } } } }
"""


@asynccontextmanager
async def gateway_of(folder: Path) -> AsyncIterator[MasterGateway]:
    async with open_demo(port=0, data_dir=folder) as settings, open_gateway(settings) as gateway:
        yield gateway


async def ask(gateway: MasterGateway, query: str, uid: int, role: Role = Role.USER) -> dict[str, Any]:
    principal = Principal(uid=uid, mail="x@y", role=role, scopes=frozenset(Scope))
    engine = gateway.engine
    answer = await engine.execute(engine.prepare(query), {}, Context(gateway.stores, principal, "test"))
    found: dict[str, Any] = orjson.loads(answer.body)
    return found


@contextmanager
def counted(gateway: MasterGateway) -> Iterator[Counter[str]]:
    """Statements of the SQL store, and calls of the candle store and the cache."""
    calls: Counter[str] = Counter()

    def on_statement(*_: object) -> None:
        calls["sql"] += 1

    event.listen(SqlEngine, "before_cursor_execute", on_statement)
    wrapped: list[tuple[Any, str, Any]] = []
    for owner, name in (
        (gateway.stores.ohlcv, "candles"),
        (gateway.stores.ohlcv, "trades"),
        (gateway.stores.cache.tickers, "get_many"),
        (gateway.stores.cache.accounts, "get_balances"),
        (gateway.stores.cache.accounts, "get_positions"),
    ):
        original = getattr(owner, name)

        def call(*args: Any, _original: Any = original, _name: str = name, **options: Any) -> Any:
            calls[_name] += 1
            return _original(*args, **options)

        wrapped.append((owner, name, original))
        setattr(owner, name, call)
    try:
        yield calls
    finally:
        event.remove(SqlEngine, "before_cursor_execute", on_statement)
        for owner, name, original in wrapped:
            setattr(owner, name, original)


async def test_a_nested_query_asks_each_store_once_per_field_whatever_the_number_of_rows(tmp_path: Path) -> None:
    async with gateway_of(tmp_path) as gateway:
        with counted(gateway) as markets:
            answer = await ask(gateway, MARKETS, uid=2)
        assert "errors" not in answer, answer
        assert len(answer["data"]["symbols"]["nodes"]) >= 4
        assert (markets["candles"], markets["trades"], markets["get_many"]) == (1, 1, 1)
        assert markets["sql"] <= 3  # symbols, exchanges, and the symbols of tickers where there are any

        with counted(gateway) as few:
            await ask(gateway, MINE, uid=2)
        trader = Principal(uid=2, mail="x@y", role=Role.USER, scopes=frozenset({Scope.READ, Scope.WRITE}))
        accounts = (await gateway.stores.orm.accounts.of_users([2], trader))[0]
        for number in range(30):
            bot = await gateway.stores.orm.bots.add(trader, {"name": f"bot {number}"})
            order = {"ex_id": accounts[0].ex_id, "bot_id": bot.bot_id, "symbol": "ETH/USD", "side": "buy"}
            await gateway.stores.orm.orders.place(trader, order | {"order_type": "market", "volume": Decimal(1)}, send=False)
        with counted(gateway) as many:
            answer = await ask(gateway, MINE, uid=2)
        assert "errors" not in answer, answer
        assert len(answer["data"]["me"]["bots"]["nodes"]) >= 33

        assert many == few
        assert many["sql"] <= 18  # one for each of the fields above that the SQL store answers
        assert many["get_many"] == 1


async def test_the_graph_shows_what_the_cache_has_and_to_whom_it_belongs(tmp_path: Path) -> None:
    async with gateway_of(tmp_path) as gateway:
        cache, orm = gateway.stores.cache, gateway.stores.orm
        (account,) = (await orm.accounts.of_users([2], None))[0]
        bot = (await orm.bots.of_users([2], None, first=1))[0].rows[0]
        await cache.tickers.set(tick(last="64123.10"))
        await cache.accounts.set_balances(account.ex_id, [balance("USD", "10.50", ex_id=account.ex_id)])
        await cache.accounts.set_positions(account.ex_id, [position("BTC/USD", "-0.25", ex_id=account.ex_id)])
        await cache.bots.set_status(bot.bot_id, {"feed_1": {"status": "running"}})
        await cache.processes.register("tick", "ticker_daemon", status="running")

        shown = await ask(gateway, FROM_THE_CACHE, uid=2)
        assert "errors" not in shown, shown
        assert shown["data"]["symbol"] == {"ticker": {"last": "64123.10"}}
        assert shown["data"]["me"]["exchangeAccounts"] == [
            {
                "balances": [{"currency": "USD", "total": "10.50", "free": "9.50", "used": "1"}],
                "positions": [{"symbolName": "BTC/USD", "quantity": "-0.25", "price": "100.1"}],
            }
        ]
        statuses = [node["status"] for node in shown["data"]["me"]["bots"]["nodes"]]
        assert [status for status in statuses if status] == [{"feeds": {"feed_1": {"status": "running"}}}]

        processes = "{ processes { type component status } }"
        row = {"type": "tick", "component": "ticker_daemon", "status": "running"}
        assert (await ask(gateway, processes, uid=1, role=Role.ADMIN))["data"]["processes"] == [row]
        refused = await ask(gateway, processes, uid=2)
        assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]


async def test_a_service_that_dies_is_shown_failed_with_its_error_and_can_be_started_again(tmp_path: Path) -> None:
    async with gateway_of(tmp_path) as gateway, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.run_services())
        await wait_for_state(gateway, "RUNNING")
        open_adapter = gateway.resources.cache.tickers.set
        broken = GatewayError("the disk of the ticker is full")

        async def fail(*_: object, **__: object) -> None:
            raise broken

        gateway.resources.cache.tickers.set = fail  # type: ignore[method-assign]
        service = await wait_for_state(gateway, "FAILED")
        assert "the disk of the ticker is full" in service["lastError"]
        assert (await ask(gateway, "{ me { mail } }", uid=1, role=Role.ADMIN))["data"]["me"]["mail"] == "admin@fullon"

        gateway.resources.cache.tickers.set = open_adapter  # type: ignore[method-assign]
        started = await ask(
            gateway, "mutation { startService(input: { name: TICKER }) { service { state lastError } } }", uid=1, role=Role.ADMIN
        )
        assert started["data"]["startService"]["service"]["state"] == "RUNNING", started

        gateway.stop()
        await running


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"service_auto_start_enabled": False}, set()),
        ({"services_to_auto_start": ["ticker"], "health_monitor_enabled": True}, {"ticker", "health_monitor"}),
    ],
    ids=["off", "on"],
)
async def test_those_services_start_by_themselves_that_the_settings_name(
    tmp_path: Path, values: dict[str, object], wanted: set[str]
) -> None:
    async with (
        open_demo(port=0, data_dir=tmp_path) as settings,
        open_gateway(settings.model_copy(update=values)) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(gateway.run_services())
        async with asyncio.timeout(60):
            while True:
                rows = await gateway.stores.services.get_all()
                up = {row.name.value for row in rows if row.state.value in ("RUNNING", "DEGRADED")}
                if len(gateway.supervisor.held) == 4 and up == wanted:
                    break
                await asyncio.sleep(0.05)
        assert {row.name.value for row in rows if row.desired is DesiredState.RUNNING} == wanted
        gateway.stop()
        await running


async def test_a_demo_of_many_markets_says_that_it_is_ready_when_each_has_its_ticker(tmp_path: Path) -> None:
    source = paper_source(None, symbol="", speed=1.0, markets=30, updates_per_s=2.0)
    async with (
        open_demo(source, port=0, data_dir=tmp_path, markets=30) as settings,
        open_gateway(settings) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(gateway.run_services())
        async with asyncio.timeout(60):
            while await symbols_without_ticker(gateway, source):  # It waits itself, with a limit.
                continue
        symbols = (await ask(gateway, "{ symbols(first: 50) { nodes { symbol ticker { last } } } }", uid=2))["data"]["symbols"]
        gateway.stop()
        await running
    assert len(symbols["nodes"]) == 30
    assert [node["symbol"] for node in symbols["nodes"] if node["ticker"] is None] == []


async def test_a_demo_without_collecting_services_waits_for_no_ticker(tmp_path: Path) -> None:
    source = paper_source(None, symbol="", speed=1.0, markets=None, updates_per_s=4.0)
    async with open_demo(source, port=0, data_dir=tmp_path) as settings:
        quiet = settings.model_copy(update={"service_auto_start_enabled": False})
        async with open_gateway(quiet) as gateway:
            assert await symbols_without_ticker(gateway, source) == []


async def wait_for_state(gateway: MasterGateway, state: str) -> dict[str, Any]:
    """The ticker service once it was seen in this state."""
    query = "{ service(name: TICKER) { state lastError } }"
    until = time.monotonic() + 60
    while True:
        service: dict[str, Any] = (await ask(gateway, query, uid=1, role=Role.ADMIN))["data"]["service"]
        if service["state"] == state:
            return service
        assert time.monotonic() < until, service
        await asyncio.sleep(0.05)


async def test_a_cache_that_is_away_takes_its_field_and_nothing_else(tmp_path: Path) -> None:
    query = '{ symbol(exchange: "kraken", symbol: "BTC/USD") { symbol ticker { last } } me { mail } }'
    async with gateway_of(tmp_path) as gateway:

        async def fail(keys: object) -> list[Ticker | None]:
            raise CacheUnavailable("the cache does not answer")

        gateway.stores.cache.tickers.get_many = fail  # type: ignore[method-assign]
        answer = await ask(gateway, query, uid=2)

    assert answer["data"] == {"symbol": {"symbol": "BTC/USD", "ticker": None}, "me": {"mail": "trader@fullon"}}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["symbol", "ticker"], "UNAVAILABLE")]


async def test_a_candle_store_that_is_away_takes_its_fields_and_nothing_else(tmp_path: Path) -> None:
    query = """
      { symbols(exchange: "kraken", first: 2) { nodes { base ticker { last symbol { base } }
          candles(timeframe: MINUTE_1) { close } trades(limit: 1) { price } } }
        me { mail } }
    """
    async with gateway_of(tmp_path) as gateway:

        async def fail(*_: object, **__: object) -> Any:
            raise StoreUnavailable("the candle store does not answer")

        whole = await ask(gateway, query, uid=2)
        for name in ("candles", "trades"):
            setattr(gateway.stores.ohlcv, name, fail)
        answer = await ask(gateway, query, uid=2)

    assert "errors" not in whole, whole
    nodes = whole["data"]["symbols"]["nodes"]
    assert len(nodes) == 2
    without = [node | {"candles": None, "trades": None} for node in nodes]
    assert answer["data"] == whole["data"] | {"symbols": whole["data"]["symbols"] | {"nodes": without}}
    told = sorted((error["path"], error["extensions"]["code"]) for error in answer["errors"])
    assert told == [(["symbols", "nodes", at, field], "UNAVAILABLE") for at in (0, 1) for field in ("candles", "trades")]


def test_a_process_that_serves_is_not_searched_for_garbage_among_what_it_began_with() -> None:
    thresholds = gc.get_threshold()
    with lasting_objects():
        lasting = gc.get_freeze_count()
        seen = len(gc.get_objects())
        during = gc.get_threshold()

    assert lasting > 100 * seen
    assert during[2] > thresholds[2]
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() < lasting


async def test_node_and_entities_read_what_is_selected_of_each_type(tmp_path: Path) -> None:
    some = "{ __typename id ... on User { name } ... on Bot { name user { mail } } ... on Symbol { base } }"
    asking = (
        f"query($r: [_Any!]!, $bot: ID!) {{ _entities(representations: $r) {some.replace('id ', '')} node(id: $bot) {some} }}"
    )
    ids = "{ me { id name bots(first: 1) { nodes { id name user { mail } } } } }"
    async with gateway_of(tmp_path) as gateway:
        me = (await ask(gateway, ids, uid=2))["data"]["me"]
        bot = me["bots"]["nodes"][0]
        kraken = {"__typename": "Symbol", "symbol": "BTC/USD", "exchange": {"name": "kraken"}}
        asked = [{"__typename": "User", "id": me["id"]}, {"__typename": "Bot", "id": bot["id"]}, kraken]
        engine = Engine(build_schema(federated=True))
        principal = Principal(uid=2, mail="x@y", role=Role.USER, scopes=frozenset(Scope))
        with noted_statements() as notes:
            answer = await engine.execute(
                engine.prepare(asking), {"r": asked, "bot": bot["id"]}, Context(gateway.stores, principal, "test")
            )
        engine.close()

    found = orjson.loads(answer.body)
    mine = {"__typename": "Bot", "name": bot["name"], "user": bot["user"]}
    assert found["data"]["_entities"] == [
        {"__typename": "User", "name": me["name"]}, mine, {"__typename": "Symbol", "base": "BTC"},
    ]  # fmt: skip
    assert found["data"]["node"] == mine | {"id": bot["id"]}
    read = [note.sql.partition("FROM")[0] for note in notes if note.sql.startswith("SELECT")]
    assert len(read) >= 4
    assert sum("name" in columns for columns in read) >= 3
    for column in ("phone", "created_at", "timestamp", "dry_run", "quote", "updatable", "backtest"):
        assert not [columns for columns in read if column in columns], column


def ids_in(answer: Any) -> Iterator[str]:
    if isinstance(answer, dict):
        if "id" in answer:
            yield answer["id"]
        answer = list(answer.values())
    for part in answer if isinstance(answer, list) else ():
        yield from ids_in(part)


async def test_each_field_of_an_entity_is_what_graphql_core_answers_from_the_whole_record(tmp_path: Path) -> None:
    ids = """{ me { id exchangeAccounts { id exchange { id } } bots(first: 2) { nodes { id strategies { id template { id }
      feeds { id symbol { id } } } orders(first: 3) { nodes { id dryTrades { id } } } } } } }"""
    schema = build_schema(federated=True)
    principal = Principal(uid=2, mail="x@y", role=Role.USER, scopes=frozenset(Scope))
    async with gateway_of(tmp_path) as gateway:
        context = Context(gateway.stores, principal, "test")
        by_kind: dict[str, list[dict[str, str]]] = defaultdict(list)
        for text in dict.fromkeys(ids_in(await ask(gateway, ids, uid=2))):
            kind, _number = read_global_id(text) or ("", 0)
            by_kind[kind].append({"__typename": kind, "id": text})
        engine = Engine(schema)
        for kind, asked in by_kind.items():
            type_ = schema._schema.type_map[kind]
            assert isinstance(type_, GraphQLObjectType)
            for name, field in type_.fields.items():
                if not is_leaf_type(get_named_type(field.type)) or field.args:
                    continue
                query = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on {kind} {{ {name} }} }} }}"
                answer = await engine.execute(engine.prepare(query), {"r": asked}, context)
                whole = await schema.execute(query, {"r": asked}, context_value=context)
                assert whole.errors is None
                assert orjson.loads(answer.body) == {"data": orjson.loads(orjson.dumps(whole.data))}, (kind, name)
        engine.close()
    assert len(by_kind) >= 9
