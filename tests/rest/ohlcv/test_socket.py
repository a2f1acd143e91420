"""The OHLCV socket on a real server: real bars and trades, for who showed a token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from time import time
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fullon_master_api.apis.ohlcv import OhlcvStore
from fullon_master_api.bus import Bus, candle_topic, public_trades_topic
from fullon_master_api.model import CandleEvent, MarketTrade, MarketTrades, Principal, Side
from tests.rest.ohlcv.conftest import DAY_S, NS, PEOPLE, READER

KEY = ("kraken", "BTC/USD")


WITHIN_S = 60.0


class QuietServer(uvicorn.Server):
    """A server inside a test: the signals stay pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=2)
    server = QuietServer(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/api/v1/ohlcv/ws/ohlcv"
        server.should_exit = True


async def receive(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        message: dict[str, Any] = json.loads(await client.recv(), parse_float=str)
    assert message.pop("timestamp").endswith("Z")
    return message


async def ask(client: ClientConnection, **request: str) -> dict[str, Any]:
    asked = {"action": "subscribe", "exchange": KEY[0], "symbol": KEY[1], "timeframe": "1m", "type": "ohlcv_live"}
    await client.send(json.dumps(asked | request))
    return await receive(client)


async def trade(store: OhlcvStore, bus: Bus, number: int, second: int, price: str) -> None:
    """What the collecting service does with a trade."""
    made = MarketTrade(trade_id=str(number), event_ns=(DAY_S + second) * NS, price=price, quantity="2.5", side=Side.SELL)
    done = await store.append_trades(*KEY, [made])
    for candle in done.candles:
        await bus.publish(candle_topic(*KEY, "1m"), CandleEvent(exchange=KEY[0], symbol=KEY[1], timeframe="1m", candle=candle))
    await bus.publish(public_trades_topic(*KEY), MarketTrades(exchange=KEY[0], symbol=KEY[1], trades=done.trades))


async def test_each_change_of_the_open_bar_and_its_close_are_told(url: str, ohlcv: OhlcvStore, bus: Bus) -> None:
    async with connect(f"{url}?token=reader") as client:
        named = {"exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m"}
        confirmed = await ask(client)
        assert confirmed == named | {
            "type": "subscription_confirmed",
            "subscription_type": "ohlcv_live",
            "data": {"status": "subscribed"},
        }
        assert await receive(client) == named | {
            "type": "ohlcv_update",
            "data": {
                "timestamp": "2023-11-15T00:02:00Z",
                "open": "101.00",
                "high": "101.00",
                "low": "101.00",
                "close": "101.00",
                "volume": "0.00000001",
                "is_final": False,
            },
        }
        await trade(ohlcv, bus, 20, 130, "99.50")
        bar = (await receive(client))["data"]
        assert (bar["close"], bar["volume"], bar["is_final"]) == ("99.50", "2.50000001", False)
        await trade(ohlcv, bus, 21, 190, "98.00")
        bars = [(await receive(client))["data"] for _ in range(2)]
        assert [(bar["timestamp"][14:16], bar["close"], bar["is_final"]) for bar in bars] == [
            ("02", "99.50", True),
            ("03", "98.00", False),
        ]


async def test_a_wider_timeframe_follows_its_minutes(url: str, ohlcv: OhlcvStore, bus: Bus) -> None:
    async with connect(url, additional_headers={"Authorization": "Bearer reader"}) as client:
        await ask(client, timeframe="1h", type="candle_live")
        assert (await receive(client))["data"]["low"] == "99.05"
        await trade(ohlcv, bus, 20, 130, "90.00")
        assert (await receive(client))["data"]["low"] == "90.00"


async def test_trades_are_told_as_they_come(url: str, ohlcv: OhlcvStore, bus: Bus) -> None:
    async with connect(url, additional_headers={"X-API-Key": "reader"}) as client:
        await ask(client, type="trade_live")
        await trade(ohlcv, bus, 20, 130, "99.50")
        told = await receive(client)
        assert told["type"] == "trade_update"
        assert told["data"] == {
            "timestamp": "2023-11-15T00:02:10Z",
            "price": "99.50",
            "volume": "2.5",
            "side": "sell",
            "type": "unknown",
            "trade_id": "20",
        }


async def test_after_unsubscribing_nothing_more_is_told(url: str, ohlcv: OhlcvStore, bus: Bus) -> None:
    async with connect(f"{url}?token=reader") as client:
        await ask(client, type="trade_live")
        assert (await ask(client, type="trade_live", action="unsubscribe"))["data"] == {"status": "unsubscribed"}
        await trade(ohlcv, bus, 20, 130, "99.50")
        assert (await ask(client, type="trade_live"))["type"] == "subscription_confirmed"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", "PARSE_FAILED", "Invalid JSON format"),
        ("[" * 15_000, "PARSE_FAILED", "Invalid JSON format"),
        ("[]", "BAD_USER_INPUT", "Invalid JSON format"),
        ('{"action": "fly"}', "BAD_USER_INPUT", "Unknown action: fly"),
        (
            '{"action": "subscribe", "exchange": "kraken"}',
            "BAD_USER_INPUT",
            "Missing required fields: exchange, symbol, timeframe, type",
        ),
        (
            '{"action": "subscribe", "exchange": "kraken", "symbol": "NOT/THERE", "timeframe": "1m", "type": "ohlcv_live"}',
            "NOT_FOUND",
            "Subscription error: Exchange 'kraken' or symbol 'NOT/THERE' not found",
        ),
        (
            '{"action": "subscribe", "exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m", "type": "news"}',
            "BAD_USER_INPUT",
            "Subscription error: type must be one of ohlcv_live, candle_live, trade_live",
        ),
    ],
)
async def test_a_bad_message_is_answered_and_the_socket_stays(url: str, text: str, code: str, message: str) -> None:
    async with connect(f"{url}?token=reader") as client:
        await client.send(text)
        assert await receive(client) == {"type": "error", "message": message, "code": code}
        assert (await ask(client))["type"] == "subscription_confirmed"


async def test_a_frame_that_is_too_large_closes_the_socket(url: str) -> None:
    async with connect(f"{url}?token=reader") as client:
        await client.send("x" * 20_000)
        with pytest.raises(ConnectionClosed):
            await receive(client)
        assert client.close_code == 1009


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "Not authenticated"),
        ("?token=nobody", "Not authenticated"),
        ("?token=writer", "this key needs the scope 'read'"),
    ],
)
async def test_a_socket_without_a_good_token_is_closed_before_any_data(url: str, query: str, reason: str) -> None:
    async with connect(url + query) as client:
        with pytest.raises(ConnectionClosed):
            await receive(client)
        assert (client.close_code, client.close_reason) == (1008, reason)


async def test_a_socket_ends_with_its_token(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = Principal(uid=2, mail=READER.mail, role=READER.role, scopes=READER.scopes, expires_s=time() + 5)
    monkeypatch.setitem(PEOPLE, "brief", brief)
    async with connect(f"{url}?token=brief") as client:
        await ask(client, type="trade_live")
        with pytest.raises(ConnectionClosed):
            await receive(client)
        assert (client.close_code, client.close_reason) == (1008, "the token has expired: sign in again")
