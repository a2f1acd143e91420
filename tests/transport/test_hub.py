"""The hub: who shares an execution, what a slow reader gets, how a stream starts and resumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest

from fullon_master_api.bus import public_trades_topic
from fullon_master_api.model import Gap, MarketTrade, MarketTrades, Side
from tests.transport.stage import WITHIN_S, Client, Stage, connect, open_stage

EXCHANGE = 'exchange: "kraken"'


@pytest.fixture(params=["detached", "asgi"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Both kinds of link: the detached connection, and the portable one of any ASGI server."""
    async with open_stage(ws="websockets-sansio" if request.param == "asgi" else None) as stage:
        yield stage


async def subscribe(stage: Stage, client: Client, query: str, identity: str = "1") -> None:
    """Subscribe and wait until the stream is open."""
    opened = stage.hub.figures.streams_opened
    await client.say("subscribe", id=identity, payload={"query": query})
    await stage.until(opened + 1)


async def told(client: Client, field: str) -> Any:
    message = await client.hear()
    assert message["type"] == "next", message
    return message["payload"]["data"][field]


def ticker(symbol: str = "BTC/USD", fields: str = "last", **arguments: Any) -> str:
    rest = "".join(f", {name}: {str(value).lower()}" for name, value in arguments.items())
    return f'subscription {{ ticker({EXCHANGE}, symbol: "{symbol}"{rest}) {{ {fields} }} }}'


async def test_equal_streams_of_many_users_are_executed_once_per_event(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(stage, init={"token": f"user:{uid}"})) for uid in range(1, 11)]
        for client in clients:
            await subscribe(stage, client, ticker())
        for last in ("1", "2", "3"):
            await stage.publish("BTC/USD", last)
        for client in clients:
            assert [await told(client, "ticker") for _ in range(3)] == [{"last": "1"}, {"last": "2"}, {"last": "3"}]
        assert stage.hub.figures.executions == 3
        assert (stage.hub.figures.groups, stage.hub.figures.delivered) == (1, 30)


async def test_who_comes_and_goes_between_events_of_a_shared_stream_hears_what_is_its_own(stage: Stage) -> None:
    heard: dict[str, list[str]] = {}

    async def hear(client: Client, count: int) -> None:
        for _ in range(count):
            message = await client.hear()
            heard.setdefault(message["id"], []).append(message["payload"]["data"]["ticker"]["last"])

    async with connect(stage, init=None) as one, connect(stage, init=None) as other:
        for identity in ("a", "bb", "ccc", "dd"):  # Messages to ids of different length are spelled apart.
            await subscribe(stage, one, ticker(), identity)
        await subscribe(stage, other, ticker(), "other")
        for last in ("1", "2", "3"):
            await stage.publish("BTC/USD", last)
        await hear(one, 12)
        await hear(other, 3)
        await one.say("complete", id="bb")
        await subscribe(stage, other, ticker(), "late")
        await one.say("ping", payload={"n": 1})
        assert (await one.hear())["type"] == "pong"
        for last in ("4", "5"):
            await stage.publish("BTC/USD", last)
        await hear(one, 6)
        await hear(other, 4)
        assert stage.hub.figures.groups == 1
    whole, later = ["1", "2", "3", "4", "5"], ["4", "5"]
    assert heard == {"a": whole, "bb": whole[:3], "ccc": whole, "dd": whole, "other": whole, "late": later}


async def test_other_variables_other_documents_and_strangers_to_login_do_not_share(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        queries = [ticker(), ticker("ETH/USD"), ticker(fields="last symbol"), ticker(shared=False), ticker(shared=False)]
        for query in queries:
            await subscribe(stage, await stack.enter_async_context(connect(stage, init=None)), query)
        await subscribe(stage, await stack.enter_async_context(connect(stage, init={"token": "user:1"})), ticker())
        assert stage.hub.figures.groups == 6


async def test_a_shared_stream_that_asks_who_reads_is_executed_for_each(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(stage, init={"token": f"user:{uid}"})) for uid in (1, 2)]
        for client in clients:
            await subscribe(stage, client, ticker(fields="last reader"))
        assert stage.hub.figures.groups == 1
        await stage.publish("BTC/USD", "1")
        await stage.publish("BTC/USD", "2")
        for last in ("1", "2"):
            for uid, client in enumerate(clients, start=1):
                assert await told(client, "ticker") == {"last": last, "reader": f"user{uid}@fullon"}
        late = await stack.enter_async_context(connect(stage, init={"token": "user:3"}))
        await subscribe(stage, late, ticker(fields="last reader"))
        assert stage.hub.figures.groups == 3


async def test_what_is_for_members_never_reaches_a_stranger_by_sharing(stage: Stage) -> None:
    async with connect(stage, init={"token": "user:1"}) as member, connect(stage, init=None) as stranger:
        for client in (member, stranger):
            await subscribe(stage, client, ticker(fields="last member"))
        await stage.publish("BTC/USD", "1")
        assert await told(member, "ticker") == {"last": "1", "member": "for members"}
        message = (await stranger.hear())["payload"]
        assert message["data"] == {"ticker": {"last": "1", "member": None}}
        assert message["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_snapshot_comes_first_and_only_to_who_asked(stage: Stage) -> None:
    stage.store("BTC/USD", "1")
    async with connect(stage, init=None) as asking, connect(stage, init=None) as other:
        await subscribe(stage, other, ticker())
        await subscribe(stage, asking, ticker(snapshot=True))
        assert await told(asking, "ticker") == {"last": "1"}
        await stage.publish("BTC/USD", "2")
        assert await told(asking, "ticker") == {"last": "2"}
        assert await told(other, "ticker") == {"last": "2"}


async def test_many_symbols_come_in_one_stream_of_what_changed(stage: Stage) -> None:
    query = f"""subscription {{ tickers({EXCHANGE}, symbols: ["BTC/USD", "ETH/USD"], snapshot: true)
        {{ sequence gap items {{ symbol last }} }} }}"""
    stage.store("BTC/USD", "1")
    async with connect(stage, init=None) as client:
        await subscribe(stage, client, query)
        assert (await told(client, "tickers"))["items"] == [{"symbol": "BTC/USD", "last": "1"}]
        await stage.publish("ETH/USD", "2")
        first = await told(client, "tickers")
        assert first == {"sequence": 1, "gap": False, "items": [{"symbol": "ETH/USD", "last": "2"}]}
        stage.hub._groups[next(iter(stage.hub._groups))]._receive("", Gap(topic="", reason="the broker restarted"))
        await stage.publish("BTC/USD", "3")
        second = await told(client, "tickers")
        assert second == {"sequence": 2, "gap": True, "items": [{"symbol": "BTC/USD", "last": "3"}]}


async def test_min_interval_leaves_out_what_was_overtaken(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await subscribe(stage, client, ticker(min_interval=0.3).replace("min_interval", "minInterval"))
        started, heard = monotonic(), 0
        for number in range(50):
            await stage.publish("BTC/USD", str(number))
            await asyncio.sleep(0)
        while True:
            last = await told(client, "ticker")
            assert monotonic() - started >= 0.3 * heard
            heard += 1
            if last == {"last": "49"}:
                break
        assert 2 <= heard < 50
        assert stage.hub.figures.conflated > 0


async def test_a_min_interval_out_of_range_is_bad_input(stage: Stage) -> None:
    async with connect(stage, init=None) as client:
        await client.say("subscribe", id="1", payload={"query": ticker(min_interval=-1).replace("min_interval", "minInterval")})
        error = (await client.hear())["payload"][0]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["path"] == ["ticker"]


async def flood(stage: Stage, symbol: str, size: int = 100_000, count: int = 150) -> str:
    """Publish more than the buffers between server and client hold; the last value."""
    last = ""
    for number in range(count):
        last = f"{number}:" + "x" * size
        await stage.publish(symbol, last)
        await asyncio.sleep(0)
    return last


async def test_a_slow_reader_gets_the_newest_ticker_and_delays_nobody(stage: Stage) -> None:
    async with connect(stage, init=None, max_size=None) as slow, connect(stage, init=None, max_size=None) as fast:
        for client in (slow, fast):
            await subscribe(stage, client, ticker())
        slow.stop_reading()

        async def read() -> int:
            for count in range(1, 151):
                if (await told(fast, "ticker"))["last"].startswith("149:"):
                    return count
            raise AssertionError("the last tick never came")

        async with asyncio.timeout(WITHIN_S):
            reading = asyncio.ensure_future(read())
            last = await flood(stage, "BTC/USD")
            await reading
            depths = stage.hub.get_depths()
            assert (depths["readers"], depths["readers_behind"], depths["events_waiting"]) == (2, 1, 1)
            assert depths["bytes_waiting"] >= len(last)
            slow.socket.transport.resume_reading()
            seen = 0
            while (await told(slow, "ticker"))["last"] != last:
                seen += 1
        assert seen < 149
        assert stage.hub.figures.conflated > 0


async def test_a_slow_reader_of_many_symbols_gets_the_newest_of_each_and_a_gap(stage: Stage) -> None:
    query = f'subscription {{ tickers({EXCHANGE}, symbols: ["A/B", "C/D"]) {{ gap items {{ symbol last }} }} }}'
    async with connect(stage, init=None, max_size=None) as slow:
        await subscribe(stage, slow, query)
        slow.stop_reading()
        async with asyncio.timeout(WITHIN_S):
            lasts = {"A/B": await flood(stage, "A/B", count=100), "C/D": await flood(stage, "C/D", count=50)}
            slow.socket.transport.resume_reading()
            seen: dict[str, str] = {}
            gaps = 0
            while seen != lasts:
                event = await told(slow, "tickers")
                gaps += event["gap"]
                seen |= {item["symbol"]: item["last"] for item in event["items"]}
        assert gaps > 0


async def test_a_slow_reader_of_the_tape_is_ended_and_never_misses_silently(stage: Stage) -> None:
    query = f'subscription {{ trades({EXCHANGE}, symbol: "BTC/USD") }}'
    topic = public_trades_topic("kraken", "BTC/USD")
    async with connect(stage, init=None, max_size=None) as slow:
        await subscribe(stage, slow, query)
        slow.stop_reading()
        for number in range(300):
            trade = MarketTrade(trade_id=f"{number}:" + "x" * 50_000, event_ns=1, price="1", quantity="1", side=Side.BUY)
            await stage.bus.publish(topic, MarketTrades(exchange="kraken", symbol="BTC/USD", trades=[trade]))
            await asyncio.sleep(0)
        slow.socket.transport.resume_reading()
        numbers = []
        async with asyncio.timeout(WITHIN_S):
            while (message := await slow.hear())["type"] == "next":
                numbers.append(int(message["payload"]["data"]["trades"][0].partition(":")[0]))
        assert message["payload"][0]["extensions"]["code"] == "SLOW_CONSUMER"
        assert numbers == list(range(len(numbers)))


ORDERS = "subscription ($after: String, $snapshot: Boolean) { orders(after: $after, snapshot: $snapshot) { number cursor } }"


async def follow(client: Client, identity: str = "1", **variables: Any) -> None:
    variables = {"snapshot": False, **variables}
    await client.say("subscribe", id=identity, payload={"query": ORDERS, "variables": variables})


async def test_a_lossless_stream_resumes_after_its_cursor_without_loss_or_double(stage: Stage) -> None:
    for number in range(1, 6):
        await stage.order(7, number)
    async with connect(stage, init={"token": "user:7"}) as client:
        await follow(client, snapshot=True)
        first = await told(client, "orders")
        assert first["number"] == -5
        await stage.order(7, 6)
        sixth = await told(client, "orders")
        assert sixth["number"] == 6
    for number in (7, 8):
        await stage.order(7, number)
        await stage.order(8, 100 + number)
    async with connect(stage, init={"token": "user:7"}) as client:
        await follow(client, after=sixth["cursor"])
        assert [(await told(client, "orders"))["number"] for _ in range(2)] == [7, 8]
        await stage.order(7, 9)
        assert (await told(client, "orders"))["number"] == 9
        assert stage.hub.figures.resumed == 1


async def test_orders_of_one_user_never_reach_another(stage: Stage) -> None:
    async with connect(stage, init={"token": "user:7"}) as seven, connect(stage, init={"token": "user:8"}) as eight:
        for client in (seven, eight):
            await follow(client, snapshot=True)
            await told(client, "orders")
        await stage.order(7, 1)
        await stage.order(8, 2)
        assert (await told(seven, "orders"))["number"] == 1
        assert (await told(eight, "orders"))["number"] == 2


async def test_sockets_of_one_user_share_the_execution_of_a_lossless_event(stage: Stage) -> None:
    async with connect(stage, init={"token": "user:7"}) as one, connect(stage, init={"token": "user:7"}) as two:
        for client in (one, two):
            await follow(client, snapshot=True)
            await told(client, "orders")
        before = stage.hub.figures.executions
        await stage.order(7, 1)
        for client in (one, two):
            assert (await told(client, "orders"))["number"] == 1
        assert stage.hub.figures.executions == before + 1


@pytest.mark.parametrize("cursor", ["", "nonsense", "Ä", "ZTE6MQ", "ZTE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTpvcmRlcnM6Nw"])
async def test_a_cursor_of_somebody_else_is_a_bad_cursor(stage: Stage, cursor: str) -> None:
    async with connect(stage, init={"token": "user:7"}) as client:
        await follow(client, after=cursor)
        message = await client.hear()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "BAD_CURSOR")


async def test_a_reader_of_orders_that_stalls_is_ended_with_a_cursor_to_go_on_from() -> None:
    async with open_stage() as stage:
        stage.hub._stall_s = 0.3
        query = "subscription { orders { number cursor " + " ".join(f"c{n}: cursor" for n in range(400)) + " } }"
        async with connect(stage, init={"token": "user:7"}, max_size=None) as client:
            await subscribe(stage, client, query)
            await stage.order(7, 1)
            assert (await told(client, "orders"))["number"] == 1
            client.stop_reading()
            for number in range(2, 2_000):
                await stage.order(7, number)
            async with asyncio.timeout(WITHIN_S):
                while not stage.hub.figures.slow_consumers:
                    await asyncio.sleep(0.01)
                client.socket.transport.resume_reading()
                numbers = []
                while (message := await client.hear())["type"] == "next":
                    numbers.append(message["payload"]["data"]["orders"]["number"])
        error = message["payload"][0]
        assert error["extensions"]["code"] == "SLOW_CONSUMER"
        assert numbers == list(range(2, 2 + len(numbers)))
        cursor = error["message"].partition("after: '")[2].rstrip("'")
        async with connect(stage, init={"token": "user:7"}) as client:
            await follow(client, after=cursor)
            assert (await told(client, "orders"))["number"] == numbers[-1] + 1


async def test_stock_graphql_core_streams_the_same_declaration(stage: Stage) -> None:
    from tests.transport.stage import SCHEMA, Context, principal

    context = Context(stage.bus, principal(7), "r", stage.latest, stage.outbox)
    stage.store("BTC/USD", "1")
    stream: Any = await SCHEMA.subscribe(ticker(fields="last reader", snapshot=True), context_value=context)
    first = await anext(stream)
    assert (first.errors, first.data) == (None, {"ticker": {"last": "1", "reader": "user7@fullon"}})
    second = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await stage.publish("BTC/USD", "2")
    assert (await second).data == {"ticker": {"last": "2", "reader": "user7@fullon"}}
    await stream.aclose()
    orders: Any = await SCHEMA.subscribe("subscription { orders(snapshot: true) { number } }", context_value=context)
    assert (await anext(orders)).data == {"orders": {"number": 0}}
    await stage.order(7, 1)
    assert (await anext(orders)).data == {"orders": {"number": 1}}
    await orders.aclose()
