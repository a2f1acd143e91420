"""The tickers socket."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from fullon_master_api.bus import ticker_topic
from fullon_master_api.model import Gap, Ticker
from tests.apis.cache.records import tick
from tests.rest.cache.conftest import WITHIN_S, Client, House

PATH = "/ws/tickers/me"
ROW = {
    "symbol": "BTC/USD",
    "exchange": "kraken",
    "price": 100.5,
    "volume": None,
    "timestamp": 1e-9,
    "bid": None,
    "ask": None,
    "change_24h": None,
}


async def test_a_ticker_is_answered_in_the_originals_envelope_with_nulls_where_nothing_is_known(house: House) -> None:
    await house.cache.tickers.set(tick())
    async with house.client(PATH) as client:
        answer = await client.ask("get_ticker", exchange="kraken", symbol="BTC/USD")
        assert answer == {"request_id": "r1", "action": "get_ticker", "success": True, "result": ROW}
        answer = await client.ask("get_all_tickers", exchange="kraken")
        assert answer["result"] == {"exchange": "kraken", "tickers": [ROW]}
        answer = await client.ask("get_ticker", exchange="kraken", symbol="NO/NE")
        assert answer == {
            "request_id": "r3",
            "action": "get_ticker",
            "success": False,
            "error_code": "TICKER_NOT_FOUND",
            "error": "no ticker of 'NO/NE' on 'kraken'",
        }


async def test_prices_keep_the_exchanges_digits(house: House) -> None:
    await house.cache.tickers.set(tick(last="0.100000000000000000010"))
    async with house.client(PATH) as client:
        await client.send({"action": "get_ticker", "params": {"exchange": "kraken", "symbol": "BTC/USD"}})
        text = await client.socket.recv(decode=True)
    assert '"price":0.100000000000000000010,' in text


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("not json", "MALFORMED_MESSAGE"),
        ("[1]", "MALFORMED_MESSAGE"),
        ("7", "MALFORMED_MESSAGE"),
        ("[" * 50_000, "MALFORMED_MESSAGE"),
        ('{"request_id": {"a": 1}, "action": "get_ticker"}', "MALFORMED_MESSAGE"),
        ("{}", "INVALID_OPERATION"),
        ('{"action": "no_such"}', "INVALID_OPERATION"),
        ('{"action": ["get_ticker"]}', "INVALID_OPERATION"),
        ('{"action": "get_ticker"}', "INVALID_PARAMS"),
        ('{"action": "get_ticker", "params": [1]}', "INVALID_PARAMS"),
        ('{"action": "get_ticker", "params": {"exchange": 1, "symbol": "BTC/USD"}}', "INVALID_PARAMS"),
        ('{"action": "stream_tickers", "params": {"exchange": "kraken", "symbols": []}}', "INVALID_PARAMS"),
        ('{"action": "subscribe", "exchange": "kraken"}', "INVALID_PARAMS"),
        ('{"action": "unsubscribe", "params": {"request_id": "nobody"}}', "INVALID_PARAMS"),
    ],
)
async def test_a_bad_message_gets_a_code_and_the_socket_lives(house: House, sent: str, code: str) -> None:
    async with house.client(PATH) as client:
        await client.send(sent)
        answer = await client.receive()
        assert (answer["success"], answer["error_code"]) == (False, code)
        assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True


async def test_a_frame_that_is_too_large_closes_the_socket(house: House) -> None:
    async with house.client(PATH) as client:
        await client.send(" " * 64_001)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def start(client: Client, request_id: str, symbols: list[str]) -> None:
    request = {"action": "stream_tickers", "request_id": request_id, "params": {"exchange": "kraken", "symbols": symbols}}
    await client.send(request)
    assert await client.receive() == {
        "request_id": request_id,
        "action": "stream_tickers",
        "success": True,
        "message": "stream_tickers started",
        "stream_key": f"me:{request_id}",
    }


async def test_a_stream_pushes_what_is_there_and_then_only_what_changes(house: House) -> None:
    await house.cache.tickers.set(tick(last="1", event_ns=1))
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD", "ETH/USD"])
        first = await client.receive()
        assert first == {
            "request_id": "s",
            "action": "ticker_update",
            "result": {"stream_key": "me:s", **ROW, "price": 1},
        }
        await house.cache.tickers.set(tick(last="1", event_ns=1, received_ns=8))  # A repeat.
        await house.cache.tickers.set(tick("ETH/USD", last="7"))
        await house.cache.tickers.set(tick("SOL/USD", last="9"))  # Nobody asked.
        result = (await client.receive())["result"]
        assert (result["symbol"], result["price"]) == ("ETH/USD", 7)
        await house.cache.tickers.set(tick(last="2", event_ns=2, received_ns=9))
        result = (await client.receive())["result"]
        assert (result["symbol"], result["price"]) == ("BTC/USD", 2)


async def test_after_a_gap_the_stream_tells_what_is_kept_now(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD"])
        await house.cache.tickers.set(tick(last="1", event_ns=1))
        assert (await client.receive())["result"]["price"] == 1
        topic = ticker_topic("kraken", "BTC/USD")
        await house.bus.publish(topic, Gap(topic=topic, reason="test"))
        await house.cache.tickers.set(tick(last="2", event_ns=2, received_ns=2))
        assert (await client.receive())["result"]["price"] == 2


async def test_unsubscribing_ends_one_stream_and_leaves_the_others(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "a", ["BTC/USD"])
        await start(client, "b", ["ETH/USD"])
        answer = await client.ask("unsubscribe", stream_key="me:a")
        assert answer == {
            "request_id": "r1",
            "action": "unsubscribe",
            "success": True,
            "message": "stream ended",
            "stream_key": "me:a",
        }
        assert house.bus.health().topics_listened == 1
        await house.cache.tickers.set(tick("BTC/USD"))
        await house.cache.tickers.set(tick("ETH/USD"))
        assert (await client.receive())["result"]["symbol"] == "ETH/USD"
        assert (await client.ask("unsubscribe", request_id="b"))["success"] is True
        await start(client, "a", ["BTC/USD"])


async def test_two_clients_of_one_name_do_not_touch_each_other(house: House) -> None:
    async with house.client(PATH) as one:
        await start(one, "s", ["BTC/USD"])
        async with house.client(PATH) as two:
            await start(two, "s", ["BTC/USD"])
        await house.cache.tickers.set(tick())
        assert (await one.receive())["result"]["price"] == 100.5


async def test_a_request_id_that_streams_already_is_refused(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD"])
        await client.send({"action": "stream_tickers", "request_id": "s", "params": {"exchange": "kraken", "symbols": ["A/B"]}})
        assert (await client.receive())["error_code"] == "INVALID_PARAMS"
        assert house.bus.health().topics_listened == 1


async def test_a_socket_has_a_bounded_number_of_streams(house: House) -> None:
    async with house.client(PATH) as client:
        for number in range(200):
            await start(client, f"s{number}", ["BTC/USD"])
        answer = await client.ask("stream_tickers", exchange="kraken", symbols=["BTC/USD"])
        assert answer["error_code"] == "RATE_LIMITED"


async def test_a_closed_socket_leaves_nothing_behind(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD", "ETH/USD"])
        assert house.bus.health().topics_listened == 2
    async with asyncio.timeout(WITHIN_S):
        while house.bus.health().topics_listened:
            await asyncio.sleep(0.01)


async def test_subscribe_sends_bare_messages_with_a_top_level_price(house: House) -> None:
    await house.cache.tickers.set(tick(last="1", event_ns=1))
    async with house.client(PATH) as client:
        await client.send({"action": "subscribe", "exchange": "kraken", "symbol": "BTC/USD"})
        assert await client.receive() == {**ROW, "price": 1, "time": 1e-9, "sequence": 1}
        await client.send({"action": "subscribe", "exchange": "kraken", "symbols": ["ETH/USD", "BTC/USD"]})
        await house.cache.tickers.set(tick("ETH/USD", last="7"))
        message = await client.receive()
        assert (message["symbol"], message["price"]) == ("ETH/USD", 7)
        await client.send({"action": "unsubscribe", "exchange": "kraken", "symbol": "BTC/USD"})
        assert (await client.receive())["success"] is True
        await house.cache.tickers.set(tick(last="2", event_ns=2, received_ns=9))
        await house.cache.tickers.set(tick("ETH/USD", last="8", event_ns=2, received_ns=9))
        assert (await client.receive())["price"] == 8


async def test_a_slow_client_gets_the_newest_ticker_and_not_the_backlog(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD"])
        texts: list[Any] = []
        for number in range(1, 20_001):
            await house.cache.tickers.set(tick(last=str(number), event_ns=number, received_ns=number))
        while not texts or texts[-1] != 20_000:
            texts.append((await client.receive())["result"]["price"])
    assert texts == sorted(texts)
    assert len(texts) < 20_000


async def test_a_ticker_of_nulls_does_not_end_the_stream(house: House) -> None:
    async with house.client(PATH) as client:
        await start(client, "s", ["BTC/USD"])
        await house.cache.tickers.set(Ticker(exchange="kraken", symbol="BTC/USD", received_ns=1))
        assert (await client.receive())["result"]["price"] is None
        await house.cache.tickers.set(tick(received_ns=2, event_ns=2))
        assert (await client.receive())["result"]["price"] == 100.5


async def test_bytes_are_taken_as_text(house: House) -> None:
    async with house.client(PATH) as client:
        await client.send(orjson.dumps({"action": "get_all_tickers", "params": {"exchange": "kraken"}}))
        assert (await client.receive())["success"] is True
