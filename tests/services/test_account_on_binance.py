"""The account service on Binance's wire: orders, fills and balances by stream, and over REST what a dead socket missed.

REST is read once an hour here, so what comes in between came by stream, or by the reading after a reconnect.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import pytest

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.bus import account_topic
from fullon_master_api.model import Balances, ExchangeAccount, Order, OrderStatus, ServiceName, Trade
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.resources import Resources
from tests.exchanges.binance_wire import BinanceWire, open_binance
from tests.services.stage import list_symbols, open_platform, running, until

KEY, SECRET = "binance-key", "binance-secret"
SYMBOL = "BTC/USDT"
WAIT_S = 90.0


@dataclass
class Stage:
    resources: Resources
    wire: BinanceWire
    account: ExchangeAccount

    def serving(self) -> AbstractAsyncContextManager[FeedBoard]:
        return running(self.resources, ServiceName.ACCOUNT, partial(AccountService, self.resources))

    async def place(self, **values: object) -> Order:
        given = {"ex_id": self.account.ex_id, "uid": self.account.uid, "symbol": SYMBOL, "dry_run": False}
        return await self.resources.orm.orders.place(None, given | values)

    async def comes_to(self, order: Order, status: OrderStatus) -> Order:
        async def there() -> Order | None:
            found = (await self.resources.orm.orders.get_many([order.order_id], None))[0]
            return found if found is not None and found.status is status else None

        found = await until(there, within_s=WAIT_S)
        assert found is not None
        return found

    async def listening(self) -> None:
        """Until the user-data stream is subscribed and everything was read over REST."""
        await until(self._listening, within_s=WAIT_S)

    async def _listening(self) -> bool:
        return bool(self.wire.users) and bool((await self.resources.cache.accounts.get_balances([self.account.ex_id]))[0])

    async def deaf(self) -> bool:
        return not self.wire.users

    async def balance_comes_to(self, currency: str, total: Decimal) -> None:
        async def there() -> bool:
            found = (await self.resources.cache.accounts.get_balances([self.account.ex_id]))[0]
            return {balance.currency: balance.total for balance in found}.get(currency) == total

        await until(there, within_s=WAIT_S)

    async def trades(self, order: Order) -> list[Trade]:
        return (await self.resources.orm.trades.of_orders([order.order_id], None))[0]

    async def fills_come_to(self, order: Order, count: int) -> list[Trade]:
        async def there() -> bool:
            return len(await self.trades(order)) == count

        await until(there, within_s=WAIT_S)
        return await self.trades(order)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    vault = base64.urlsafe_b64encode(b"k" * 32).decode()
    waits = {"account_reconnect_delay": 0.5, "account_poll_interval": 3600.0}
    async with open_binance(KEY, SECRET) as wire:
        wire.now_ms = time.time_ns() // 1_000_000
        wire.balances = {"BTC": (Decimal(2), Decimal(0)), "ETH": (Decimal(3), Decimal(0)), "USDT": (Decimal(1000), Decimal(0))}
        async with open_platform(tmp_path, exchange_urls={"binance": wire.url}, credentials_key=vault, **waits) as resources:
            await list_symbols(resources, [SYMBOL, "ETH/USDT", "GONE/USDT"], exchange="binance")
            exchange = (await resources.orm.exchanges.by_names(["binance"]))[0]
            assert exchange is not None
            user = await resources.orm.users.add(None, {"mail": "trader@fullon", "name": "T"}, password_hash="x")
            values = {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"}
            account = await resources.orm.accounts.add(None, values, secrets=Secrets(key=KEY, secret=SECRET))
            yield Stage(resources, wire, account)


async def test_an_order_its_fills_and_the_balances_come_by_stream(stage: Stage) -> None:
    wire, ex_id = stage.wire, stage.account.ex_id
    async with stage.serving() as board:
        kinds = {f"binance:{ex_id}:{kind}" for kind in ("account", "orders", "fills", "balances")}

        async def all_began() -> bool:
            return {feed.feed for feed in board.health() if feed.messages} == kinds

        await until(all_began, within_s=WAIT_S)
        for _ in range(2):  # Sent one after another with the readings that the streams asked for at their start.
            first = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal(20))
            await stage.comes_to(first, OrderStatus.OPEN)
        order = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal("100.009"))
        opened = await stage.comes_to(order, OrderStatus.OPEN)
        number = int(opened.ex_order_id or "")
        assert (wire.orders[number]["price"], wire.orders[number]["origQty"]) == ("100", "0.5")  # by the market's steps
        requests = len(wire.requests)
        await wire.execute(number, "0.20000000", "99.99000000")
        part = await stage.comes_to(order, OrderStatus.PARTIALLY_FILLED)
        await stage.balance_comes_to("BTC", Decimal("2.2"))
        await wire.execute(number, "0.30000000", "100.00000000")
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        await stage.balance_comes_to("BTC", Decimal("2.5"))
        await stage.balance_comes_to("USDT", Decimal("950.002"))
        trades = sorted(await stage.trades(order), key=lambda trade: trade.time)
        assert wire.requests[requests:] == []
    assert (part.final_volume, part.average_price) == (Decimal("0.2"), Decimal("99.99"))
    assert (filled.final_volume, filled.average_price) == (Decimal("0.5"), Decimal("99.996"))
    assert [(trade.ex_trade_id, trade.volume, trade.price, trade.cost, trade.fee, trade.fee_currency) for trade in trades] == [
        ("1", Decimal("0.2"), Decimal("99.99"), Decimal("19.998"), Decimal("0.00001"), "USDT"),
        ("2", Decimal("0.3"), Decimal(100), Decimal(30), Decimal("0.00001"), "USDT"),
    ]
    events = await stage.resources.orm.events.read_after(account_topic(ex_id), 0, 100)
    told = [msgspec.json.decode(event.payload, type=Balances) for event in events if event.kind == "balances"]
    assert [{row.currency: row.total for row in record.balances} for record in told] == [
        {"BTC": Decimal(2), "ETH": Decimal(3), "USDT": Decimal(1000)},
        {"BTC": Decimal("2.2"), "ETH": Decimal(3), "USDT": Decimal("980.002")},
        {"BTC": Decimal("2.5"), "ETH": Decimal(3), "USDT": Decimal("950.002")},
    ]
    (trail,) = await stage.resources.orm.balance_history.of_accounts([ex_id], None)
    assert [(line.currency, line.balance) for line in reversed(trail.rows)] == [
        ("BTC", Decimal(2)), ("ETH", Decimal(3)), ("USDT", Decimal(1000)),
        ("BTC", Decimal("2.2")), ("USDT", Decimal("980.002")), ("BTC", Decimal("2.5")), ("USDT", Decimal("950.002")),
    ]  # fmt: skip
    async with stage.serving():
        await stage.listening()
    (after,) = await stage.resources.orm.balance_history.of_accounts([ex_id], None)
    assert after.rows == trail.rows


async def test_fast_changes_are_merged_by_the_order_stream_and_no_fill_is_lost(stage: Stage) -> None:
    """ccxt keeps an order's newest state: a partial fill may never be told as one. Its fill is."""
    async with stage.serving():
        await stage.listening()
        order = await stage.place(side="sell", order_type="limit", volume=Decimal(1), price=Decimal(100))
        number = int((await stage.comes_to(order, OrderStatus.OPEN)).ex_order_id or "")
        await stage.listening()
        for _ in range(10):
            await stage.wire.execute(number, "0.10000000", "100.00000000")
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        trades = await stage.fills_come_to(order, 10)
    assert filled.final_volume == Decimal(1)
    assert sorted(int(trade.ex_trade_id) for trade in trades) == list(range(1, 11))


async def test_a_market_order_that_fills_before_it_is_answered_finds_its_row(stage: Stage) -> None:
    async with stage.serving():
        await stage.listening()
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.25"))
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        trades = await stage.fills_come_to(order, 1)
    assert (filled.final_volume, filled.average_price) == (Decimal("0.25"), Decimal(100))
    assert [trade.order_id for trade in trades] == [order.order_id]
    assert len(stage.wire.orders) == 1


async def test_what_happened_without_a_socket_is_read_over_rest_after_the_reconnect(stage: Stage) -> None:
    async with stage.serving():
        await stage.listening()
        resting = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal(90))
        number = int((await stage.comes_to(resting, OrderStatus.OPEN)).ex_order_id or "")
        await stage.listening()
        stage.wire.refuse = True
        stage.wire.drop_sockets()
        await until(stage.deaf, within_s=WAIT_S)
        await stage.wire.execute(number, "0.50000000", "90.00000000")
        by_hand = stage.wire.order_by_hand("ETHUSDT", "SELL", "1.00000000", "10.00000000")
        await stage.wire.execute(by_hand, "1.00000000", "10.00000000")
        stage.wire.refuse = False
        filled = await stage.comes_to(resting, OrderStatus.FILLED)
        await stage.balance_comes_to("BTC", Decimal("2.5"))

        async def adopted() -> Order | None:
            found = await stage.resources.orm.orders.by_exchange_ids(stage.account.ex_id, [str(by_hand)], None)
            return found[0] if found[0] is not None and found[0].status is OrderStatus.FILLED else None

        foreign = await until(adopted, within_s=WAIT_S)
    assert filled.final_volume == Decimal("0.5")
    assert foreign is not None
    assert (foreign.symbol, foreign.volume) == ("ETH/USDT", Decimal(1))
    assert [trade.ex_trade_id for trade in await stage.trades(foreign)] == ["2"]


async def test_an_order_canceled_here_or_at_the_exchange_is_canceled(stage: Stage) -> None:
    async with stage.serving():
        await stage.listening()
        orders = [
            await stage.place(side="buy", order_type="limit", volume=Decimal(1), price=Decimal(price)) for price in (50, 60)
        ]
        ours, theirs = [await stage.comes_to(order, OrderStatus.OPEN) for order in orders]
        await stage.listening()
        await stage.resources.orm.orders.cancel(ours.order_id, None)
        await stage.comes_to(ours, OrderStatus.CANCELED)
        await stage.wire.push_execution(int(theirs.ex_order_id or ""), kind="CANCELED", status="CANCELED")
        await stage.comes_to(theirs, OrderStatus.CANCELED)
    assert {order["status"] for order in stage.wire.orders.values()} == {"CANCELED"}
