"""Kraken's public data through our adapter, against the paper exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from itertools import pairwise

import pytest

from fullon_master_api.errors import ExchangeRefused
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import Candle, MarketTrade, Ticker

QUICK = GeneratedSource(seed=7, history_hours=0.5, updates_per_s=60.0)


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=QUICK)) as opened:
        yield opened


@pytest.fixture
async def kraken(paper: PaperExchange) -> AsyncIterator[ExchangeAdapter]:
    adapter = open_exchange("kraken", base_url=paper.url)
    yield adapter
    await adapter.aclose()


async def test_markets_carry_exact_steps_minimums_and_fees(kraken: ExchangeAdapter) -> None:
    market = (await kraken.load_markets())["ETH/USD"]

    assert (market.price_step, market.quantity_step) == (Decimal("0.01"), Decimal("1E-8"))
    assert (market.quantity_min, market.cost_min) == (Decimal("0.001"), Decimal("0.5"))
    assert (market.taker_fee, market.maker_fee) == (Decimal("0.004"), Decimal("0.0025"))
    assert (market.price_decimals, market.quantity_decimals) == (2, 8)


async def test_fetched_tickers_come_in_the_order_asked(kraken: ExchangeAdapter) -> None:
    tickers = await kraken.fetch_tickers(["SOL/USD", "BTC/USD"])

    assert [ticker.symbol for ticker in tickers] == ["SOL/USD", "BTC/USD"]
    assert all(Decimal(ticker.bid or 0) < Decimal(ticker.ask or 0) for ticker in tickers)


async def test_streamed_tickers_carry_the_exchange_time_and_end_their_subscription(
    paper: PaperExchange, kraken: ExchangeAdapter
) -> None:
    seen: list[Ticker] = []
    async with aclosing(kraken.stream_tickers(["BTC/USD", "ETH/USD"])) as batches:
        async for batch in batches:
            seen += batch
            if len(seen) >= 10 and {ticker.symbol for ticker in seen} == {"BTC/USD", "ETH/USD"}:
                break

    assert all(ticker.event_ns is not None and ticker.bid is not None and ticker.ask is not None for ticker in seen)
    assert paper.hub.topics == []


async def test_streamed_trades_equal_those_of_the_tape(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    seen: list[MarketTrade] = []
    async with aclosing(kraken.stream_trades("BTC/USD")) as batches:
        async for batch in batches:
            seen += batch
            if len(seen) >= 60:
                break

    tape = {str(trade.trade_id): trade for trade in paper.tapes["BTC/USD"].trades}
    assert [(t.price, t.quantity, t.event_ns, t.side.value) for t in seen] == [
        (tape[t.trade_id].price, tape[t.trade_id].quantity, tape[t.trade_id].event_ns, tape[t.trade_id].side) for t in seen
    ]
    assert [int(t.trade_id) for t in seen] == list(range(int(seen[0].trade_id), int(seen[0].trade_id) + len(seen)))


async def test_streamed_candles_are_of_one_minute_and_only_the_newest_is_open(kraken: ExchangeAdapter) -> None:
    async with aclosing(kraken.stream_candles("BTC/USD")) as batches:
        batch: list[Candle] = await anext(batches)

    assert {later.opened_ns - earlier.opened_ns for earlier, later in pairwise(batch)} == {60_000_000_000}
    assert [candle.final for candle in batch] == [True] * (len(batch) - 1) + [False]


async def test_a_symbol_that_the_exchange_does_not_have_is_refused(kraken: ExchangeAdapter) -> None:
    with pytest.raises(ExchangeRefused, match="no market 'FOO/USD'"):
        async with aclosing(kraken.stream_trades("FOO/USD")) as batches:
            await anext(batches)
