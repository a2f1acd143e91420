"""Binance through our adapter: ccxt's own watch methods, and what they do not tell by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from decimal import Decimal

import pytest

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import Fill, OrderRequest, OrderState
from fullon_master_api.exchanges.binance import BinanceExchange
from fullon_master_api.model import MarketTrade, OrderStatus, OrderType, Side, Ticker, Timeframe
from tests.exchanges.binance_wire import START_MS, BinanceWire, open_binance
from tests.exchanges.still_market import collect

KEY, SECRET = "binance-key", "binance-secret"
BUY = OrderRequest(
    symbol="BTC/USDT",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal("0.5"),
    price=Decimal("100.00"),
    client_order_id="mine-1",
)


@pytest.fixture
async def wire() -> AsyncIterator[BinanceWire]:
    async with open_binance(KEY, SECRET) as opened:
        opened.balances = {"BTC": (Decimal("1.5"), Decimal(0)), "USDT": (Decimal(900), Decimal(100))}
        yield opened


@pytest.fixture
async def binance(wire: BinanceWire) -> AsyncIterator[BinanceExchange]:
    adapter = open_exchange("binance", base_url=wire.url, credentials=(KEY, SECRET), timeout_s=30.0)
    assert isinstance(adapter, BinanceExchange)
    yield adapter
    await adapter.aclose()


async def until(binance: BinanceExchange, done: Callable[[], bool]) -> None:
    """Ask the exchange something small until the wire has come to that."""
    async with asyncio.timeout(60):
        while not done():
            await binance.fetch_tickers(["BTC/USDT"])


async def test_markets_and_tickers_are_exact(binance: BinanceExchange) -> None:
    market = (await binance.load_markets())["BTC/USDT"]
    tickers = await binance.fetch_tickers(["ETH/USDT", "BTC/USDT"])

    assert (market.price_step, market.quantity_step, market.quantity_min, market.cost_min) == (
        Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5),
    )  # fmt: skip
    assert [(t.symbol, t.bid, t.ask, t.last) for t in tickers] == [
        ("ETH/USDT", "100.00000000", "101.00000000", "100.50000000"),
        ("BTC/USDT", "100.00000000", "101.00000000", "100.50000000"),
    ]


async def test_streamed_tickers_join_best_quotes_with_last_and_lose_no_newest(
    wire: BinanceWire, binance: BinanceExchange
) -> None:
    stream = binance.stream_tickers(["BTC/USDT", "ETH/USDT"])
    reading = asyncio.ensure_future(collect(stream, _both_newest))
    await until(binance, lambda: len(wire.subscribed) == 4)
    await wire.push_ticker("BTCUSDT", "100.40000000")
    await wire.push_ticker("ETHUSDT", "10.40000000")
    for step in range(50):
        await wire.push_quote("BTCUSDT", f"{100 + step}.00000000", f"{101 + step}.00000000")
        await wire.push_quote("ETHUSDT", f"{10 + step}.00000000", f"{11 + step}.00000000")
    await wire.push_ticker("BTCUSDT", "100.50000000")
    await wire.push_ticker("ETHUSDT", "10.50000000")
    newest = {ticker.symbol: ticker for ticker in await reading}

    assert (newest["BTC/USDT"].ask, newest["BTC/USDT"].volume) == ("150.00000000", "7.00000000")
    assert newest["BTC/USDT"].bid_quantity == "1.50000000"
    assert wire.subscribed == []


async def test_best_quotes_come_without_a_time_of_the_exchange_and_are_stamped_here(
    wire: BinanceWire, binance: BinanceExchange
) -> None:
    reading = asyncio.ensure_future(collect(binance.stream_tickers(["BTC/USDT"]), bool))
    await until(binance, lambda: len(wire.subscribed) == 2)
    began_ns = time.time_ns()
    await wire.push_quote("BTCUSDT", "100.00000000", "101.00000000")
    (ticker,) = await reading

    assert (ticker.bid, ticker.ask, ticker.last, ticker.event_ns) == ("100.00000000", "101.00000000", None, None)
    assert ticker.received_ns >= began_ns


def _both_newest(seen: list[Ticker]) -> bool:
    told = {(t.symbol, t.bid, t.last) for t in seen}
    return told >= {("BTC/USDT", "149.00000000", "100.50000000"), ("ETH/USDT", "59.00000000", "10.50000000")}


async def test_streamed_and_fetched_trades_carry_the_same_numbers(wire: BinanceWire, binance: BinanceExchange) -> None:
    stream = binance.stream_trades("BTC/USDT")
    reading = asyncio.ensure_future(collect(stream, lambda seen: len(seen) >= 1_647))
    await until(binance, lambda: bool(wire.subscribed))
    for number in range(1, 1_648):
        await wire.push_trade("BTCUSDT", number=number, at_ms=START_MS + number // 10)
    streamed = await reading
    fetched: list[MarketTrade] = []
    while page := await binance.fetch_trades(
        "BTC/USDT", since_ns=fetched[-1].event_ns + 1_000_000 if fetched else START_MS * 1_000_000, limit=333
    ):
        fetched += page

    assert [(t.trade_id, t.event_ns, t.price, t.quantity) for t in streamed] == [
        (str(number), (START_MS + number // 10) * 1_000_000, "100.00000000", "0.00012300") for number in range(1, 1_648)
    ]
    assert [t.trade_id for t in fetched] == [t.trade_id for t in streamed]


async def test_a_page_of_one_single_millisecond_goes_on_by_number(wire: BinanceWire, binance: BinanceExchange) -> None:
    for number in range(1, 2_501):
        wire.trade("BTCUSDT", number=number)
    wire.trade("BTCUSDT", number=2_501, at_ms=START_MS + 1)

    trades = await binance.fetch_trades("BTC/USDT", since_ns=START_MS * 1_000_000, limit=1_000)

    assert [int(trade.trade_id) for trade in trades][:2_500] == list(range(1, 2_501))


async def test_months_without_a_trade_are_passed_over_in_few_requests(wire: BinanceWire, binance: BinanceExchange) -> None:
    wire.trade("BTCUSDT", number=1, at_ms=START_MS + 5_000 * 3_600_000)

    trades = await binance.fetch_trades("BTC/USDT", since_ns=START_MS * 1_000_000, limit=10)
    none = await binance.fetch_trades("BTC/USDT", since_ns=time.time_ns() - 60_000_000_000, limit=10)

    assert ([trade.trade_id for trade in trades], none) == (["1"], [])
    assert len([request for request in wire.requests if request != "GET exchangeInfo"]) <= 5


async def test_a_lost_trade_ends_the_stream(wire: BinanceWire, binance: BinanceExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.exchanges.trade_sieve.MISSING_S", 0.0)
    reading = asyncio.ensure_future(collect(binance.stream_trades("BTC/USDT"), lambda _: False))
    await until(binance, lambda: bool(wire.subscribed))
    for number in (1, 3, 4, 5):
        await wire.push_trade("BTCUSDT", number=number)
        await binance.fetch_tickers(["BTC/USDT"])

    with pytest.raises(ExchangeUnavailable, match="1 trades of BTC/USDT are missing, the first is 2"):
        await reading


async def test_candles_change_and_become_final_when_the_next_opens(wire: BinanceWire, binance: BinanceExchange) -> None:
    opened_ms = START_MS // 60_000 * 60_000
    reading = asyncio.ensure_future(collect(binance.stream_candles("BTC/USDT"), lambda seen: len(seen) >= 3))
    await until(binance, lambda: bool(wire.subscribed))
    await wire.push_kline("BTCUSDT", opened_ms, "101.00")
    await binance.fetch_tickers(["BTC/USDT"])
    await wire.push_kline("BTCUSDT", opened_ms + 60_000, "102.00")
    candles = await reading
    for number, after_ms in ((1, 0), (2, 59_000), (3, 60_000)):
        wire.trade("BTCUSDT", number=number, price=f"10{number}.00000000", at_ms=opened_ms + after_ms)
    fetched = await binance.fetch_candles("BTC/USDT", Timeframe.MINUTE_1, since_ns=opened_ms * 1_000_000, limit=10)

    assert [(c.opened_ns // 1_000_000 - opened_ms, c.close, c.volume, c.final) for c in candles] == [
        (0, "101.00", "0.12300000", False),
        (0, "101.00", "0.12300000", True),
        (60_000, "102.00", "0.12300000", False),
    ]
    assert [(c.opened_ns // 1_000_000 - opened_ms, c.open, c.high, c.close, c.volume, c.final) for c in fetched] == [
        (0, "101.00000000", "102.00000000", "102.00000000", "0.00024600", True),
        (60_000, "103.00000000", "103.00000000", "103.00000000", "0.00012300", True),
    ]


async def test_an_order_is_placed_seen_filled_in_parts_and_found_again(wire: BinanceWire, binance: BinanceExchange) -> None:
    orders, fills, balances = binance.stream_orders(), binance.stream_fills(), binance.stream_balances(3)
    assert (await anext(orders), await anext(fills)) == ([], [])
    first = {balance.currency: balance for balance in await anext(balances)}
    placed = await binance.place_order(BUY)
    await until(binance, lambda: bool(wire.users))
    states, own = asyncio.ensure_future(_until_filled(orders)), asyncio.ensure_future(_next_two(fills))
    number = int(placed.ex_order_id)
    await wire.push_execution(number, kind="NEW", status="NEW")
    await wire.push_execution(number, kind="TRADE", status="PARTIALLY_FILLED", last="0.20000000", trade=1)
    await wire.push_execution(number, kind="TRADE", status="FILLED", last="0.30000000", trade=2)
    wire.balances["BTC"] = (Decimal(2), Decimal(0))
    await wire.push_balances("BTC")

    assert (first["USDT"].total, first["USDT"].free, first["USDT"].used) == (Decimal(1000), Decimal(900), Decimal(100))
    assert await states == (placed.ex_order_id, "mine-1", "BTC/USDT", Decimal("0.5"), Decimal("0.5"))
    assert await own == [("1", Decimal("0.2"), "USDT"), ("2", Decimal("0.3"), "USDT")]
    assert {b.currency: b.total for b in await anext(balances)} == {"BTC": Decimal(2), "USDT": Decimal(1000)}
    assert [f.ex_trade_id for f in await binance.fetch_fills(since_ns=0)] == ["1", "2"]
    assert [s and s.status for s in await binance.fetch_orders([placed.ex_order_id])] == [OrderStatus.FILLED]
    for stream in (orders, fills, balances):
        await stream.aclose()


async def _until_filled(stream: AsyncGenerator[list[OrderState]]) -> tuple[object, ...]:
    async for batch in stream:
        for state in batch:
            if state.status is OrderStatus.FILLED:
                return state.ex_order_id, state.client_order_id, state.symbol, state.quantity, state.filled
    raise AssertionError("the stream ended")


async def _next_two(stream: AsyncGenerator[list[Fill]]) -> list[tuple[str, Decimal, str | None]]:
    seen: list[tuple[str, Decimal, str | None]] = []
    async for batch in stream:
        seen += [(fill.ex_trade_id, fill.quantity, fill.fee_currency) for fill in batch]
        if len(seen) == 2:
            return seen
    raise AssertionError("the stream ended")


async def test_an_order_is_looked_up_by_its_symbol_or_refused(wire: BinanceWire, binance: BinanceExchange) -> None:
    placed = await binance.place_order(BUY)
    canceled = await binance.cancel_order(placed.ex_order_id, "BTC/USDT")
    other = open_exchange("binance", base_url=wire.url, credentials=(KEY, SECRET))
    assert isinstance(other, BinanceExchange)

    assert canceled.status is OrderStatus.CANCELED
    with pytest.raises(ExchangeRefused, match="only with its symbol"):
        await other.fetch_orders([placed.ex_order_id])
    found = await other.fetch_orders([placed.ex_order_id, "99"], symbols=["BTC/USDT", "BTC/USDT"])
    assert [state and state.ex_order_id for state in found] == [placed.ex_order_id, None]
    await other.aclose()


async def test_too_little_money_is_refused_and_wrong_credentials_are_denied(wire: BinanceWire, binance: BinanceExchange) -> None:
    with pytest.raises(ExchangeRefused, match="insufficient balance"):
        await binance.place_order(
            OrderRequest(symbol="BTC/USDT", side=Side.BUY, order_type=OrderType.MARKET, quantity=Decimal(500))
        )
    for credentials in (("nobody", SECRET), (KEY, "wrong")):
        forged = open_exchange("binance", base_url=wire.url, credentials=credentials)
        with pytest.raises(ExchangeDenied):
            await forged.fetch_balances(1)
        await forged.aclose()
    assert wire.orders == {}


async def test_a_dropped_socket_and_a_quiet_one_end_their_streams(wire: BinanceWire, binance: BinanceExchange) -> None:
    reading = asyncio.ensure_future(collect(binance.stream_trades("BTC/USDT"), lambda _: False))
    await until(binance, lambda: bool(wire.subscribed))
    for socket in list(wire.sockets):
        await socket.close()
    with pytest.raises(ExchangeUnavailable):
        await reading

    binance.timeout_s = 3.0
    with pytest.raises(ExchangeUnavailable, match="sent nothing for"):
        await anext(binance.stream_trades("ETH/USDT"))
    await until(binance, lambda: wire.subscribed == [])


async def test_a_second_reader_of_a_stream_is_refused_and_the_first_one_lives(
    wire: BinanceWire, binance: BinanceExchange
) -> None:
    reading = asyncio.ensure_future(collect(binance.stream_trades("BTC/USDT"), lambda seen: len(seen) == 1))
    await until(binance, lambda: bool(wire.subscribed))
    with pytest.raises(ExchangeRefused, match="open another one"):
        async with aclosing(binance.stream_trades("BTC/USDT")) as second:
            await anext(second)
    await wire.push_trade("BTCUSDT", number=1)

    assert [trade.trade_id for trade in await reading] == ["1"]


@pytest.mark.parametrize(
    ("name", "base_url", "message"),
    [("bitmex", None, "no exchange 'bitmex'"), ("bybit", "http://127.0.0.1:1", "only kraken and binance")],
)
def test_an_exchange_we_cannot_speak_to_is_refused(name: str, base_url: str | None, message: str) -> None:
    with pytest.raises(ExchangeRefused, match=message):
        open_exchange(name, base_url=base_url)
