"""A paper exchange that misbehaves, and what our Kraken adapter makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from fullon_master_api.errors import ExchangeUnavailable
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import MarketTrade
from tests.exchanges.still_market import collect
from tests.lived import lived

QUICK = GeneratedSource(seed=7, history_hours=0.1, updates_per_s=300.0)


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=QUICK)) as opened:
        yield opened


@pytest.fixture
async def kraken(paper: PaperExchange) -> AsyncIterator[ExchangeAdapter]:
    adapter = open_exchange("kraken", base_url=paper.url, timeout_s=30.0, stall_s=30.0)
    yield adapter
    await adapter.aclose()


async def trades_until_error(kraken: ExchangeAdapter) -> list[MarketTrade]:
    return await collect(kraken.stream_trades("BTC/USD"), lambda _: False)


async def test_dropped_sockets_end_the_stream_and_a_new_one_goes_on(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    stream = kraken.stream_trades("BTC/USD")
    await anext(stream)
    assert paper.faults.drop_sockets() == 1
    with pytest.raises(ExchangeUnavailable):
        await collect(stream, lambda _: False)

    assert len(await collect(kraken.stream_trades("BTC/USD"), lambda seen: len(seen) >= 60)) >= 60


async def test_a_stalled_feed_ends_although_heartbeats_come(paper: PaperExchange) -> None:
    kraken = open_exchange("kraken", base_url=paper.url, timeout_s=30.0, stall_s=3.0)
    stream = kraken.stream_trades("BTC/USD")
    await anext(stream)
    paper.faults.stalled = True
    with pytest.raises(ExchangeUnavailable, match="although the socket lives"):
        await collect(stream, lambda _: False)

    paper.faults.clear()
    assert await collect(kraken.stream_trades("BTC/USD"), lambda seen: len(seen) >= 60)
    await kraken.aclose()


async def test_a_silent_socket_ends_its_streams_and_the_next_reader_gets_a_new_one(paper: PaperExchange) -> None:
    kraken = open_exchange("kraken", base_url=paper.url, timeout_s=4.0, stall_s=60.0)
    one, two = kraken.stream_trades("BTC/USD"), kraken.stream_tickers(["ETH/USD"])
    await anext(one)
    await anext(two)
    paper.faults.silent = True
    with pytest.raises(ExchangeUnavailable, match="nothing came over the socket"):
        await collect(one, lambda _: False)
    with pytest.raises(ExchangeUnavailable, match="nothing came over the socket"):
        await collect(two, lambda _: False)

    paper.faults.clear()
    assert await collect(kraken.stream_trades("BTC/USD"), lambda seen: len(seen) >= 60)
    await kraken.aclose()


async def test_many_calls_that_wait_for_their_turn_do_not_use_up_their_time(paper: PaperExchange) -> None:
    kraken = open_exchange("kraken", base_url=paper.url, timeout_s=4.0)
    await kraken.load_markets()
    paper.faults.rest_delay_s = 1.2
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(kraken.fetch_tickers(["BTC/USD"]) for _ in range(16)))

    assert [len(tickers) for tickers in answers] == [1] * 16

    calls = [asyncio.ensure_future(kraken.fetch_tickers(["BTC/USD"])) for _ in range(8)]
    await kraken.fetch_tickers(["BTC/USD"])
    for call in calls:
        call.cancel()  # Also those whose turn had not come.
    assert await asyncio.gather(*calls, return_exceptions=True)
    paper.faults.clear()
    await kraken.aclose()


async def test_duplicated_and_reordered_messages_leave_every_trade_once(
    paper: PaperExchange, kraken: ExchangeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.exchanges.trade_sieve.MISSING_S", 60.0)  # However long this process stands still.
    paper.faults.duplicate = paper.faults.reorder = 0.3
    trades = await collect(kraken.stream_trades("BTC/USD"), lambda seen: len(seen) >= 300)

    numbers = sorted(int(trade.trade_id) for trade in trades)
    assert len(set(numbers)) == len(numbers)
    missing = [later - earlier for earlier, later in pairwise(numbers) if later - earlier > 1]
    assert sum(missing) - len(missing) <= 10  # At most what the very last message held back.


async def test_a_lost_trade_ends_the_stream_so_that_its_owner_fills_the_hole(
    paper: PaperExchange, kraken: ExchangeAdapter
) -> None:
    stream = kraken.stream_trades("BTC/USD")
    await anext(stream)
    paper.faults.lose = 0.2
    with pytest.raises(ExchangeUnavailable, match="trades of BTC/USD are missing, the first is"):
        await collect(stream, lambda _: False)


async def test_a_message_cut_in_half_ends_the_connection_at_once(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    """ccxt's receive loop dies of it unseen, and its waiters hang until the keep-alive gives up."""
    stream = kraken.stream_tickers(["BTC/USD"])
    await anext(stream)
    paper.faults.cut = 1.0
    async with lived() as clock:
        with pytest.raises(ExchangeUnavailable, match="could not be read"):
            await collect(stream, lambda _: False)
        assert clock.seconds < 1.5

    paper.faults.clear()
    assert await collect(kraken.stream_tickers(["BTC/USD"]), lambda seen: len(seen) >= 20)


async def test_maintenance_ends_streams_and_calls_and_is_over_when_cleared(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    stream = kraken.stream_trades("BTC/USD")
    await anext(stream)
    paper.faults.maintenance = True
    with pytest.raises(ExchangeUnavailable, match="in maintenance"):
        await collect(stream, lambda _: False)
    with pytest.raises(ExchangeUnavailable, match="EService:Unavailable"):
        await kraken.fetch_tickers(["BTC/USD"])
    with pytest.raises(ExchangeUnavailable):
        await trades_until_error(kraken)

    paper.faults.maintenance = False
    assert len(await kraken.fetch_tickers(["BTC/USD"])) == 1
    assert await collect(kraken.stream_trades("BTC/USD"), lambda seen: len(seen) >= 60)


async def test_a_socket_that_is_not_taken_is_an_error_before_the_time_limit(
    paper: PaperExchange, kraken: ExchangeAdapter
) -> None:
    await kraken.load_markets()
    paper.faults.refuse = True
    async with lived() as clock:
        with pytest.raises(ExchangeUnavailable):
            await trades_until_error(kraken)
        assert clock.seconds < 1.5


async def test_a_slow_answer_is_given_up_after_the_time_limit(paper: PaperExchange) -> None:
    kraken = open_exchange("kraken", base_url=paper.url, timeout_s=0.2)
    paper.faults.rest_delay_s = 5.0
    async with lived() as clock:
        with pytest.raises(ExchangeUnavailable):
            await kraken.fetch_tickers(["BTC/USD"])
        assert clock.seconds < 2
    paper.faults.clear()
    await kraken.aclose()


async def test_closing_leaves_no_socket_and_no_task(paper: PaperExchange) -> None:
    before = asyncio.all_tasks()
    kraken = open_exchange("kraken", base_url=paper.url)
    await anext(one := kraken.stream_tickers(["BTC/USD"]))
    await anext(two := kraken.stream_trades("BTC/USD"))
    await one.aclose()
    await kraken.aclose()  # With a stream still open: it ends with an error, and leaves nothing.
    with pytest.raises(ExchangeUnavailable):
        await collect(two, lambda _: False)
    left = {task for task in asyncio.all_tasks() - before if "aiohttp" not in repr(task.get_coro())}

    assert left == set()
    async with asyncio.timeout(60):
        while paper.hub.sessions:
            paper.hub.eased.clear()
            await paper.hub.eased.wait()
