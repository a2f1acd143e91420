"""What waits in the cache, and how one waits for it: in one process and on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import pytest

from fullon_master_api.apis.cache import Cache
from fullon_master_api.bus import Bus, broadcast_topic, user_trades_topic
from fullon_master_api.errors import StaleEpoch
from fullon_master_api.model import Balances, Broadcast, Fence, Positions
from tests.apis.cache.records import DAY, balance, fill, position, tick
from tests.apis.cache.test_cache_stores import hear, wait_until

T = TypeVar("T")

LONG_S = 60.0
"""Far longer than anything here takes."""


async def while_waiting(bus: Bus, waiting: Awaitable[T], act: Awaitable[object]) -> T:
    """What `waiting` answers if `act` happens after it began to wait."""
    asked = asyncio.ensure_future(waiting)
    async with asyncio.timeout(LONG_S):
        while not bus.health().topics_listened:
            await asyncio.sleep(0)
        await act
        return await asked


async def test_who_placed_an_order_hears_the_exchanges_id_and_so_does_who_asks_again(cache: Cache, bus: Bus) -> None:
    found = await while_waiting(
        bus, cache.orders.wait_announced("local-1", timeout_s=LONG_S), cache.orders.announce("local-1", "EX-9")
    )
    assert found == "EX-9"
    assert await asyncio.gather(*(cache.orders.wait_announced("local-1", timeout_s=0) for _ in range(2))) == ["EX-9", "EX-9"]


async def test_an_order_that_nobody_announces_is_not_waited_for_longer_than_asked(cache: Cache, bus: Bus) -> None:
    assert await cache.orders.wait_announced("local-2", timeout_s=0.05) is None
    assert await cache.orders.wait_announced("local-2", timeout_s=0) is None
    assert bus.health().topics_listened == 0


async def test_an_announcement_ends_by_itself(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.apis.cache.orders.PLACED_TTL_S", 0.05)
    await cache.orders.announce("local-1", "EX-9")
    await wait_until(lambda: cache.orders.wait_announced("local-1", timeout_s=0), None)


async def test_fills_wait_oldest_first_until_they_are_stored_whoever_reads_them(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        for number in (3, 1, 2):
            assert await cache.user_trades.push(1, "kraken", fill(number))

    assert await hear(bus, user_trades_topic(1, "kraken"), write, 3) == [fill(3), fill(1), fill(2)]
    await cache.user_trades.push(1, "binance", fill(9))
    await cache.user_trades.push(2, "kraken", fill(8))
    assert not await cache.user_trades.push(1, "kraken", fill(2)), "a reconnect repeats it"
    for _ in range(2):
        assert await cache.user_trades.waiting(1, "kraken") == [fill(1), fill(2), fill(3)]
    assert await cache.user_trades.wait_first(1, "kraken", timeout_s=0) == fill(1)
    assert await cache.user_trades.done(1, "kraken", fill(1))
    assert not await cache.user_trades.done(1, "kraken", fill(1))
    assert await cache.user_trades.waiting(1, "kraken") == [fill(2), fill(3)]
    assert await cache.user_trades.waiting(2, "kraken") == [fill(8)]


async def test_of_many_who_say_that_a_fill_is_stored_one_hears_so(cache: Cache) -> None:
    await cache.user_trades.push(1, "kraken", fill(1))
    said = await asyncio.gather(*(cache.user_trades.done(1, "kraken", fill(1)) for _ in range(20)))
    assert sum(said) == 1


async def test_who_waits_for_a_fill_gets_it_when_it_comes(cache: Cache, bus: Bus) -> None:
    waiting = cache.user_trades.wait_first(1, "kraken", timeout_s=LONG_S)
    assert await while_waiting(bus, waiting, cache.user_trades.push(1, "kraken", fill(1))) == fill(1)
    assert await cache.user_trades.wait_first(2, "kraken", timeout_s=0.05) is None


async def test_a_replaced_owner_cannot_let_a_fill_wait(cache: Cache) -> None:
    await cache.user_trades.push(1, "kraken", fill(1), Fence(service="account", epoch=2))
    with pytest.raises(StaleEpoch):
        await cache.user_trades.push(1, "kraken", fill(2), Fence(service="account", epoch=1))
    assert await cache.user_trades.waiting(1, "kraken") == [fill(1)]


async def test_it_is_known_when_something_was_last_collected(cache: Cache) -> None:
    tape, fills = cache.trades.collected, cache.user_trades.collected
    await tape.mark("kraken", DAY)
    await tape.mark("kraken", DAY - timedelta(seconds=1))
    await fills.mark("1-kraken", DAY + timedelta(microseconds=1))
    assert await tape.get_many(["kraken", "binance"]) == [DAY, None]
    assert await tape.all() == {"kraken": DAY}
    assert await fills.all() == {"1-kraken": DAY + timedelta(microseconds=1)}
    await tape.mark("kraken")
    (now,) = await tape.get_many(["kraken"])
    assert now is not None
    assert now > DAY
    assert await fills.clear() == 1
    assert await fills.all() == {}
    assert list(await tape.all()) == ["kraken"]


async def test_processes_hear_what_they_are_told_and_late_ones_find_it(cache: Cache, bus: Bus) -> None:
    async def write() -> None:
        await cache.processes.broadcast("tick", "reload", {"symbols": ["BTC/USD"]})

    (told,) = await hear(bus, broadcast_topic("tick"), write)
    assert isinstance(told, Broadcast)
    assert (told.process_type, told.message, told.data) == ("tick", "reload", {"symbols": ["BTC/USD"]})
    again = await cache.processes.broadcast("tick", "reload")
    await cache.processes.broadcast("ohlcv", "pause")
    assert await cache.processes.get_broadcasts("tick") == [told, again]
    assert await cache.processes.get_broadcasts("bot") == []


async def test_processes_are_counted_by_type(cache: Cache) -> None:
    first = await cache.processes.register("tick", "ticker_daemon")
    await cache.processes.register("ohlcv", "kraken:BTC/USD")
    await cache.processes.register("tick", "kraken:BTC/USD")
    await cache.processes.stop(first.process_id)
    assert await cache.processes.metrics() == {
        "total_processes": 3,
        "active_processes": 2,
        "components": 1,
        "active_tick": 1,
        "active_ohlcv": 1,
    }


async def test_the_next_ticker_is_waited_for_unless_it_is_there(cache: Cache, bus: Bus) -> None:
    first = await while_waiting(
        bus, cache.tickers.wait_newer("kraken", "BTC/USD", timeout_s=LONG_S), cache.tickers.set(tick(event_ns=1))
    )
    assert first is not None
    assert await cache.tickers.wait_newer("kraken", "BTC/USD", timeout_s=0) == first
    assert await cache.tickers.wait_newer("kraken", "BTC/USD", sequence=first.sequence, timeout_s=0.05) is None
    await cache.tickers.set(tick(event_ns=2, last="7"))
    second = await cache.tickers.wait_newer("kraken", "BTC/USD", sequence=first.sequence, timeout_s=LONG_S)
    assert second is not None
    assert (second.last, second.sequence) == ("7", first.sequence + 1)


async def test_the_ticker_of_the_first_exchange_that_has_one_is_found(cache: Cache) -> None:
    await cache.tickers.set(tick(exchange="binance", last="1"))
    await cache.tickers.set(tick(exchange="hyperliquid", last="2"))
    for exchanges, last in ((["kraken", "hyperliquid", "binance"], "2"), (["binance", "kraken"], "1")):
        found = await cache.tickers.get_any("BTC/USD", exchanges)
        assert found is not None
        assert found.last == last
    assert await cache.tickers.get_any("BTC/USD", ["kraken"]) is None
    assert await cache.tickers.get_any("BTC/USD", []) is None


async def test_all_tickers_of_an_exchange_are_forgotten_and_none_of_another(cache: Cache) -> None:
    for symbol in ("BTC/USD", "ETH/USD"):
        await cache.tickers.set(tick(symbol))
    await cache.tickers.set(tick(exchange="binance"))
    assert await cache.tickers.delete_all("kraken") == 2
    assert await cache.tickers.delete_all("kraken") == 0
    assert await cache.tickers.all("kraken") == []
    assert len(await cache.tickers.all("binance")) == 1


async def test_every_account_is_listed_and_can_be_forgotten(cache: Cache) -> None:
    await cache.accounts.set_balances(1, [balance("USD")], updated_ns=5)
    await cache.accounts.set_balances(2, [], updated_ns=5)
    await cache.accounts.set_positions(3, [position(ex_id=3)], updated_ns=5)
    assert await cache.accounts.all_balances() == [
        Balances(ex_id=1, balances=[balance("USD")], updated_ns=5),
        Balances(ex_id=2, balances=[], updated_ns=5),
    ]
    assert await cache.accounts.all_positions() == [Positions(ex_id=3, positions=[position(ex_id=3)], updated_ns=5)]
    assert await cache.accounts.delete_all() == 3
    assert (await cache.accounts.all_balances(), await cache.accounts.all_positions()) == ([], [])
    assert await cache.accounts.delete_all() == 0
