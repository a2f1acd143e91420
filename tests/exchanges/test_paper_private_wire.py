"""The private wire of the paper exchange, used by an unmodified `ccxt.pro.kraken`."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable
from decimal import Decimal
from typing import Any, TypeVar

import ccxt
import ccxt.pro
import pytest

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.opening import kraken_urls
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from tests.exchanges.still_market import StillSource, event, happen

T = TypeVar("T")

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
OTHER_SECRET = base64.b64encode(b"o" * 64).decode()
BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01"}
SOURCE = GeneratedSource(seed=11, history_hours=0.2, updates_per_s=40.0)


@pytest.fixture
async def paper() -> AsyncIterator[PaperExchange]:
    async with open_paper(PaperOptions(source=SOURCE)) as opened:
        opened.add_account(KEY, SECRET, {"USD": "100000", "BTC": "1.5"})
        yield opened


@pytest.fixture
async def kraken(paper: PaperExchange) -> AsyncIterator[Any]:
    exchange = ccxt.pro.kraken(
        {"apiKey": KEY, "secret": SECRET, "number": str, "enableRateLimit": False, "urls": {"api": kraken_urls(paper.url)}}
    )
    yield exchange
    await exchange.close()


async def within(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(60):
        return await answer


async def subscribed_to_executions(paper: PaperExchange, kraken: Any) -> None:
    async with asyncio.timeout(60):
        while ("executions", KEY, "") not in paper.hub.topics:
            await kraken.fetch_time()


async def test_a_market_order_walks_the_book_and_moves_exactly_its_cost_and_fee(paper: PaperExchange, kraken: Any) -> None:
    placed = await kraken.create_order("BTC/USD", "market", "buy", "0.05")
    order = await kraken.fetch_order(placed["id"])
    trades = await kraken.fetch_my_trades()
    balance = await kraken.fetch_balance()

    assert (order["status"], order["filled"]) == ("closed", "0.05000000")
    cost = sum(Decimal(trade["price"]) * Decimal(trade["amount"]) for trade in trades)
    fee = sum(Decimal(trade["fee"]["cost"]) for trade in trades)
    assert sum(Decimal(trade["amount"]) for trade in trades) == Decimal("0.05")
    assert fee == sum((Decimal(t["price"]) * Decimal(t["amount"]) * Decimal("0.004")).quantize(Decimal("1E-8")) for t in trades)
    assert Decimal(balance["total"]["BTC"]) == Decimal("1.55")
    assert Decimal(balance["total"]["USD"]) == Decimal(100000) - cost - fee


async def test_a_limit_order_rests_holds_its_cost_and_is_canceled(kraken: Any) -> None:
    placed = await kraken.create_order("BTC/USD", "limit", "buy", "0.01", "90000", {"clientOrderId": "mine-1"})
    opened = await kraken.fetch_open_orders()
    held = (await kraken.fetch_balance())["used"]["USD"]
    await kraken.cancel_order(placed["id"])
    closed = await kraken.fetch_closed_orders()

    assert [(order["id"], order["clientOrderId"], order["price"], order["amount"]) for order in opened] == [
        (placed["id"], "mine-1", "90000.0", "0.01000000")
    ]
    assert Decimal(held) == Decimal("903.6")  # 0.01 x 90,000 and a fee of 0.4 %
    assert [(order["id"], order["status"]) for order in closed] == [(placed["id"], "canceled")]
    assert (await kraken.fetch_open_orders(), (await kraken.fetch_balance())["used"]["USD"]) == ([], "0")


async def test_a_resting_order_is_filled_at_its_price_by_the_maker_fee_when_the_market_comes() -> None:
    async with open_paper(PaperOptions(source=StillSource())) as paper:
        account = paper.add_account(KEY, SECRET, {"USD": "100000"})
        order = paper.matching.place(account, BUY | {"price": "99.5"})
        waiting = paper.matching.place(account, BUY | {"price": "99.4"})
        happen(paper, event(number=2, price="99.4", quantity="0.01200000", side="sell"))

    fills = [(fill.order_id, fill.ticks, fill.lots, fill.cost, fill.fee, fill.maker) for fill in account.fills.values()]
    assert fills == [  # The better price first, and only as much as was traded.
        (order.order_id, 995, 1_000_000, Decimal("0.995"), Decimal("0.00248750"), True),
        (waiting.order_id, 994, 200_000, Decimal("0.1988"), Decimal("0.00049700"), True),
    ]
    assert (order.status, waiting.status, waiting.left) == ("filled", "partially_filled", 800_000)
    assert account.balances == {
        "ZUSD": Decimal(100000) - Decimal("0.995") - Decimal("0.1988") - Decimal("0.0029845"),
        "XXBT": Decimal("0.012"),
    }


async def test_quotes_that_cross_a_resting_order_fill_it_at_its_own_price() -> None:
    async with open_paper(PaperOptions(source=StillSource())) as paper:
        account = paper.add_account(KEY, SECRET, {"BTC": "1"})
        order = paper.matching.place(account, BUY | {"type": "sell", "price": "101.0"})
        assert order.status == "new"
        happen(paper, event(bid=1015))

    assert [(fill.ticks, fill.lots, fill.maker) for fill in account.fills.values()] == [(1010, 1_000_000, True)]


async def test_stock_ccxt_watches_orders_fills_and_balances_over_signed_sockets(paper: PaperExchange, kraken: Any) -> None:
    balance = await within(kraken.watch_balance())
    waiting = [asyncio.ensure_future(watch()) for watch in (kraken.watch_orders, kraken.watch_my_trades, kraken.watch_balance)]
    await subscribed_to_executions(paper, kraken)
    placed = await kraken.create_order("BTC/USD", "market", "sell", "0.5")
    states, fills, after = await within(asyncio.gather(*waiting))

    assert balance["total"] == {"USD": "100000", "BTC": "1.5"}
    assert states[0]["id"] == placed["id"]
    assert {fill["order"] for fill in fills} == {placed["id"]}
    assert Decimal(after["total"]["BTC"]) < Decimal("1.5")


async def test_orders_placed_amended_and_canceled_over_the_socket(paper: PaperExchange, kraken: Any) -> None:
    placed = await within(kraken.create_order_ws("BTC/USD", "limit", "sell", "0.01", "200000"))
    await within(kraken.edit_order_ws(placed["id"], "BTC/USD", "limit", "sell", "0.02", "210000"))
    amended = (await kraken.fetch_open_orders())[0]
    await within(kraken.cancel_order_ws(placed["id"]))

    assert (amended["amount"], amended["price"]) == ("0.02000000", "210000.0")
    assert paper.accounts[KEY].orders[placed["id"]].status == "canceled"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("BTC/USD", "market", "buy", "5"), ccxt.InsufficientFunds),
        (("BTC/USD", "limit", "buy", "0.00001", "90000"), ccxt.InvalidOrder),
        (("BTC/USD", "limit", "sell", "2", "90000"), ccxt.InsufficientFunds),
    ],
)
async def test_a_bad_order_is_refused_in_krakens_words_and_changes_nothing(
    paper: PaperExchange, kraken: Any, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await kraken.create_order(*arguments)

    account = paper.accounts[KEY]
    assert (account.orders, account.fills) == ({}, {})
    assert account.balances == {"ZUSD": Decimal("100000"), "XXBT": Decimal("1.5")}


async def test_a_wrong_signature_an_unknown_key_and_an_old_nonce_are_refused(paper: PaperExchange, kraken: Any) -> None:
    await kraken.fetch_balance()
    kraken.nonce = lambda: 1
    kraken.incrementing_nonce = lambda: 1
    with pytest.raises(ccxt.InvalidNonce):
        await kraken.fetch_balance()
    kraken.secret = OTHER_SECRET
    with pytest.raises(ccxt.ExchangeError, match="EAPI:Invalid signature"):
        await kraken.fetch_balance()
    kraken.apiKey = "nobody"
    with pytest.raises(ccxt.AuthenticationError, match="EAPI:Invalid key"):
        await kraken.fetch_balance()


async def test_an_account_needs_a_base64_secret_and_assets_that_exist(paper: PaperExchange) -> None:
    with pytest.raises(BadUserInput, match="base64"):
        paper.add_account("x", "not base64!", {})
    with pytest.raises(BadUserInput, match="no asset 'DUST'"):
        paper.add_account("x", SECRET, {"DUST": "1"})
