"""What the cache's stores promise, whatever they are kept in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullon_master_api.apis.cache import Cache
from fullon_master_api.apis.cache.processes import is_stale
from fullon_master_api.bus import (
    PROCESSES_TOPIC,
    Bus,
    Delivery,
    balances_topic,
    candle_topic,
    order_states_topic,
    positions_topic,
    public_trades_topic,
    ticker_topic,
)
from fullon_master_api.errors import Conflict, StaleEpoch
from fullon_master_api.model import (
    Balances,
    CandleEvent,
    Fence,
    MarketTrades,
    OrderStatus,
    Positions,
    Process,
    ProcessHealth,
    Record,
    Ticker,
)
from tests.apis.cache.records import balance, candle, order, position, tick, trade

T = TypeVar("T")


async def hear(bus: Bus, topic: str, act: Callable[[], Awaitable[object]], count: int = 1) -> list[Record]:
    """The first `count` messages of `topic` that `act` causes."""
    got: list[Record] = []
    async with asyncio.timeout(60), bus.subscribe(topic, delivery=Delivery.QUEUE) as mailbox:
        await act()
        async for _topic, message in mailbox:
            got.append(message)
            if len(got) == count:
                break
    return got


async def wait_until(read: Callable[[], Awaitable[T]], answer: T) -> None:
    async with asyncio.timeout(60):
        while await read() != answer:
            await asyncio.sleep(0.01)


async def test_a_ticker_is_kept_with_the_next_sequence_and_told_to_its_topic(cache: Cache, bus: Bus) -> None:
    async def set_two() -> None:
        await cache.tickers.set(tick(last="1", event_ns=1))
        await cache.tickers.set(tick(last="2", event_ns=2))

    first, second = await hear(bus, ticker_topic("kraken", "BTC/USD"), set_two, 2)
    assert first == msgspec.structs.replace(tick(last="1", event_ns=1), sequence=1)
    assert second == msgspec.structs.replace(tick(last="2", event_ns=2), sequence=2)
    assert await cache.tickers.get_many([("kraken", "BTC/USD")]) == [second]


async def test_a_ticker_that_is_older_or_a_repeat_is_no_news(cache: Cache) -> None:
    kept = await cache.tickers.set(tick(last="5", event_ns=5))
    assert kept is not None
    assert await cache.tickers.set(tick(last="4", event_ns=4, received_ns=9)) is None
    assert await cache.tickers.set(tick(last="5", event_ns=5, received_ns=9)) is None
    assert await cache.tickers.get_many([("kraken", "BTC/USD")]) == [kept]


async def test_two_different_tickers_of_one_instant_are_both_news(cache: Cache) -> None:
    await cache.tickers.set(tick(last="5", event_ns=5))
    kept = await cache.tickers.set(tick(last="5.1", event_ns=5))
    assert kept is not None
    assert (kept.last, kept.sequence) == ("5.1", 2)


async def test_a_ticker_without_the_exchanges_time_is_ordered_by_its_arrival(cache: Cache) -> None:
    await cache.tickers.set(tick(last="5", event_ns=None, received_ns=5))
    assert await cache.tickers.set(tick(last="4", event_ns=None, received_ns=4)) is None
    kept = await cache.tickers.set(tick(last="6", event_ns=None, received_ns=6))
    assert kept is not None
    assert kept.last == "6"


async def test_a_ticker_of_nulls_and_a_symbol_with_a_colon_are_kept_as_they_are(cache: Cache) -> None:
    empty = Ticker(exchange="bitmex", symbol="BTC/USD:BTC", received_ns=3)
    await cache.tickers.set(empty)
    assert await cache.tickers.get_many([("bitmex", "BTC/USD:BTC")]) == [msgspec.structs.replace(empty, sequence=1)]


async def test_all_tickers_of_an_exchange_come_by_symbol_and_none_of_another(cache: Cache) -> None:
    for symbol in ("SOL/USD", "BTC/USD", "ETH/USD"):
        await cache.tickers.set(tick(symbol))
    await cache.tickers.set(tick("ADA/USD", exchange="binance"))
    assert [ticker.symbol for ticker in await cache.tickers.all("kraken")] == ["BTC/USD", "ETH/USD", "SOL/USD"]
    assert await cache.tickers.delete("kraken", "ETH/USD")
    assert not await cache.tickers.delete("kraken", "ETH/USD")
    assert [ticker.symbol for ticker in await cache.tickers.all("kraken")] == ["BTC/USD", "SOL/USD"]
    assert await cache.tickers.all("nowhere") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=30)
@given(keys=st.lists(st.tuples(st.sampled_from(["kraken", "binance"]), st.sampled_from(["BTC/USD", "ETH/USD", "NO/NE"]))))
async def test_asking_for_many_equals_asking_one_by_one(cache: Cache, keys: list[tuple[str, str]]) -> None:
    await cache.tickers.set(tick("BTC/USD"))
    await cache.tickers.set(tick("ETH/USD", exchange="binance"))
    together = await cache.tickers.get_many(keys)
    assert together == [ticker for key in keys for ticker in await cache.tickers.get_many([key])]


async def test_an_owner_whose_lease_passed_on_cannot_write_and_changes_nothing(cache: Cache) -> None:
    kept = await cache.tickers.set(tick(event_ns=1), Fence(service="ticker", epoch=2))
    with pytest.raises(StaleEpoch):
        await cache.tickers.set(tick(event_ns=2), Fence(service="ticker", epoch=1))
    assert await cache.tickers.get_many([("kraken", "BTC/USD")]) == [kept]
    assert await cache.tickers.set(tick(event_ns=2), Fence(service="ticker", epoch=2)) is not None
    assert await cache.orders.set(order(), Fence(service="account", epoch=1))


async def test_the_fence_of_one_store_holds_in_all_others(cache: Cache) -> None:
    await cache.trades.append("kraken", "BTC/USD", [trade(1)], Fence(service="ohlcv", epoch=3))
    with pytest.raises(StaleEpoch):
        await cache.trades.append("kraken", "BTC/USD", [trade(2)], Fence(service="ohlcv", epoch=2))
    with pytest.raises(StaleEpoch):
        await cache.candles.set("kraken", "BTC/USD", "1m", candle(1), Fence(service="ohlcv", epoch=2))
    assert await cache.trades.get_last("kraken", "BTC/USD") == [trade(1)]
    assert await cache.candles.get_last("kraken", "BTC/USD", "1m") == []


async def test_balances_replace_one_another_whole_and_keep_every_digit(cache: Cache, bus: Bus) -> None:
    both = [balance("USD", "10.50"), balance("BTC", "1.00000001")]

    async def write() -> None:
        assert await cache.accounts.set_balances(1, both, updated_ns=5)

    assert await hear(bus, balances_topic(1), write) == [Balances(ex_id=1, balances=both, updated_ns=5)]
    assert await cache.accounts.get_balances([2, 1, 1]) == [[], both, both]
    assert not await cache.accounts.set_balances(1, [balance("USD", "9")], updated_ns=4)
    assert await cache.accounts.set_balances(1, [balance("USD", "8")], updated_ns=6)
    assert await cache.accounts.get_balances([1]) == [[balance("USD", "8")]]


async def test_no_position_is_news_too(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.accounts.set_positions(1, [position()], updated_ns=5)
        await cache.accounts.set_positions(1, [], updated_ns=6)

    told = await hear(bus, positions_topic(1), write, 2)
    assert told == [Positions(ex_id=1, positions=[position()], updated_ns=5), Positions(ex_id=1, positions=[], updated_ns=6)]
    assert await cache.accounts.get_positions([1]) == [[]]
    await cache.accounts.set_positions(1, [position()], updated_ns=7)
    await cache.accounts.delete(1)
    assert await cache.accounts.get_positions([1]) == [[]]


async def test_orders_are_kept_by_account_and_counted_while_open(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.orders.set(order("A"))

    assert await hear(bus, order_states_topic(1), write) == [order("A")]
    await cache.orders.set(order("B", status=OrderStatus.PARTIALLY_FILLED))
    await cache.orders.set(order(None, status=OrderStatus.NEW))
    await cache.orders.set(order("C", ex_id=2))
    assert await cache.orders.get_open_counts([1, 2, 3]) == [3, 1, 0]
    filled = order("A", status=OrderStatus.FILLED, second=2)
    assert await cache.orders.set(filled)
    assert not await cache.orders.set(order("A", second=1))
    assert await cache.orders.get_open_counts([1]) == [2]
    found = await cache.orders.get_many([(1, "A"), (2, "A"), (1, "7")])
    assert found == [filled, None, order(None, status=OrderStatus.NEW)]
    assert await cache.orders.delete(1, "A")
    assert [kept.ex_order_id for kept in (await cache.orders.all([1]))[0]] == [None, "B"]


async def test_a_canceled_order_leaves_alone_and_not_with_its_neighbours(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.apis.cache.orders.FINAL_TTL_S", 0.05)
    await cache.orders.set(order("open"))
    await cache.orders.set(order("gone", status=OrderStatus.CANCELED))

    async def read() -> list[str | None]:
        return [kept.ex_order_id for kept in (await cache.orders.all([1]))[0]]

    expected: list[str | None] = ["open"]
    await wait_until(read, expected)
    assert await cache.orders.get_many([(1, "gone"), (1, "open")]) == [None, order("open")]


async def test_reading_trades_never_takes_them_away_and_only_the_newest_are_kept(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.trades.append("kraken", "BTC/USD", [trade(1), trade(2)])

    told = await hear(bus, public_trades_topic("kraken", "BTC/USD"), write)
    assert told == [MarketTrades(exchange="kraken", symbol="BTC/USD", trades=[trade(1), trade(2)])]
    assert await cache.trades.get_last("kraken", "BTC/USD", 1) == [trade(2)]
    assert await cache.trades.get_last("kraken", "BTC/USD") == [trade(1), trade(2)]
    for number in range(3, 1500, 100):
        await cache.trades.append("kraken", "BTC/USD", [trade(n) for n in range(number, number + 100)])
    kept = await cache.trades.get_last("kraken", "BTC/USD", 5000)
    assert [item.trade_id for item in kept] == [str(number) for number in range(503, 1503)]
    assert await cache.trades.get_last("kraken", "ETH/USD") == []


async def test_candles_change_until_they_are_final_and_come_oldest_first(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.candles.set("kraken", "BTC/USD", "1m", candle(1, "100", final=False))
        await cache.candles.set("kraken", "BTC/USD", "1m", candle(1, "101"))

    told = await hear(bus, candle_topic("kraken", "BTC/USD", "1m"), write, 2)
    assert told[1] == CandleEvent(exchange="kraken", symbol="BTC/USD", timeframe="1m", candle=candle(1, "101"))
    assert not await cache.candles.set("kraken", "BTC/USD", "1m", candle(1, "99", final=False))
    assert not await cache.candles.set("kraken", "BTC/USD", "1m", candle(1, "101"))
    for minute in (3, 2, 10):
        await cache.candles.set("kraken", "BTC/USD", "1m", candle(minute))
    assert await cache.candles.get_last("kraken", "BTC/USD", "1m", 3) == [candle(2), candle(3), candle(10)]
    assert len(await cache.candles.get_last("kraken", "BTC/USD", "1m", 100)) == 4
    assert await cache.candles.get_last("kraken", "BTC/USD", "1m", 0) == []
    assert await cache.candles.get_last("kraken", "BTC/USD", "1M") == []


async def test_a_block_belongs_to_one_bot_until_it_gives_it_up(cache: Cache) -> None:
    await cache.bots.block(1, "BTC/USD:BTC", 10)
    with pytest.raises(Conflict):
        await cache.bots.block(1, "BTC/USD:BTC", 11)
    renewed = await cache.bots.block(1, "BTC/USD:BTC", 10)
    assert await cache.bots.get_blocks([(1, "BTC/USD:BTC"), (2, "BTC/USD:BTC")]) == [renewed, None]
    assert await cache.bots.all_blocks([1, 2]) == [[renewed], []]
    assert not await cache.bots.unblock(1, "BTC/USD:BTC", 11)
    assert await cache.bots.unblock(1, "BTC/USD:BTC", 10)
    assert not await cache.bots.unblock(1, "BTC/USD:BTC", 10)
    assert (await cache.bots.block(1, "BTC/USD:BTC", 11)).bot_id == 11


async def test_a_block_of_a_bot_that_died_ends_by_itself(cache: Cache) -> None:
    await cache.bots.block(1, "BTC/USD", 10, ttl_s=0.05)

    async def read() -> bool:
        return (await cache.bots.get_blocks([(1, "BTC/USD")]))[0] is None

    await wait_until(read, True)
    assert (await cache.bots.block(1, "BTC/USD", 11)).bot_id == 11


async def test_an_opening_mark_is_not_a_block(cache: Cache) -> None:
    mark = await cache.bots.mark_opening(1, "BTC/USD", 10)
    assert await cache.bots.get_openings([(1, "BTC/USD")]) == [mark]
    assert await cache.bots.get_blocks([(1, "BTC/USD")]) == [None]
    with pytest.raises(Conflict):
        await cache.bots.mark_opening(1, "BTC/USD", 11)
    assert await cache.bots.unmark_opening(1, "BTC/USD", 10)


async def test_the_last_word_of_each_bot_is_kept(cache: Cache) -> None:
    first = await cache.bots.set_status(2, {"feed_1": {"status": "running", "pnl": 1.5}})
    second = await cache.bots.set_status(1, {})
    assert await cache.bots.get_many([1, 3, 2]) == [second, None, first]
    assert await cache.bots.all() == [second, first]
    assert await cache.bots.delete(1)
    assert await cache.bots.all() == [first]


async def test_a_process_reports_merges_its_params_and_stops(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.processes.register("tick", "kraken:BTC/USD", params={"a": 1}, message="up")

    told = await hear(bus, PROCESSES_TOPIC, write)
    process = told[0]
    assert isinstance(process, Process)
    assert await cache.processes.update(process.process_id, status="running", params={"b": [2]})
    assert not await cache.processes.update("tick:nobody:1", status="running")
    kept = (await cache.processes.get_many([process.process_id]))[0]
    assert kept is not None
    assert (kept.status, kept.message, kept.params) == ("running", "up", {"a": 1, "b": [2]})
    assert kept.updated_at > process.updated_at
    other = await cache.processes.register("ohlcv", "kraken:BTC/USD", status="error")
    assert await cache.processes.active() == [other, kept]
    assert await cache.processes.active(process_type="tick") == [kept]
    assert await cache.processes.active(component="nobody") == []
    assert await cache.processes.health() == ProcessHealth(
        healthy=False,
        total_processes=2,
        by_type={"tick": 1, "ohlcv": 1},
        by_status={"running": 1, "error": 1},
        stale_processes=[],
        error_processes=[other.process_id],
    )
    assert await cache.processes.stop(other.process_id, "done")
    assert await cache.processes.active() == [kept]
    assert (await cache.processes.health()).healthy


async def test_two_streams_of_one_component_are_two_processes(cache: Cache) -> None:
    for process_type in ("tick", "ohlcv"):
        await cache.processes.register(process_type, "kraken:BTC/USD")
    assert len(await cache.processes.active(component="kraken:BTC/USD")) == 2


async def test_a_process_without_a_heartbeat_turns_stale_and_is_cleaned(cache: Cache) -> None:
    process = await cache.processes.register("tick", "ticker_daemon")
    late = msgspec.structs.replace(process, heartbeat_at=datetime.now(UTC) - timedelta(minutes=6))
    assert is_stale(late)
    assert not is_stale(process)
    assert await cache.processes.clean_stale(60) == 0
    assert await cache.processes.clean_stale(-1) == 1
    assert await cache.processes.active() == []
