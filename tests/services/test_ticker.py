"""The ticker service on a real wire: what it collects, what it refuses, what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import ServiceName, ServiceState, Ticker
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.quotes import admit
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.ticker import TickerService
from tests.services.stage import list_symbols, open_platform, running, until

SYMBOLS = ("BTC/USD", "ETH/USD")


@pytest.fixture
async def paper() -> AsyncGenerator[PaperExchange, None]:
    source = GeneratedSource(symbols=SYMBOLS, history_hours=0.1, updates_per_s=20.0)
    async with open_paper(PaperOptions(source=source)) as exchange:
        yield exchange


@pytest.fixture
def quick_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.services.catalogue.CATALOGUE_S", 0.1)


def ticking(resources: Resources) -> AbstractAsyncContextManager[FeedBoard]:
    return running(resources, ServiceName.TICKER, partial(TickerService, resources))


async def test_every_active_symbol_gets_tickers_that_change(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources:
        await list_symbols(resources, SYMBOLS)
        async with ticking(resources) as board:

            async def some() -> list[Ticker]:
                found = await resources.cache.tickers.all("kraken")
                in_time = all((feed.lag_ms or 0) < 5_000 for feed in board.health())
                return found if in_time and [ticker.symbol for ticker in found if ticker.sequence >= 5] == list(SYMBOLS) else []

            tickers = await until(some)
            assert all(Decimal(ticker.bid or 0) < Decimal(ticker.ask or 0) for ticker in tickers)
            assert board.state() is ServiceState.RUNNING
            feeds = board.health()
            assert [feed.feed for feed in feeds] == ["kraken:BTC/USD:ticker", "kraken:ETH/USD:ticker"]
            assert all(feed.messages >= 5 and feed.error is None for feed in feeds)
            symbols = await resources.orm.symbols.active()
            assert [symbol.decimals for symbol in symbols if symbol.symbol == "BTC/USD"] == [1]


@pytest.mark.usefixtures("quick_catalogue")
async def test_a_stop_leaves_no_socket_and_no_active_process(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources:
        await list_symbols(resources, SYMBOLS)
        before = asyncio.all_tasks()
        async with ticking(resources):

            async def seen() -> bool:
                processes = await resources.cache.processes.active(process_type="tick")
                return len(processes) == 3 and len(paper.hub.sessions) == 1

            await until(seen)
        assert await resources.cache.processes.active() == []

        async def silent() -> bool:
            return not paper.hub.sessions and {task for task in asyncio.all_tasks() if not task.done()} <= before

        await until(silent)


@pytest.mark.usefixtures("quick_catalogue")
async def test_symbols_added_and_removed_take_effect_while_it_runs(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources:
        first, second = await list_symbols(resources, SYMBOLS)
        await resources.orm.symbols.modify(second.symbol_id, None, {"active": False})
        async with ticking(resources) as board:

            async def feeds_are(names: list[str]) -> bool:
                return [feed.feed for feed in board.health() if feed.messages] == names

            await until(lambda: feeds_are(["kraken:BTC/USD:ticker"]))
            await resources.orm.symbols.modify(second.symbol_id, None, {"active": True})
            await until(lambda: feeds_are(["kraken:BTC/USD:ticker", "kraken:ETH/USD:ticker"]))
            await resources.orm.symbols.modify(first.symbol_id, None, {"active": False})
            await until(lambda: feeds_are(["kraken:ETH/USD:ticker"]))


async def test_one_dead_exchange_and_one_unknown_symbol_do_not_stop_the_others(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources:
        await list_symbols(resources, ("BTC/USD", "NONE/USD"))
        await list_symbols(resources, ("BTC/USDT",), exchange="atlantis")
        async with ticking(resources) as board:

            async def settled() -> bool:
                errors = {feed.feed: feed.error for feed in board.health()}
                good = any(feed.messages > 3 for feed in board.health() if feed.feed == "kraken:BTC/USD:ticker")
                return good and bool(errors.get("kraken:NONE/USD:ticker")) and bool(errors.get("atlantis:BTC/USDT:ticker"))

            await until(settled)
            assert board.state() is ServiceState.DEGRADED


async def test_ticks_go_on_after_every_socket_was_dropped(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources:
        await list_symbols(resources, SYMBOLS)
        async with ticking(resources) as board:
            dropped_ns = 0
            for reconnects in range(4):

                async def ticks(least: int = reconnects, since_ns: int = dropped_ns) -> bool:
                    feeds = board.health()
                    back = all(feed.reconnects >= least and (feed.last_message_ns or 0) > since_ns for feed in feeds)
                    return len(feeds) == 2 and back

                await until(ticks)

                async def drop() -> bool:
                    """A tick that was on its way may come after its socket was dropped and before the next one is open."""
                    dropped = paper.faults.drop_sockets()
                    assert dropped <= 1
                    return dropped == 1

                dropped_ns = time.time_ns()
                await until(drop)


async def test_a_stalled_feed_is_opened_anew_and_goes_on(tmp_path: Path, paper: PaperExchange) -> None:
    async with open_platform(tmp_path, exchange_urls={"kraken": paper.url}, feed_stalled_s=1.0) as resources:
        await list_symbols(resources, SYMBOLS)
        async with ticking(resources) as board:

            async def ticks() -> bool:
                return len(board.health()) == 2 and all(feed.messages >= 3 for feed in board.health())

            await until(ticks)
            paper.faults.stalled = True  # Heartbeats go on, data does not.

            async def opened_anew() -> bool:
                return all(feed.reconnects >= 1 for feed in board.health())

            await until(opened_anew)
            paper.faults.clear()
            since_ns = time.time_ns()

            async def goes_on() -> bool:
                fresh = all((feed.last_message_ns or 0) > since_ns for feed in board.health())
                return fresh and board.state() is ServiceState.RUNNING

            await until(goes_on)


@pytest.mark.parametrize(
    ("changes", "kept", "why"),
    [
        ({}, True, None),
        ({"bid": "NaN"}, False, "bid was 'NaN', must be a number above zero"),
        ({"ask": "0.0"}, False, "ask was '0.0', must be a number above zero"),
        ({"last": "-5"}, False, "last was '-5', must be a number above zero"),
        ({"last": "1e5"}, False, "last was '1e5', must be a number above zero"),
        ({"bid_quantity": "-1"}, False, "bid_quantity was '-1', must be a number not below zero"),
        ({"bid": None, "ask": None, "last": None}, False, "it has no price at all"),
        ({"bid": "101"}, True, "bid 101 above ask 100.5"),
        ({"bid": "100.5"}, True, None),
        ({"bid": "101", "last": None}, False, "bid 101 above ask 100.5"),
    ],
)
def test_bad_market_data_is_refused_at_the_door(changes: dict[str, str | None], kept: bool, why: str | None) -> None:
    values: dict[str, str | None] = {"bid": "100", "ask": "100.5", "last": "100.2"}
    ticker = Ticker(exchange="kraken", symbol="BTC/USD", received_ns=1, **(values | changes))  # type: ignore[arg-type]
    good, reason = admit(ticker)
    assert reason == why
    assert (good is not None) == kept
    if good is not None and why is not None:
        assert (good.bid, good.ask, good.last) == (None, None, "100.2")
