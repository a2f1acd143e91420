"""The account service: dry runs that stay at home, live orders sent once, fills that are the truth."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import pytest

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.tables_services import CommandState
from fullon_master_api.bus import account_topic
from fullon_master_api.exchanges.adapter import OrderRequest
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import (
    Balances,
    ExchangeAccount,
    Fence,
    Order,
    OrderStatus,
    OrderType,
    Positions,
    ServiceName,
    Side,
    Ticker,
)
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.live_account import sent_id
from fullon_master_api.services.resources import Resources
from tests.services.stage import list_symbols, locked, open_platform, running, until, without_streams

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
SYMBOL = "BTC/USD"
VAULT = base64.urlsafe_b64encode(b"k" * 32).decode()


@dataclass
class Stage:
    resources: Resources
    paper: PaperExchange
    account: ExchangeAccount

    async def place(self, **values: object) -> Order:
        given = {"ex_id": self.account.ex_id, "uid": self.account.uid, "symbol": SYMBOL, "dry_run": False}
        return await self.resources.orm.orders.place(None, given | values)

    async def order(self, order_id: int) -> Order:
        found = (await self.resources.orm.orders.get_many([order_id], None))[0]
        assert found is not None
        return found

    async def comes_to(self, order: Order, *statuses: OrderStatus) -> Order:
        async def there() -> Order | None:
            now = await self.order(order.order_id)
            return now if now.status in statuses else None

        found = await until(there)
        assert found is not None
        return found

    async def tick(self, bid: str, ask: str) -> None:
        ticker = Ticker(exchange="kraken", symbol=SYMBOL, bid=bid, ask=ask, last=bid, received_ns=time.time_ns())
        await self.resources.cache.tickers.set(ticker)

    @property
    def price(self) -> Decimal:
        """The paper exchange's last price."""
        last = self.paper.tapes[SYMBOL].last
        assert last is not None
        return Decimal(last.price)

    def serving(self) -> AbstractAsyncContextManager[FeedBoard]:
        return running(self.resources, ServiceName.ACCOUNT, partial(AccountService, self.resources))


@asynccontextmanager
async def staged(
    folder: Path, *, credentials: bool = True, secret: str = SECRET, ccxt_timeout: float = 10.0
) -> AsyncGenerator[Stage, None]:
    source = GeneratedSource(symbols=(SYMBOL,), history_hours=0.05, updates_per_s=20.0)
    async with open_paper(PaperOptions(source=source)) as paper:
        paper.add_account(KEY, SECRET, {"USD": "100000", "BTC": "2"})
        async with open_platform(
            folder,
            exchange_urls={"kraken": paper.url},
            account_reconnect_delay=0.5,
            account_poll_interval=0.5,
            credentials_key=VAULT,
            ccxt_timeout=ccxt_timeout,
        ) as resources:
            await list_symbols(resources, [SYMBOL])
            exchange = (await resources.orm.exchanges.by_names(["kraken"]))[0]
            assert exchange is not None
            user = await resources.orm.users.add(None, {"mail": "trader@fullon", "name": "T"}, password_hash="x")
            account = await resources.orm.accounts.add(
                None,
                {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"},
                secrets=Secrets(key=KEY, secret=secret) if credentials else None,
            )
            yield Stage(resources, paper, account)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with staged(tmp_path) as platform:
        yield platform


@pytest.fixture
async def dry(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with staged(tmp_path, credentials=False) as platform:
        yield platform


async def test_a_dry_run_order_fills_from_the_ticker_and_sends_nothing(dry: Stage) -> None:
    await dry.tick("49999.9", "50000.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="market", volume=Decimal("0.123456789"), dry_run=True)
        filled = await dry.comes_to(order, OrderStatus.FILLED)
        trades = (await dry.resources.orm.dry_trades.of_orders([order.order_id], None))[0]
    assert (filled.final_volume, filled.average_price) == (Decimal("0.12345678"), Decimal("50000"))
    assert [(trade.volume, trade.price, trade.cost, trade.side) for trade in trades] == [
        (Decimal("0.12345678"), Decimal("50000"), Decimal("6172.839"), Side.BUY)
    ]
    assert trades[0].fee > 0
    assert not dry.paper.accounts[KEY].orders
    assert not dry.paper.accounts[KEY].fills


async def test_a_dry_limit_order_waits_for_its_price_and_fills_at_it(dry: Stage) -> None:
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal("49000.07"), dry_run=True)
        await dry.comes_to(order, OrderStatus.OPEN)
        await dry.tick("49000.1", "49000.2")
        await dry.tick("48990.0", "48999.0")
        filled = await dry.comes_to(order, OrderStatus.FILLED)
    assert filled.average_price == Decimal("49000.0")


async def test_an_open_dry_order_outlives_its_service_and_can_be_canceled(dry: Stage) -> None:
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="sell", order_type="limit", volume=Decimal(1), price=Decimal(60000), dry_run=True)
        other = await dry.place(side="sell", order_type="limit", volume=Decimal(1), price=Decimal(55000), dry_run=True)
        await dry.comes_to(order, OrderStatus.OPEN)
        await dry.comes_to(other, OrderStatus.OPEN)
    async with dry.serving():
        await dry.resources.orm.orders.cancel(order.order_id, None)
        await dry.comes_to(order, OrderStatus.CANCELED)
        await dry.tick("60001.0", "60002.0")
        assert (await dry.comes_to(other, OrderStatus.FILLED)).average_price == Decimal(55000)
        assert (await dry.order(order.order_id)).status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"volume": Decimal("0.00000001"), "order_type": "market"}, "quantity was 0.00000001, must be at least"),
        ({"volume": Decimal("0.0001"), "order_type": "limit", "price": Decimal("0.1")}, "cost was 0.00001, must be at least"),
    ],
)
async def test_a_dry_order_below_the_minimums_is_rejected_with_the_reason(
    dry: Stage, values: dict[str, object], reason: str
) -> None:
    async with dry.serving():
        order = await dry.place(side="buy", dry_run=True, **values)
        rejected = await dry.comes_to(order, OrderStatus.REJECTED)
    assert rejected.reason.startswith(reason), rejected.reason


async def test_a_live_order_is_sent_filled_and_told(stage: Stage) -> None:
    resources, ex_id = stage.resources, stage.account.ex_id
    async with stage.serving() as board:
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"), client_order_id="mine-1")
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        assert filled.final_volume == Decimal("0.1")
        assert filled.ex_order_id is not None

        async def told() -> list[Positions]:
            events = await resources.orm.events.read_after(account_topic(ex_id), 0, 100)
            return [msgspec.json.decode(event.payload, type=Positions) for event in events if event.kind == "positions"]

        positions = (await until(told))[-1].positions
        trades = (await resources.orm.trades.of_orders([order.order_id], None))[0]
        assert sum(trade.volume for trade in trades) == Decimal("0.1")
        assert [(position.symbol, position.quantity) for position in positions] == [(SYMBOL, Decimal("0.1"))]
        assert (await resources.cache.accounts.get_positions([ex_id]))[0] == positions

        async def balance() -> Decimal | None:
            found = {balance.currency: balance for balance in (await resources.cache.accounts.get_balances([ex_id]))[0]}
            return found["BTC"].total if "BTC" in found and found["BTC"].total > 2 else None

        assert await until(balance) == Decimal("2.1")
        assert (await resources.cache.orders.get_many([(ex_id, filled.ex_order_id)]))[0] is not None
        assert {feed.feed for feed in board.health()} >= {f"kraken:{ex_id}:{kind}" for kind in ("account", "orders", "fills")}
    again = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"), client_order_id="mine-1")
    assert again.order_id == order.order_id
    assert len(stage.paper.accounts[KEY].orders) == 1


async def test_a_live_limit_order_rests_and_is_canceled_at_the_exchange(stage: Stage) -> None:
    async with stage.serving():
        low = (stage.price / 2).quantize(Decimal(1)) + Decimal("0.07")
        order = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=low)
        opened = await stage.comes_to(order, OrderStatus.OPEN)
        resting = next(iter(stage.paper.accounts[KEY].orders.values()))
        assert (resting.order_id, resting.status) == (opened.ex_order_id, "new")
        assert resting.ticks == int(low * 10)  # 0.07 is cut down to the step of 0.1
        await stage.resources.orm.orders.cancel(order.order_id, None)
        await stage.comes_to(order, OrderStatus.CANCELED)
        assert resting.status == "canceled"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"side": "sell", "order_type": "market", "volume": Decimal(3)}, "3 BTC are needed, 2 are free"),
        (
            {"side": "buy", "order_type": "limit", "volume": Decimal(50), "price": Decimal(20000)},
            "USD are needed, 100000 are free",
        ),
        ({"side": "buy", "order_type": "stop", "volume": Decimal(1), "price": Decimal(20000)}, "works in dry run only"),
    ],
)
async def test_what_the_account_cannot_pay_is_not_sent(stage: Stage, values: dict[str, object], reason: str) -> None:
    async with stage.serving():
        order = await stage.place(**values)
        rejected = await stage.comes_to(order, OrderStatus.REJECTED)
    assert reason in rejected.reason, rejected.reason
    assert not stage.paper.accounts[KEY].orders


async def test_balances_are_told_once_and_not_at_every_reading(stage: Stage) -> None:
    topic = account_topic(stage.account.ex_id)
    async with stage.serving() as board:

        async def read_three_times() -> bool:
            return any(feed.feed.endswith(":account") and feed.messages >= 3 for feed in board.health())

        await until(read_three_times)
        events = await stage.resources.orm.events.read_after(topic, 0, 100)
    told = [msgspec.json.decode(event.payload, type=Balances) for event in events if event.kind == "balances"]
    assert [{balance.currency: balance.total for balance in record.balances} for record in told] == [
        {"BTC": Decimal(2), "USD": Decimal(100000)}
    ]


async def test_denied_credentials_are_an_error_of_the_account_and_dry_runs_go_on(tmp_path: Path) -> None:
    wrong = base64.b64encode(b"w" * 64).decode()
    async with staged(tmp_path, secret=wrong) as stage:
        await stage.tick("50000.0", "50001.0")
        async with stage.serving() as board:

            async def denied() -> bool:
                return any(feed.feed.endswith(":account") and feed.error for feed in board.health())

            await until(denied)
            order = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"), dry_run=True)
            await stage.comes_to(order, OrderStatus.FILLED)


async def test_an_order_placed_elsewhere_is_adopted_with_its_fills(stage: Stage) -> None:
    async with stage.serving():

        async def serving() -> bool:
            return bool((await stage.resources.cache.accounts.get_balances([stage.account.ex_id]))[0])

        await until(serving)
        async with aclosing(stage.resources.open_exchange("kraken", (KEY, SECRET))) as adapter:
            request = OrderRequest(symbol=SYMBOL, side=Side.SELL, order_type=OrderType.MARKET, quantity=Decimal("0.25"))
            placed = await adapter.place_order(request)

        async def adopted() -> Order | None:
            found = (await stage.resources.orm.orders.by_exchange_ids(stage.account.ex_id, [placed.ex_order_id], None))[0]
            return found if found is not None and found.status is OrderStatus.FILLED else None

        order = await until(adopted)
        assert order is not None
        assert (order.final_volume, order.side, order.uid) == (Decimal("0.25"), Side.SELL, stage.account.uid)
        trades = (await stage.resources.orm.trades.of_orders([order.order_id], None))[0]
        assert sum(trade.volume for trade in trades) == Decimal("0.25")


async def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again(tmp_path: Path) -> None:
    async with staged(tmp_path, ccxt_timeout=1.0) as stage, stage.serving():
        await until(lambda: _synced(stage))
        low = (stage.price / 2).quantize(Decimal(1))
        stage.paper.faults.rest_delay_s = 1.5  # The exchange does it, and says so too late.
        order = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=low)

        async def arrived() -> bool:
            return bool(stage.paper.accounts[KEY].orders)

        await until(arrived)
        stage.paper.faults.clear()
        opened = await stage.comes_to(order, OrderStatus.OPEN)
        assert list(stage.paper.accounts[KEY].orders) == [opened.ex_order_id]


async def test_a_crash_after_sending_does_not_send_twice(stage: Stage) -> None:
    store = stage.resources.orm
    low = (stage.price / 2).quantize(Decimal(1))
    order = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=low)
    epochs = await store.services.claim([ServiceName.ACCOUNT.value], "crashed", 600.0)
    fence = Fence(service=ServiceName.ACCOUNT.value, epoch=epochs[ServiceName.ACCOUNT.value])
    assert [command.order_id for command in await store.commands.take(fence)] == [order.order_id]
    await store.orders.change(order.order_id, OrderChange(status=OrderStatus.PENDING), fence=fence)
    async with aclosing(stage.resources.open_exchange("kraken", (KEY, SECRET))) as adapter:
        request = OrderRequest(
            symbol=SYMBOL,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal("0.5"),
            price=low,
            client_order_id=sent_id(order),
        )
        placed = await adapter.place_order(request)
    await store.services.release("crashed", epochs)
    async with stage.serving():
        opened = await stage.comes_to(order, OrderStatus.OPEN)
        assert opened.ex_order_id == placed.ex_order_id
    assert list(stage.paper.accounts[KEY].orders) == [placed.ex_order_id]


async def test_a_command_that_was_begun_too_often_is_given_up(dry: Stage) -> None:
    store = dry.resources.orm
    order = await dry.place(side="buy", order_type="market", volume=Decimal("0.1"), dry_run=True)
    for _ in range(4):
        epochs = await store.services.claim([ServiceName.ACCOUNT.value], "crashed", 600.0)
        await store.commands.take(Fence(service=ServiceName.ACCOUNT.value, epoch=epochs[ServiceName.ACCOUNT.value]))
        await store.services.release("crashed", epochs)
    async with dry.serving():
        ended = await dry.comes_to(order, OrderStatus.ERROR)
        assert "not tried again" in ended.reason


async def test_a_crash_before_sending_sends_once(stage: Stage) -> None:
    store = stage.resources.orm
    order = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"))
    epochs = await store.services.claim([ServiceName.ACCOUNT.value], "crashed", 600.0)
    fence = Fence(service=ServiceName.ACCOUNT.value, epoch=epochs[ServiceName.ACCOUNT.value])
    await store.commands.take(fence)
    await store.services.release("crashed", epochs)
    async with stage.serving():
        await stage.comes_to(order, OrderStatus.FILLED)

        async def finished() -> bool:
            return (await store.commands.of_orders([order.order_id]))[0][0].state is CommandState.DONE

        await until(finished)
    assert len(stage.paper.accounts[KEY].orders) == 1


async def test_fills_of_a_time_without_sockets_are_read_afterwards(stage: Stage) -> None:
    async with stage.serving():
        await until(lambda: _synced(stage))
        stage.paper.faults.refuse = True
        stage.paper.faults.drop_sockets()
        order = await stage.place(side="sell", order_type="market", volume=Decimal("0.3"))
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        stage.paper.faults.clear()
        assert filled.final_volume == Decimal("0.3")
        trades = (await stage.resources.orm.trades.of_orders([order.order_id], None))[0]
        expected = sorted(stage.paper.accounts[KEY].fills)
        assert sorted(trade.ex_trade_id for trade in trades) == expected


async def test_positions_are_there_again_after_a_restart(stage: Stage) -> None:
    ex_id = stage.account.ex_id
    async with stage.serving():
        for side, volume in (("buy", "0.3"), ("sell", "0.1")):
            order = await stage.place(side=side, order_type="market", volume=Decimal(volume))
            await stage.comes_to(order, OrderStatus.FILLED)
    async with stage.serving():
        order = await stage.place(side="sell", order_type="market", volume=Decimal("0.05"))
        await stage.comes_to(order, OrderStatus.FILLED)

        async def quantity() -> bool:
            found = (await stage.resources.cache.accounts.get_positions([ex_id]))[0]
            return [(position.symbol, position.quantity) for position in found] == [(SYMBOL, Decimal("0.15"))]

        await until(quantity)


async def test_positions_are_told_again_when_the_cache_has_lost_them(stage: Stage) -> None:
    ex_id, cache = stage.account.ex_id, stage.resources.cache
    async with stage.serving():
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.3"))
        await stage.comes_to(order, OrderStatus.FILLED)
    await cache.accounts.delete(ex_id)
    async with stage.serving():

        async def back() -> bool:
            return [position.quantity for position in (await cache.accounts.get_positions([ex_id]))[0]] == [Decimal("0.3")]

        await until(back)


async def test_a_dry_order_fills_once_when_the_store_is_back(dry: Stage, tmp_path: Path) -> None:
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal(49000), dry_run=True)
        await dry.comes_to(order, OrderStatus.OPEN)
        async with locked(tmp_path / "fullon.db"):
            await dry.tick("48000.0", "48001.0")
            await asyncio.sleep(7.0)  # Longer than SQLite waits for its lock, so that the write has failed.
        await dry.comes_to(order, OrderStatus.FILLED)
        assert len((await dry.resources.orm.dry_trades.of_orders([order.order_id], None))[0]) == 1


async def test_an_order_on_an_account_without_credentials_is_rejected(dry: Stage) -> None:
    async with dry.serving():
        order = await dry.place(side="buy", order_type="market", volume=Decimal("0.1"))
        rejected = await dry.comes_to(order, OrderStatus.REJECTED)
        assert "not connected" in rejected.reason
    assert not dry.paper.accounts[KEY].orders


async def test_an_account_added_while_it_runs_is_connected(dry: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.services.account.LOOK_S", 0.1)
    async with dry.serving():
        secrets = Secrets(key=KEY, secret=SECRET)
        await dry.resources.orm.accounts.modify(dry.account.ex_id, None, {}, secrets=secrets)
        await until(lambda: _synced(dry))


async def _synced(stage: Stage) -> bool:
    return bool((await stage.resources.cache.accounts.get_balances([stage.account.ex_id]))[0])


async def test_an_account_without_streams_is_kept_over_rest_alone(stage: Stage) -> None:
    alone = without_streams(stage.resources)
    async with running(alone, ServiceName.ACCOUNT, partial(AccountService, alone)) as board:
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.2"))
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        assert filled.final_volume == Decimal("0.2")
        low = (stage.price / 2).quantize(Decimal(1))
        waiting = await stage.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=low)
        await stage.comes_to(waiting, OrderStatus.OPEN)
        resting = next(order for order in stage.paper.accounts[KEY].orders.values() if order.status == "new")
        async with aclosing(stage.resources.open_exchange("kraken", (KEY, SECRET))) as adapter:
            await adapter.cancel_order(resting.order_id, SYMBOL)  # By hand, at the exchange.
        await stage.comes_to(waiting, OrderStatus.CANCELED)
        assert [feed.feed for feed in board.health()] == [f"kraken:{stage.account.ex_id}:account"]
