"""The public wire of the paper exchange, read by an unmodified `ccxt.pro.kraken`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.opening import kraken_urls
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.exchanges.paper.markets import CATALOGUE

QUICK = GeneratedSource(seed=7, history_hours=0.5, updates_per_s=60.0)


@asynccontextmanager
async def stock_kraken(paper: PaperExchange, **config: Any) -> AsyncIterator[Any]:
    """ccxt as it comes, told only where to connect."""
    exchange = ccxt.pro.kraken({"enableRateLimit": False, "urls": {"api": kraken_urls(paper.url)}, **config})
    try:
        yield exchange
    finally:
        await exchange.close()


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=QUICK)) as opened:
        yield opened


async def test_stock_ccxt_loads_the_markets_with_their_steps_minimums_and_fees(paper: PaperExchange) -> None:
    async with stock_kraken(paper, number=str) as exchange:
        markets = await exchange.load_markets()

        assert {"BTC/USD", "ETH/USD", "SOL/USD", "BTC/USDT", "ETH/USDT"} <= set(markets)
        bitcoin = markets["BTC/USD"]
        assert (bitcoin["id"], bitcoin["info"]["wsname"], bitcoin["info"]["base"]) == ("XXBTZUSD", "XBT/USD", "XXBT")
        assert Decimal(bitcoin["precision"]["price"]) == Decimal("0.1")
        assert Decimal(bitcoin["precision"]["amount"]) == Decimal("1E-8")
        assert bitcoin["limits"]["amount"]["min"] == "0.00005"
        assert (Decimal(bitcoin["taker"]), Decimal(bitcoin["maker"])) == (Decimal("0.004"), Decimal("0.0025"))


async def test_stock_ccxt_knows_and_quotes_every_market_of_the_catalogue_by_its_name() -> None:
    names = tuple(market.symbol for market in CATALOGUE)
    source = GeneratedSource(symbols=names, history_hours=0.5)
    async with open_paper(PaperOptions(source=source)) as paper, stock_kraken(paper, number=str) as exchange:
        markets = await exchange.load_markets()
        tickers = await exchange.fetch_tickers(list(names))

    assert len(names) == 100
    assert set(markets) == set(names)
    assert set(tickers) == set(names)
    assert all(0 < Decimal(ticker["bid"]) < Decimal(ticker["ask"]) for ticker in tickers.values())


def test_a_market_that_is_not_in_the_catalogue_is_refused_and_named() -> None:
    with pytest.raises(BadUserInput, match="no market BTC/GBP"):
        GeneratedSource(symbols=("BTC/USD", "BTC/GBP")).open()


async def test_stock_ccxt_reads_ticker_candles_trades_and_book_over_rest(paper: PaperExchange) -> None:
    async with stock_kraken(paper, number=str) as exchange:
        ticker = await exchange.fetch_ticker("BTC/USD")
        candles = await exchange.fetch_ohlcv("BTC/USD", "5m")
        trades = await exchange.fetch_trades("BTC/USD", limit=10)
        book = await exchange.fetch_order_book("BTC/USD", 5)

    assert Decimal(ticker["bid"]) < Decimal(ticker["ask"])
    assert {later[0] - earlier[0] for earlier, later in pairwise(candles)} == {300_000}
    assert len(candles) >= 6
    assert [int(trade["id"]) for trade in trades] == list(range(int(trades[0]["id"]), int(trades[0]["id"]) + 10))
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])


async def test_stock_ccxt_watches_tickers_trades_candles_and_book(paper: PaperExchange) -> None:
    async with stock_kraken(paper) as exchange:
        ticker = await exchange.watch_ticker("BTC/USD")
        tickers = await exchange.watch_tickers(["ETH/USD", "SOL/USD"])
        trades = await exchange.watch_trades("BTC/USD")
        candles = await exchange.watch_ohlcv("BTC/USD", "1m")
        book = await exchange.watch_order_book("BTC/USD")

        assert ticker["bid"] < ticker["ask"]
        assert set(tickers) <= {"ETH/USD", "SOL/USD"}
        assert trades[-1]["symbol"] == "BTC/USD"
        assert candles[-1][0] % 60_000 == 0
        assert len(book["bids"]) == len(book["asks"]) == 10
        seen = book["nonce"], book["timestamp"]
        assert (await exchange.watch_order_book("BTC/USD"))["timestamp"] != seen[1]


async def test_the_same_seed_and_start_give_the_same_market_digit_for_digit() -> None:
    source = GeneratedSource(seed=3, start_ns=1_700_000_000_000_000_000, history_hours=0.1)
    one, again = source.open(), source.open()

    assert one.past == again.past
    assert [next(one.future) for _ in range(500)] == [next(again.future) for _ in range(500)]
    assert one.past != GeneratedSource(seed=4, start_ns=1_700_000_000_000_000_000, history_hours=0.1).open().past


def test_a_later_run_never_repeats_the_numbers_of_an_earlier_one() -> None:
    start_ns = 1_700_000_000_000_000_000
    opened = GeneratedSource(start_ns=start_ns).open()
    events = [*opened.past, *(next(opened.future) for _ in range(2_000))]
    later = GeneratedSource(start_ns=start_ns + 1_000_000_000).open().past

    assert max(trade.trade_id for event in events for trade in event.trades) < min(
        trade.trade_id for event in later for trade in event.trades
    )


async def test_faults_are_switched_over_http_by_a_user_of_the_same_machine(paper: PaperExchange) -> None:
    async with aiohttp.ClientSession(paper.url) as session:
        async with session.patch("/paper/faults", json={"maintenance": True, "lose": 0.5, "rest_delay_s": 0}) as answer:
            assert (answer.status, await answer.json()) == (200, {
                "maintenance": True, "refuse": False, "stalled": False, "silent": False,
                "lose": 0.5, "duplicate": 0.0, "reorder": 0.0, "cut": 0.0, "rest_delay_s": 0.0,
            })  # fmt: skip
        async with session.get("/0/public/SystemStatus") as answer:
            assert (await answer.json())["result"]["status"] == "maintenance"
        async with session.delete("/paper/faults") as answer:
            assert not any((await answer.json()).values())
        async with session.delete("/paper/sockets") as answer:
            assert await answer.json() == {"dropped": 0}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"lose": 2}, "lose was 2, must be 0 to 1"),
        ({"stalled": 1}, "must be true or false"),
        ({"melt": True}, "no fault 'melt'; known are maintenance"),
        ([], "Expected `object`"),
    ],
)
async def test_a_fault_that_there_is_not_is_refused_and_changes_nothing(paper: PaperExchange, body: object, message: str) -> None:
    async with aiohttp.ClientSession(paper.url) as session, session.patch("/paper/faults", json=body) as answer:
        assert answer.status == 422
        assert message in (await answer.json())["detail"]
    assert (paper.faults.lose, paper.faults.stalled) == (0.0, False)


async def test_faults_cannot_be_switched_from_other_machines() -> None:
    everywhere = PaperExchange(PaperOptions(host="0.0.0.0", source=QUICK))

    assert [route for route in everywhere.application().router.resources() if "/paper" in route.canonical] == []
