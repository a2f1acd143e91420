"""What only the cache on Redis can get wrong: other processes, a Redis that is away, and one that forgot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.bus import RedisOptions, open_bus
from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.model import OrderStatus
from tests.apis.cache.records import candle, order, tick, trade
from tests.bus.redis_server import RedisServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_two_processes_share_one_state_and_one_sequence(redis_url: str) -> None:
    async with (
        open_bus(redis_url) as one_bus,
        open_bus(redis_url) as two_bus,
        open_cache(one_bus, redis_url) as one,
        open_cache(two_bus, redis_url) as two,
    ):
        await one.tickers.set(tick(event_ns=1))
        kept = await two.tickers.set(tick(event_ns=2, last="7"))
        assert kept is not None
        assert kept.sequence == 2
        assert await one.tickers.get_many([("kraken", "BTC/USD")]) == [kept]
        assert await two.tickers.set(tick(event_ns=1)) is None


async def test_of_many_writers_at_once_the_newest_wins_and_every_sequence_is_given_once(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, open_cache(bus, redis_url) as cache:
        kept = await asyncio.gather(*(cache.tickers.set(tick(last=str(n), event_ns=n)) for n in range(1, 201)))
        stored = [ticker for ticker in kept if ticker is not None]
        assert sorted(ticker.sequence for ticker in stored) == list(range(1, len(stored) + 1))
        newest = (await cache.tickers.get_many([("kraken", "BTC/USD")]))[0]
        assert newest is not None
        assert newest.event_ns == 200


async def test_platforms_with_different_prefixes_share_nothing(redis_url: str) -> None:
    async with (
        open_bus(redis_url, prefix="a") as one_bus,
        open_bus(redis_url, prefix="b") as two_bus,
        open_cache(one_bus, redis_url) as one,
        open_cache(two_bus, redis_url) as two,
        Redis.from_url(redis_url) as raw,
    ):
        await one.tickers.set(tick())
        await one.orders.set(order())
        await one.trades.append("kraken", "BTC/USD", [trade(1)])
        assert await two.tickers.all("kraken") == []
        assert await two.orders.all([1]) == [[]]
        assert await two.trades.get_last("kraken", "BTC/USD") == []
        written = [key async for key in raw.scan_iter(match="*")]
        assert len(written) >= 5
        assert [key for key in written if not key.startswith(b"a:")] == []


async def test_a_cache_that_is_away_says_so_and_answers_again_when_it_is_back(server: RedisServer) -> None:
    async with open_bus(server.url) as bus, open_cache(bus, server.url) as cache:
        await cache.tickers.set(tick())
        server.stop()
        for _ in range(2):
            with pytest.raises(CacheUnavailable, match="Redis does not answer"):
                await cache.tickers.get_many([("kraken", "BTC/USD")])
            with pytest.raises(CacheUnavailable):
                await cache.tickers.set(tick(event_ns=2))
            with pytest.raises(CacheUnavailable):
                await cache.trades.append("kraken", "BTC/USD", [trade(1)])
        server.start()
        assert await cache.tickers.all("kraken") == []
        kept = await cache.tickers.set(tick(event_ns=3))  # The new server does not know our scripts yet.
        assert kept is not None
        assert await cache.tickers.all("kraken") == [kept]


async def test_more_callers_than_connections_wait_their_turn(redis_url: str) -> None:
    options = RedisOptions(max_connections=2)
    async with open_bus(redis_url) as bus, open_cache(bus, redis_url, options=options) as cache:
        await cache.tickers.set(tick())
        found = await asyncio.gather(*(cache.tickers.all("kraken") for _ in range(100)))
        assert [len(tickers) for tickers in found] == [1] * 100


async def test_what_expires_leaves_no_key_and_its_index_is_swept(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.apis.cache.orders.FINAL_TTL_S", 0.05)
    async with open_bus(redis_url) as bus, open_cache(bus, redis_url) as cache, Redis.from_url(redis_url) as raw:
        await cache.orders.set(order("gone", status=OrderStatus.FILLED))
        async with asyncio.timeout(60):
            while await raw.exists("orders:1:gone"):
                await asyncio.sleep(0.01)
        await cache.orders.set(order("open"))
        assert await raw.zrange("orders-index:1", 0, -1) == [b"open"]
        assert 0 < await raw.pttl("orders:1:open") <= 7 * 86_400_000


async def test_a_candle_has_its_own_end_and_the_tickers_have_none(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, open_cache(bus, redis_url) as cache, Redis.from_url(redis_url) as raw:
        await cache.candles.set("kraken", "BTC/USD", "1h", candle(60))
        await cache.tickers.set(tick())
        assert await raw.ttl(f"candles:kraken:BTC/USD:1h:{candle(60).opened_ns:020d}") in range(1_799_990, 1_800_001)
        assert await raw.ttl("tickers:kraken") == -1


async def test_a_cancelled_reader_ends_even_when_its_answer_comes_at_the_same_moment(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, open_cache(bus, redis_url) as cache:

        async def read_for_ever() -> None:
            while True:
                await cache.tickers.get_many([("kraken", "BTC/USD")])

        for number in range(300):
            reading = asyncio.ensure_future(read_for_ever())
            await asyncio.sleep(number * 1e-5)
            reading.cancel()
            done, _alive = await asyncio.wait([reading], timeout=60)
            assert done == {reading}
            assert reading.cancelled()
