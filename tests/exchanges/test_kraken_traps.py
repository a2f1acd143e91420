"""What is hard about Kraken through ccxt: each trap, sprung on the wire, and what our adapter makes of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from decimal import Decimal

import pytest

from fullon_master_api.errors import ExchangeRefused
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import OrderState
from fullon_master_api.exchanges.kraken import KrakenExchange
from fullon_master_api.exchanges.paper import PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import OrderStatus, Side, Ticker
from tests.exchanges.still_market import START_NS, StillSource, collect, event, happen
from tests.lived import lived

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100.0", "cl_ord_id": "mine-1"}


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=StillSource())) as opened:
        opened.add_account(KEY, SECRET, {"USD": "100000", "BTC": "1.5"})
        yield opened


@pytest.fixture
async def kraken(paper: PaperExchange) -> AsyncIterator[KrakenExchange]:
    adapter = open_exchange("kraken", base_url=paper.url, credentials=(KEY, SECRET))
    assert isinstance(adapter, KrakenExchange)
    yield adapter
    await adapter.aclose()


async def test_candles_are_asked_for_one_minute_only(paper: PaperExchange, kraken: KrakenExchange) -> None:
    async with aclosing(kraken.stream_candles("BTC/USD")) as batches:
        await anext(batches)
        assert paper.hub.topics == [("ohlc", "BTC/USD", 1)]


async def test_a_candle_is_final_once_a_later_one_opened(paper: PaperExchange, kraken: KrakenExchange) -> None:
    stream = kraken.stream_candles("BTC/USD")
    first = await anext(stream)
    happen(paper, event(number=2, price="101.0", after_ms=30_000), event(number=3, price="99.0", after_ms=90_000))
    later = await collect(stream, lambda seen: seen[-1].opened_ns > first[-1].opened_ns)

    assert [candle.final for candle in first] == [False]
    final = [candle for candle in later if candle.final]
    assert [(c.opened_ns, c.open, c.high, c.low, c.close, c.volume, c.trades) for c in final] == [
        (first[-1].opened_ns, "100.0", "101.0", "100.0", "101.0", "0.00024600", 2)
    ]


async def test_a_partial_fill_reaches_the_order_stream_and_every_state_names_its_symbol(
    paper: PaperExchange, kraken: KrakenExchange
) -> None:
    stream = kraken.stream_orders()
    assert await anext(stream) == []
    order = paper.matching.place(paper.accounts[KEY], BUY)
    happen(paper, event(number=2, price="100.0", quantity="0.00400000", side="sell"))
    partial = await collect_until(stream, OrderStatus.PARTIALLY_FILLED)
    happen(paper, event(number=3, price="100.0", quantity="0.50000000", side="sell"))
    filled = await collect_until(stream, OrderStatus.FILLED)
    await stream.aclose()

    assert (partial.filled, partial.quantity, partial.client_order_id) == (Decimal("0.004"), Decimal("0.01"), "mine-1")
    assert (filled.filled, filled.average_price) == (Decimal("0.01"), Decimal("100"))
    for state in (partial, filled):
        assert (state.ex_order_id, state.symbol, state.side, state.price) == (
            order.order_id, "BTC/USD", Side.BUY, Decimal(100),
        )  # fmt: skip


async def collect_until(stream: AsyncGenerator[list[OrderState]], status: OrderStatus) -> OrderState:
    """The first state of this status; the stream stays open."""
    async with asyncio.timeout(60):
        async for batch in stream:
            for state in batch:
                if state.status is status:
                    return state
    raise AssertionError("the stream ended")


async def test_a_mixed_snapshot_gives_fills_to_the_fill_stream_and_orders_to_the_order_stream(
    paper: PaperExchange, kraken: KrakenExchange
) -> None:
    account = paper.accounts[KEY]
    taken = paper.matching.place(account, {**BUY, "price": "100.1", "cl_ord_id": "taken"})
    resting = paper.matching.place(account, BUY)

    fills = await anext(stream := kraken.stream_fills())
    await stream.aclose()
    orders = await anext(states := kraken.stream_orders())
    await states.aclose()

    assert [(fill.ex_order_id, fill.quantity, fill.price) for fill in fills] == [(taken.order_id, Decimal("0.01"), "100.1")]
    assert [(state.ex_order_id, state.filled) for state in orders] == [(resting.order_id, Decimal(0))]


async def test_fills_before_the_subscription_are_not_counted_twice(paper: PaperExchange, kraken: KrakenExchange) -> None:
    order = paper.matching.place(paper.accounts[KEY], BUY)
    happen(paper, event(number=2, price="100.0", quantity="0.00400000", side="sell"))
    stream = kraken.stream_orders()
    first = await anext(stream)
    happen(paper, event(number=3, price="100.0", quantity="0.00100000", side="sell"))
    second = await anext(stream)
    await stream.aclose()

    assert [(s.ex_order_id, s.filled) for s in first] == [(order.order_id, Decimal("0.004"))]
    assert [(s.ex_order_id, s.filled) for s in second] == [(order.order_id, Decimal("0.005"))]


async def test_a_subscription_the_exchange_refuses_is_an_error_at_once_and_not_a_wait(
    paper: PaperExchange, kraken: KrakenExchange
) -> None:
    await kraken.load_markets()
    del paper.tapes["ETH/BTC"]

    async with lived() as clock:
        with pytest.raises(ExchangeRefused, match="Currency pair not supported ETH/BTC"):
            await anext(kraken.stream_trades("ETH/BTC"))
        assert clock.seconds < 2
    assert kraken.wire.feeds == {}


async def test_a_ticker_has_bid_ask_and_the_exchanges_time_and_comes_with_quotes_alone(
    paper: PaperExchange, kraken: KrakenExchange
) -> None:
    stream = kraken.stream_tickers(["BTC/USD"])
    first = await anext(stream)
    happen(paper, event(bid=1234, after_ms=1))
    second = await anext(stream)
    await stream.aclose()

    assert [(t.bid, t.ask, t.last, t.event_ns) for t in first + second] == [
        ("100.0", "100.1", "100.0", START_NS),
        ("123.4", "123.5", "100.0", START_NS + 1_000_000),
    ]


async def test_the_last_of_many_quick_tickers_is_never_lost_for_any_symbol(paper: PaperExchange, kraken: KrakenExchange) -> None:
    """ccxt wakes its waiter with the first message of a burst, and with that of one symbol only."""
    stream = kraken.stream_tickers(["BTC/USD", "ETH/USD"])
    await anext(stream)
    for step in range(1, 201):
        happen(paper, event("BTC/USD", bid=1000 + step), event("ETH/USD", bid=2000 + step))

    def newest(seen: list[Ticker]) -> bool:
        return {(t.symbol, t.bid) for t in seen} >= {("BTC/USD", "120.0"), ("ETH/USD", "22.00")}

    assert newest(await collect(stream, newest))


async def test_more_trades_in_one_burst_than_ccxt_keeps_all_arrive(paper: PaperExchange, kraken: KrakenExchange) -> None:
    stream = kraken.stream_trades("BTC/USD")
    await anext(stream)
    for number in range(2, 1_649):
        happen(paper, event(number=number, after_ms=number))
    trades = await collect(stream, lambda seen: len(seen) >= 1_647)

    assert [trade.trade_id for trade in trades] == [str(number) for number in range(2, 1_649)]
    assert {(trade.price, trade.quantity) for trade in trades} == {("100.0", "0.00012300")}


async def test_a_call_given_up_while_markets_load_does_not_end_the_others(paper: PaperExchange, kraken: KrakenExchange) -> None:
    """ccxt loads markets in one task for all callers; the first of them to be cancelled cancels it."""
    paper.faults.rest_delay_s = 0.1
    given_up, other = asyncio.ensure_future(kraken.load_markets()), asyncio.ensure_future(kraken.load_markets())
    while not kraken.wire.markets_loading:
        await asyncio.sleep(0)
    given_up.cancel()

    assert "BTC/USD" in await other
    assert given_up.cancelled()


async def test_streams_opened_and_closed_many_times_leave_nothing_behind(paper: PaperExchange, kraken: KrakenExchange) -> None:
    async def once() -> tuple[int, int, int]:
        streams = (
            kraken.stream_tickers(["BTC/USD", "ETH/USD"]),
            kraken.stream_trades("BTC/USD"),
            kraken.stream_candles("BTC/USD"),
            kraken.stream_orders(),
            kraken.stream_fills(),
            kraken.stream_balances(1),
        )
        for stream in streams:
            await anext(stream)
        for stream in streams:
            await stream.aclose()
        clients = kraken.wire.clients.values()
        return len(asyncio.all_tasks()), sum(len(c.futures) for c in clients), sum(len(c.subscriptions) for c in clients)

    before = await once()
    for _ in range(20):
        after = await once()

    assert (after, paper.hub.topics, kraken.wire.feeds) == (before, [], {})


async def test_a_second_reader_of_a_ticker_gets_the_newest_one_at_once(paper: PaperExchange, kraken: KrakenExchange) -> None:
    one, two = kraken.stream_tickers(["BTC/USD"]), kraken.stream_tickers(["BTC/USD"])
    await anext(one)
    happen(paper, event(bid=1234, after_ms=1))
    newest = await anext(one)

    assert [(ticker.bid, ticker.event_ns) for ticker in await anext(two)] == [(newest[0].bid, newest[0].event_ns)]
    await one.aclose()
    await two.aclose()
    assert (paper.hub.subscribed, paper.hub.topics) == (1, [])


async def test_two_readers_share_a_subscription_and_the_last_one_ends_it(paper: PaperExchange, kraken: KrakenExchange) -> None:
    one, two = kraken.stream_trades("BTC/USD"), kraken.stream_trades("BTC/USD")
    await anext(one)
    waiting = asyncio.ensure_future(anext(two))
    while len(kraken.wire.feeds[("trade", "BTC/USD")]) < 2:
        await kraken.fetch_tickers(["BTC/USD"])
    await one.aclose()
    happen(paper, event(number=2))

    assert [trade.trade_id for trade in await waiting] == ["2"]
    assert paper.hub.subscribed == 1
    await two.aclose()
    assert paper.hub.topics == []
