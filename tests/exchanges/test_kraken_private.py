"""An account at Kraken through our adapter, against the paper exchange."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from decimal import Decimal
from typing import TypeVar

import pytest
from msgspec import structs

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import ExchangeAdapter, OrderRequest, OrderState
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import OrderStatus, OrderType, Side

T = TypeVar("T")

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
SOURCE = GeneratedSource(seed=11, history_hours=0.2, updates_per_s=40.0)
BUY = OrderRequest(symbol="BTC/USD", side=Side.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.05"))
REST = OrderRequest(
    symbol="BTC/USD",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal("0.01"),
    price=Decimal("90000.0"),
    client_order_id="mine-1",
)


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=SOURCE)) as opened:
        opened.add_account(KEY, SECRET, {"USD": "100000", "BTC": "1.5"})
        yield opened


@pytest.fixture
async def kraken(paper: PaperExchange) -> AsyncIterator[ExchangeAdapter]:
    adapter = open_exchange("kraken", base_url=paper.url, credentials=(KEY, SECRET))
    yield adapter
    await adapter.aclose()


async def collect(stream: AsyncGenerator[list[T], None], enough: Callable[[list[T]], bool]) -> list[T]:
    """Everything a stream yields until it is enough; then the stream is closed."""
    seen: list[T] = []
    async with asyncio.timeout(60), aclosing(stream) as batches:
        async for batch in batches:
            seen += batch
            if enough(seen):
                break
    return seen


async def test_a_placed_order_is_found_open_by_its_client_id_and_is_canceled(kraken: ExchangeAdapter) -> None:
    placed = await kraken.place_order(REST)
    opened = await kraken.fetch_open_orders()
    canceled = await kraken.cancel_order(placed.ex_order_id, "BTC/USD")

    assert [(o.ex_order_id, o.client_order_id, o.status, o.quantity, o.price) for o in opened] == [
        (placed.ex_order_id, "mine-1", OrderStatus.OPEN, Decimal("0.01"), Decimal("90000"))
    ]
    assert (canceled.status, canceled.filled) == (OrderStatus.CANCELED, Decimal(0))


async def test_fills_fetched_and_streamed_are_the_same_and_sum_to_the_order(kraken: ExchangeAdapter) -> None:
    stream = kraken.stream_fills()
    assert await anext(stream) == []  # Subscribed, and nothing was filled.
    placed = await kraken.place_order(BUY)
    streamed = await collect(stream, lambda seen: sum(fill.quantity for fill in seen) == BUY.quantity)
    fetched = await kraken.fetch_fills(since_ns=0)

    assert {fill.ex_order_id for fill in fetched} == {placed.ex_order_id}
    assert sum(fill.quantity for fill in fetched) == Decimal("0.05")
    assert [(f.ex_trade_id, f.quantity, Decimal(f.price), f.cost, f.fee, f.fee_currency, f.event_ns) for f in streamed] == [
        (f.ex_trade_id, f.quantity, Decimal(f.price), f.cost, f.fee, f.fee_currency, f.event_ns) for f in fetched
    ]


async def test_more_fills_than_a_page_are_all_fetched_once(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    account = paper.accounts[KEY]
    while len(account.fills) < 120:
        paper.matching.place(account, {"pair": "XBTUSD", "type": "sell", "ordertype": "market", "volume": "0.0001"})
        paper.matching.place(account, {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.0001"})

    fills = await kraken.fetch_fills(since_ns=0)

    assert sorted(fill.ex_trade_id for fill in fills) == sorted(account.fills)


async def test_balances_tell_what_open_orders_hold_back(kraken: ExchangeAdapter) -> None:
    async with asyncio.timeout(60), aclosing(kraken.stream_balances(7)) as batches:
        first = {balance.currency: balance for balance in await anext(batches)}
        await kraken.place_order(REST)
        async for batch in batches:
            after = {balance.currency: balance for balance in batch}
            if after["USD"].used:
                break

    assert (first["USD"].ex_id, first["USD"].total, first["USD"].free) == (7, Decimal(100000), Decimal(100000))
    assert (after["USD"].total, after["USD"].used, after["USD"].free) == (
        Decimal(100000), Decimal("903.6"), Decimal("99096.4"),
    )  # fmt: skip


async def test_orders_asked_together_keep_their_places_and_unknown_ones_are_none(kraken: ExchangeAdapter) -> None:
    placed = await kraken.place_order(REST)

    states = await kraken.fetch_orders(["OZZZZZ-ZZZZZ-ZZZZZZ", placed.ex_order_id])

    assert [None if state is None else state.ex_order_id for state in states] == [None, placed.ex_order_id]
    assert await kraken.fetch_orders(["OZZZZZ-ZZZZZ-ZZZZZZ"]) == [None]


async def test_an_order_stream_names_every_step_with_symbol_and_quantity(kraken: ExchangeAdapter) -> None:
    def ended(seen: list[OrderState]) -> bool:
        return bool(seen) and seen[-1].status is OrderStatus.FILLED

    stream = kraken.stream_orders()
    assert await anext(stream) == []  # Subscribed, and nothing is open.
    placed = await kraken.place_order(BUY)
    states = await collect(stream, ended)

    assert {(s.ex_order_id, s.symbol, s.side, s.quantity) for s in states} == {
        (placed.ex_order_id, "BTC/USD", Side.BUY, Decimal("0.05"))
    }
    assert states[-1].filled == Decimal("0.05")
    assert states[-1].average_price is not None


async def test_wrong_credentials_are_denied_and_too_little_money_is_refused(
    paper: PaperExchange, kraken: ExchangeAdapter
) -> None:
    forged = open_exchange("kraken", base_url=paper.url, credentials=(KEY, base64.b64encode(b"x").decode()))
    with pytest.raises(ExchangeDenied, match="EAPI:Invalid signature"):
        await forged.fetch_balances(1)
    await forged.aclose()

    with pytest.raises(ExchangeRefused, match="EOrder:Insufficient funds"):
        await kraken.place_order(structs.replace(BUY, quantity=Decimal(50)))
    assert paper.accounts[KEY].orders == {}


async def follow_fills(adapter: ExchangeAdapter, seen: list[str], opened: asyncio.Event) -> None:
    """As a service does: a stream that ends is opened again. `opened` tells that it told something."""
    while True:
        try:
            async for fills in adapter.stream_fills():
                opened.set()
                seen += [fill.ex_trade_id for fill in fills]
        except ExchangeUnavailable:
            await asyncio.sleep(0.05)


async def come(seen: list[str], paper: PaperExchange) -> None:
    """Until every fill of the exchange has come."""
    async with asyncio.timeout(60):
        while set(seen) != set(paper.accounts[KEY].fills):
            await asyncio.sleep(0.02)


async def test_who_waited_behind_a_failed_subscription_subscribes_anew(paper: PaperExchange, kraken: ExchangeAdapter) -> None:
    """Orders and fills come by one channel: the second reader must not take the first one's failure for a subscription."""
    await kraken.load_markets()
    seen: list[str] = []
    paper.faults.refuse = True

    async def follow_orders() -> None:
        async for _ in kraken.stream_orders():
            pass

    first = asyncio.create_task(follow_orders())
    second = asyncio.create_task(follow_fills(kraken, seen, asyncio.Event()))
    with pytest.raises(ExchangeUnavailable):
        await first
    paper.faults.refuse = False
    await kraken.place_order(BUY)
    try:
        await come(seen, paper)
    finally:
        second.cancel()


async def test_who_comes_back_before_another_has_noticed_the_loss_subscribes_anew(
    paper: PaperExchange, kraken: ExchangeAdapter
) -> None:
    await kraken.load_markets()
    seen: list[str] = []
    opened, busy, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def follow_orders() -> None:
        async for _ in kraken.stream_orders():
            busy.set()
            await done.wait()

    first = asyncio.create_task(follow_orders())
    second = asyncio.create_task(follow_fills(kraken, seen, opened))
    try:
        async with asyncio.timeout(60):
            while not busy.is_set():  # Until both are subscribed and the first one is at work.
                await kraken.place_order(BUY)
                await asyncio.sleep(0.1)
            await opened.wait()
        paper.faults.drop_sockets()
        await asyncio.sleep(0.2)
        await kraken.place_order(BUY)
        await come(seen, paper)
    finally:
        done.set()
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
