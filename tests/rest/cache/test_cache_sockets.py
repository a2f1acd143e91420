"""The sockets of orders, trades, accounts, bots, candles and processes, and the generic one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from fullon_master_api.bus import positions_topic, public_trades_topic
from fullon_master_api.model import Gap, OrderStatus
from fullon_master_api.rest.cache.app import TYPED
from fullon_master_api.rest.cache.generic import ENDPOINT
from tests.apis.cache.records import balance, candle, order, position, tick, trade
from tests.bus.redis_server import RedisServer
from tests.rest.cache.conftest import WITHIN_S, Client, House, open_house

both_shapes = pytest.mark.parametrize("house_url", ["memory", "redis"], indirect=True)

OPERATIONS = [
    "ping",
    "health_check",
    "get_ticker",
    "get_all_tickers",
    "stream_tickers",
    "get_user_positions",
    "get_user_balances",
    "get_account_status",
    "stream_user_positions",
    "stream_user_balances",
    "get_order_status",
    "get_queue_length",
    "stream_order_queue",
    "is_blocked",
    "get_bots",
    "stream_bot_status",
    "get_trades",
    "get_trade_status",
    "stream_trade_updates",
    "get_latest_ohlcv_bars",
    "stream_ohlcv_updates",
    "get_active_processes",
    "get_system_health",
    "stream_process_health",
]


async def push(client: Client) -> Any:
    return (await client.receive())["result"]


async def until_listened(house: House, topics: int) -> None:
    """A stream's place on the bus is taken after its confirmation was sent, and given up after its socket closed."""
    async with asyncio.timeout(WITHIN_S):
        while house.bus.health().topics_listened != topics:
            await asyncio.sleep(0.01)


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("timestamp", "stream_key")}


def test_the_seven_typed_sockets_are_there() -> None:
    assert list(TYPED) == ["tickers", "orders", "trades", "accounts", "bots", "ohlcv", "process"]


def test_the_generic_socket_answers_every_operation_that_it_declares() -> None:
    assert set(OPERATIONS) <= {*ENDPOINT.actions, *ENDPOINT.streams}


async def test_an_order_is_shown_to_its_owner_and_to_nobody_else(house: House) -> None:
    await house.cache.orders.set(msgspec.structs.replace(order("O-1"), final_volume=order().volume / 2, status_text="Open"))
    async with house.client("/ws/orders/me") as client:
        for exchange in ("kraken", "my kraken", 1, "1"):
            result = (await client.ask("get_order_status", exchange=exchange, order_id="O-1"))["result"]
            assert result == {
                "order_id": "O-1",
                "symbol": "BTC/USD",
                "exchange": "kraken",
                "side": "buy",
                "amount": 0.5,
                "price": 100.1,
                "filled": 0.25,
                "remaining": 0.25,
                "status": "Open",
                "order_type": "limit",
                "timestamp": 1772323200.0,
                "last_update": 1772323200.0,
            }
        assert (await client.ask("get_order_status", exchange="bitmex", order_id="O-1"))["error_code"] == "ORDER_NOT_FOUND"
    async with house.client("/ws/orders/me", "other") as client:
        for exchange in ("kraken", 1):
            answer = await client.ask("get_order_status", exchange=exchange, order_id="O-1")
            assert answer["error_code"] == "ORDER_NOT_FOUND"
            assert (await client.ask("get_queue_length", exchange=exchange))["result"]["queue_length"] == 0
        assert (await client.ask("stream_order_queue", exchange=1))["error_code"] == "INVALID_PARAMS"


@both_shapes
async def test_the_queue_counts_open_orders_and_tells_only_changes(house: House) -> None:
    await house.cache.orders.set(order("A"))
    async with house.client("/ws/orders/me") as client:
        assert (await client.ask("get_queue_length", exchange="kraken"))["result"]["queue_length"] == 1
        await client.open("stream_order_queue", exchange="kraken")
        assert (await push(client))["queue_length"] == 1
        await house.cache.orders.set(order("A", status=OrderStatus.PARTIALLY_FILLED, second=1))
        await house.cache.orders.set(order("X", ex_id=2))
        await house.cache.orders.set(order("B"))
        result = await push(client)
        assert without_time(result) == {"exchange": "kraken", "queue_length": 2}


@both_shapes
async def test_two_readers_of_trades_both_get_them_all(house: House) -> None:
    await house.cache.trades.append("kraken", "BTC/USD", [trade(1), trade(2)])
    row = {
        "symbol": "BTC/USD",
        "exchange": "kraken",
        "side": "sell",
        "volume": 1e-8,
        "price": 100.1,
        "timestamp": 1e-9,
        "trade_id": "1",
    }
    for _ in range(2):
        async with house.client("/ws/trades/me") as client:
            result = (await client.ask("get_trades", exchange="kraken", symbol="BTC/USD"))["result"]
            assert [item["trade_id"] for item in result["trades"]] == ["1", "2"]
            assert result["trades"][0] == row
    async with house.client("/ws/trades/me") as client:
        await client.open("stream_trade_updates", exchange="kraken")
        assert house.bus.health().topics_listened == 2
        await house.cache.trades.append("kraken", "BTC/USD", [trade(3), trade(4)])
        assert [(await push(client))["trade_id"] for _ in range(2)] == ["3", "4"]
        assert (await client.ask("stream_trade_updates", exchange="nowhere"))["error_code"] == "INVALID_PARAMS"


async def test_a_stream_of_trades_is_marked_where_some_may_be_missing_and_goes_on(house: House) -> None:
    async with house.client("/ws/trades/me") as client:
        await client.open("stream_trade_updates", exchange="kraken", symbol="BTC/USD")
        while not house.bus.health().topics_listened:
            await house.bus.publish("x", Gap(topic="x", reason="turn"))
        topic = public_trades_topic("kraken", "BTC/USD")
        await house.bus.publish(topic, Gap(topic=topic, reason="test"))
        await house.cache.trades.append("kraken", "BTC/USD", [trade(1)])
        assert await client.receive() == {
            "request_id": "r1",
            "action": "gap",
            "result": {"stream_key": "me:r1", "gap": True, "topic": topic, "reason": "test"},
        }
        assert (await push(client))["trade_id"] == "1"


@both_shapes
async def test_a_client_that_comes_back_goes_on_behind_the_last_trade_that_it_saw(house: House) -> None:
    asked = {"exchange": "kraken", "symbol": "BTC/USD"}
    async with house.client("/ws/trades/me") as client:
        await client.open("stream_trade_updates", **asked)
        await until_listened(house, 1)
        await house.cache.trades.append("kraken", "BTC/USD", [trade(1), trade(2)])
        seen = [await push(client), await push(client)]
        assert seen[0]["cursor"] is None
    cursor = seen[1]["cursor"]
    await until_listened(house, 0)
    await house.cache.trades.append("kraken", "BTC/USD", [trade(3)])
    await house.cache.trades.append("kraken", "BTC/USD", [trade(4)])
    async with house.client("/ws/trades/me") as client:
        await client.open("stream_trade_updates", **asked, after=cursor)
        assert [(await push(client))["trade_id"] for _ in range(2)] == ["3", "4"]
        await house.cache.trades.append("kraken", "BTC/USD", [trade(5)])
        assert (await push(client))["trade_id"] == "5"
    async with house.client("/ws/trades/me") as client:
        await client.open("stream_trade_updates", **asked, after="0badcafe-1-1")
        assert (await client.receive())["action"] == "gap"
    async with house.client("/ws/trades/me") as client:
        for wrong in ({"exchange": "kraken", "after": cursor}, {**asked, "after": "yesterday"}):
            assert (await client.ask("stream_trade_updates", **wrong))["error_code"] == "INVALID_PARAMS"


@both_shapes
async def test_a_client_that_comes_back_goes_on_behind_the_last_candle_that_it_saw(house: House) -> None:
    asked = {"exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m"}
    async with house.client("/ws/ohlcv/me") as client:
        await client.open("stream_ohlcv", **asked)
        await until_listened(house, 1)
        await house.cache.candles.set("kraken", "BTC/USD", "1m", candle(1))
        cursor = (await push(client))["cursor"]
    await until_listened(house, 0)
    await house.cache.candles.set("kraken", "BTC/USD", "1m", candle(2))
    async with house.client("/ws/ohlcv/me") as client:
        await client.open("stream_ohlcv", **asked, after=cursor)
        assert (await push(client))["bar"][0] == 120_000


async def test_balances_are_those_of_the_callers_accounts(house: House) -> None:
    await house.cache.accounts.set_balances(1, [balance("USD", "10.50")], updated_ns=2_000_000_000)
    await house.cache.accounts.set_balances(3, [balance("USD", "1.25", ex_id=3)], updated_ns=1_000_000_000)
    await house.cache.accounts.set_balances(2, [balance("USD", "777", ex_id=2)], updated_ns=1)
    async with house.client("/ws/accounts/me") as client:
        result = (await client.ask("get_balance", user_id=1, currency="USD"))["result"]
        assert without_time(result) == {
            "user_id": 1,
            "currency": "USD",
            "total_balance": 11.75,
            "available_balance": 9.75,
            "reserved_balance": 2,
        }
        assert (await client.ask("get_balance", ex_id=3, currency="USD"))["result"]["total_balance"] == 1.25
        assert (await client.ask("get_balance", user_id="3", currency="USD"))["result"]["total_balance"] == 1.25
        assert (await client.ask("get_balance", exchange="USD"))["result"]["total_balance"] == 11.75
        for asked in ({"ex_id": 2}, {"user_id": 2}, {"user_id": 99}):
            answer = await client.ask("get_balance", currency="USD", **asked)
            assert answer["error_code"] == "BALANCE_NOT_FOUND"
        assert (await client.ask("get_balance", currency="EUR"))["error_code"] == "BALANCE_NOT_FOUND"
        assert (await client.ask("get_balance", user_id=1))["error_code"] == "INVALID_PARAMS"
        assert (await client.ask("get_balance", user_id=[1], currency="USD"))["error_code"] == "INVALID_PARAMS"


async def test_positions_are_marked_to_the_last_ticker(house: House) -> None:
    await house.cache.accounts.set_positions(1, [position("BTC/USD", "-0.25"), position("ETH/USD", "2")], updated_ns=5)
    await house.cache.accounts.set_positions(2, [position("BTC/USD", "9", ex_id=2)], updated_ns=5)
    await house.cache.tickers.set(tick("BTC/USD", last="90.1"))
    async with house.client("/ws/accounts/me") as client:
        result = (await client.ask("get_positions", exchange="kraken"))["result"]
        assert (result["user_id"], result["exchange"], result["count"]) == (1, "kraken", 2)
        assert result["positions"][0] == {
            "symbol": "BTC/USD",
            "exchange": 1,
            "side": "short",
            "size": 0.25,
            "entry_price": 100.1,
            "mark_price": 90.1,
            "pnl": 2.5,
            "pnl_percent": 9.99,
            "timestamp": 5e-9,
        }
        assert (result["positions"][1]["mark_price"], result["positions"][1]["pnl"]) == (None, None)
        assert (await client.ask("get_positions", user_id=2))["result"]["positions"] == []
        assert (await client.ask("stream_positions", exchange=2))["error_code"] == "INVALID_PARAMS"


@both_shapes
async def test_positions_are_pushed_as_they_change_and_once_more_when_they_close(house: House) -> None:
    await house.cache.accounts.set_positions(1, [position("BTC/USD", "1"), position("ETH/USD", "2")], updated_ns=5)
    async with house.client("/ws/accounts/me") as client:
        await client.open("stream_positions", exchange="kraken")
        assert [(await push(client))["symbol"] for _ in range(2)] == ["BTC/USD", "ETH/USD"]
        await house.cache.accounts.set_positions(2, [position(ex_id=2)], updated_ns=6)
        await house.cache.accounts.set_positions(1, [position("BTC/USD", "1"), position("ETH/USD", "3")], updated_ns=6)
        result = await push(client)
        assert (result["symbol"], result["size"]) == ("ETH/USD", 3)
        await house.cache.accounts.set_positions(1, [position("ETH/USD", "3")], updated_ns=7)
        result = await push(client)
        assert (result["symbol"], result["size"]) == ("BTC/USD", 0)
        topic = positions_topic(1)
        await house.bus.publish(topic, Gap(topic=topic, reason="test"))
        await house.cache.accounts.set_positions(1, [], updated_ns=8)
        result = await push(client)
        assert (result["symbol"], result["size"]) == ("ETH/USD", 0)


@both_shapes
async def test_bots_are_those_of_the_caller(house: House) -> None:
    await house.cache.bots.set_status(10, {"feed_1": {"status": "running"}})
    await house.cache.bots.set_status(20, {"feed_1": {"status": "paused"}})
    await house.cache.bots.block(1, "BTC/USD", 10)
    async with house.client("/ws/bots/me") as client:
        result = (await client.ask("get_bot_status", bot_id="10"))["result"]
        assert without_time(result) == {"bot_id": "10", "status": "running", "data": {"feed_1": {"status": "running"}}}
        assert (await client.ask("get_bot_status", bot_id=20))["error_code"] == "BOT_NOT_FOUND"
        assert (await client.ask("get_bots"))["result"] == {"bots": {"10": {"feed_1": {"status": "running"}}}}
        result = (await client.ask("is_blocked", exchange=1, symbol="BTC/USD"))["result"]
        assert without_time(result) == {"exchange": 1, "symbol": "BTC/USD", "is_blocked": True, "blocked_by": 10}
        result = (await client.ask("is_blocked", exchange="kraken", symbol="ETH/USD"))["result"]
        assert (result["is_blocked"], result["blocked_by"]) == (False, None)
        assert (await client.ask("is_blocked", exchange=2, symbol="BTC/USD"))["error_code"] == "INVALID_PARAMS"
        await client.open("stream_bot_status")
        assert (await push(client))["bots"] == {"10": {"feed_1": {"status": "running"}}}
        await house.cache.bots.set_status(20, {})
        await house.cache.bots.set_status(10, {"feed_1": {"status": "running"}})
        await house.cache.bots.set_status(10, {"feed_1": {"status": "stopping"}})
        assert (await push(client))["bots"] == {"10": {"feed_1": {"status": "stopping"}}}
    async with house.client("/ws/bots/me", "other") as client:
        assert (await client.ask("get_bot_status", bot_id=20))["result"]["status"] == "unknown"


@both_shapes
async def test_candles_come_with_or_without_their_exchange_and_are_pushed(house: House) -> None:
    for minute in (1, 2):
        await house.cache.candles.set("kraken", "BTC/USD", "1m", candle(minute))
    async with house.client("/ws/ohlcv/me") as client:
        result = (await client.ask("get_latest_ohlcv_bars", symbol="BTC/USD", timeframe="1m", count=1))["result"]
        bar = [120_000, 100, 102.5, 99, 101, 3.2]
        assert result == {"symbol": "BTC/USD", "timeframe": "1m", "exchange": "kraken", "bars": [bar]}
        answer = await client.ask("get_latest_ohlcv_bars", symbol="BTC/USD", timeframe="1M", exchange="kraken")
        assert answer["error_code"] == "OHLCV_NOT_FOUND"
        for wrong in ({"timeframe": "7m"}, {"timeframe": "1m", "count": "x"}, {"timeframe": "1m", "count": 10**9}):
            answer = await client.ask("get_latest_ohlcv_bars", symbol="BTC/USD", **wrong)
            assert answer["error_code"] == "INVALID_PARAMS"
        await client.open("stream_ohlcv", symbol="BTC/USD", timeframe="1m")
        await house.cache.candles.set("kraken", "BTC/USD", "1m", candle(3, "100", final=False))
        await house.cache.candles.set("kraken", "BTC/USD", "1m", candle(3, "99.5"))
        bars = [await push(client) for _ in range(2)]
        assert [(bar["bar"][4], bar["is_final"]) for bar in bars] == [(100, False), (99.5, True)]
        assert (await client.ask("stream_ohlcv", symbol="NO/NE", timeframe="1m"))["error_code"] == "INVALID_PARAMS"


async def test_the_process_socket_is_for_admins(house: House) -> None:
    async with house.client("/ws/process/me") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Admin access required")


@both_shapes
async def test_processes_are_listed_counted_and_pushed_when_they_change(house: House) -> None:
    process = await house.cache.processes.register("tick", "ticker_daemon", params={"pid": 7})
    async with house.client("/ws/process/me", "admin") as client:
        rows = (await client.ask("get_active_processes", process_type="tick"))["result"]["processes"]
        row = {
            "process_id": process.process_id,
            "name": "ticker_daemon",
            "process_type": "tick",
            "status": "starting",
            "message": None,
            "pid": 7,
            "stale": False,
            "last_seen": process.heartbeat_at.timestamp(),
        }
        assert rows == [row]
        assert (await client.ask("get_active_processes", process_type="bot"))["result"]["processes"] == []
        result = (await client.ask("get_system_health"))["result"]
        assert (result["healthy"], result["total_processes"], result["by_type"]) == (True, 1, {"tick": 1})
        await client.open("stream_process_health")
        assert (await push(client))["active_processes"] == [row]
        await house.cache.processes.update(process.process_id)
        await house.cache.processes.update(process.process_id, status="running")
        assert (await push(client))["active_processes"][0]["status"] == "running"
        await house.cache.processes.stop(process.process_id)
        assert (await push(client))["active_processes"] == []


async def operate(client: Client, operation: str | None, **params: Any) -> Any:
    await client.send({"operation": operation, "request_id": "g", "params": params})
    return await client.receive()


async def test_the_generic_socket_wraps_answers_in_its_own_envelope(house: House) -> None:
    await house.cache.tickers.set(tick())
    async with house.client("/ws") as client:
        answer = await operate(client, "ping")
        assert set(answer) == {"request_id", "success", "result", "error", "error_code", "timestamp", "latency_ms"}
        assert (answer["request_id"], answer["success"], answer["result"]) == ("g", True, {"status": "ok"})
        await client.send({"operation": "ping"})
        assert len((await client.receive())["request_id"]) == 36
        answer = await operate(client, "health_check")
        assert answer["result"]["cache"] == {"status": "healthy", "shape": "memory", "connected": True}
        assert (await operate(client, "get_ticker", exchange="kraken", symbol="BTC/USD"))["result"]["price"] == 100.5
        answer = await operate(client, "get_ticker", exchange="kraken", symbol="NO/NE")
        assert (answer["success"], answer["error_code"], answer["result"]) == (False, "TICKER_NOT_FOUND", None)
        answer = await operate(client, "stream_tickers", exchange="kraken", symbols=["BTC/USD"])
        assert answer["result"]["message"] == "stream_tickers started"
        item = await client.receive()
        assert (item["operation"], item["result"]["price"]) == ("ticker_update", 100.5)
        answer = await operate(client, "unsubscribe", stream_key=answer["result"]["stream_key"])
        assert answer["success"] is True


async def test_an_operation_that_does_not_exist_gets_the_error_message(house: House) -> None:
    async with house.client("/ws") as client:
        for operation, details in ((None, {}), ("drop_tables", {"operation": "drop_tables"})):
            answer = await operate(client, operation)
            assert set(answer) == {"request_id", "error", "error_code", "timestamp", "details"}
            assert (answer["error_code"], answer["details"]) == ("INVALID_OPERATION", details)
        await client.send("[]")
        assert (await client.receive())["error_code"] == "MALFORMED_MESSAGE"


@both_shapes
async def test_the_generic_socket_keeps_what_belongs_to_others_and_to_admins(house: House) -> None:
    await house.cache.accounts.set_balances(1, [balance("USD", "10.50")], updated_ns=1)
    await house.cache.accounts.set_balances(2, [balance("USD", "777", ex_id=2)], updated_ns=1)
    async with house.client("/ws") as client:
        for operation in ("get_system_health", "get_active_processes", "stream_process_health"):
            assert (await operate(client, operation))["error_code"] == "FORBIDDEN"
        result = (await operate(client, "get_account_status"))["result"]
        assert [row["ex_id"] for row in result["accounts"]] == [1, 3]
        assert (await operate(client, "get_user_balances", currency="USD", ex_id=2))["error_code"] == "BALANCE_NOT_FOUND"
        assert (await operate(client, "get_user_positions", ex_id=2))["result"]["positions"] == []
        assert (await operate(client, "stream_user_balances", exchange="kraken"))["success"] is True
        assert (await push(client))["balances"] == {"USD": {"total": 10.5, "free": 9.5, "used": 1}}
        await house.cache.accounts.set_balances(1, [balance("USD", "10.50")], updated_ns=2)
        await house.cache.accounts.set_balances(1, [balance("USD", "11")], updated_ns=3)
        assert (await push(client))["balances"] == {"USD": {"total": 11, "free": 10, "used": 1}}
    async with house.client("/ws", "admin") as client:
        assert (await operate(client, "get_system_health"))["result"]["total_processes"] == 0
        assert (await operate(client, "get_trade_status", exchange="kraken", symbol="BTC/USD"))["result"]["last_trade"] is None


async def test_streams_outlive_a_redis_that_forgets_and_call_no_position_closed_for_it(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_house(server.url) as house:
            await house.cache.accounts.set_positions(1, [position("BTC/USD", "1")], updated_ns=5)
            await house.cache.tickers.set(tick(last="1", event_ns=1))
            async with house.client("/ws/accounts/me") as accounts, house.client("/ws/tickers/me") as tickers:
                await accounts.open("stream_positions", exchange="kraken")
                await tickers.open("stream_tickers", exchange="kraken", symbols=["BTC/USD"])
                assert ((await push(accounts))["size"], (await push(tickers))["price"]) == (1, 1)
                server.stop()
                await asyncio.sleep(0.3)  # How long it is away.
                server.start()
                async with asyncio.timeout(WITHIN_S):
                    while house.bus.health().gaps == 0:
                        await asyncio.sleep(0.01)
                await house.cache.tickers.set(tick(last="2", event_ns=2, received_ns=2))
                assert (await push(tickers))["price"] == 2
                await house.cache.accounts.set_positions(1, [position("BTC/USD", "1")], updated_ns=6)
                await house.cache.accounts.set_positions(1, [position("BTC/USD", "3")], updated_ns=7)
                assert (await push(accounts))["size"] == 3
    finally:
        server.stop()
