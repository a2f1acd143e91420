"""The account service: live orders sent once, fills that are the truth, whatever the exchange streams."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.tables_services import CommandState
from fullon_master_api.apis.orm.trades import TradeFilter
from fullon_master_api.bus import account_topic
from fullon_master_api.errors import ExchangeUnavailable
from fullon_master_api.exchanges.adapter import Fill, OrderRequest
from fullon_master_api.exchanges.kraken import KrakenExchange
from fullon_master_api.model import (
    Balances,
    Fence,
    Order,
    OrderStatus,
    OrderType,
    Positions,
    ServiceName,
    Side,
)
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.live_account import sent_id
from tests.services.account_stage import KEY, SECRET, SYMBOL, Stage, staged
from tests.services.stage import running, until, without_streams


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with staged(tmp_path) as platform:
        yield platform


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
        await until(stage.synced)
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
        await until(stage.synced)
        stage.paper.faults.refuse = True
        stage.paper.faults.drop_sockets()
        order = await stage.place(side="sell", order_type="market", volume=Decimal("0.3"))
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        stage.paper.faults.clear()
        assert filled.final_volume == Decimal("0.3")
        trades = (await stage.resources.orm.trades.of_orders([order.order_id], None))[0]
        expected = sorted(stage.paper.accounts[KEY].fills)
        assert sorted(trade.ex_trade_id for trade in trades) == expected


async def test_a_fill_that_comes_before_the_history_could_be_read_hides_none_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More fills than a new stream repeats happen while everything is away, and REST is the last that comes back."""
    monkeypatch.setattr("fullon_master_api.services.fill_keeper.OVERLAP_NS", 0)  # Each fill that is stored moves the beginning.
    account, refused = stage.paper.accounts[KEY], True
    fetch = KrakenExchange.fetch_fills

    async def fetch_if_it_may(self: KrakenExchange, **asked: Any) -> list[Fill]:
        if refused:
            raise ExchangeUnavailable("EAPI:Rate limit exceeded")
        return await fetch(self, **asked)

    def buy() -> None:
        stage.paper.matching.place(account, {"pair": SYMBOL, "type": "buy", "ordertype": "market", "volume": "0.0002"})

    async def stored() -> set[str]:
        rows = (await stage.resources.orm.trades.page(None, filters=TradeFilter(ex_id=stage.account.ex_id), first=500)).rows
        return {row.ex_trade_id for row in rows}

    async def all_stored() -> bool:
        return await stored() == set(account.fills)

    async with stage.serving():
        await until(stage.synced)
        buy()
        await until(all_stored)
        monkeypatch.setattr(KrakenExchange, "fetch_fills", fetch_if_it_may)
        stage.paper.faults.maintenance = stage.paper.faults.refuse = True
        stage.paper.faults.drop_sockets()
        for _ in range(70):
            buy()
        stage.paper.faults.clear()
        for _ in range(20):  # Some of these come over the new stream.
            buy()
            await asyncio.sleep(0.1)
        refused = False
        await until(all_stored)


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


@pytest.mark.parametrize("streams", [(), ("stream_balances",)], ids=["rest_only", "partial"])
async def test_what_an_exchange_does_not_stream_is_kept_over_rest(stage: Stage, streams: tuple[str, ...]) -> None:
    """Two of the three ways to keep an account; where all is streamed is in `test_account_on_binance`."""
    alone, ex_id = without_streams(stage.resources, but=streams), stage.account.ex_id
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
        kinds = {"account", *(name.removeprefix("stream_") for name in streams)}
        assert {feed.feed for feed in board.health()} == {f"kraken:{ex_id}:{kind}" for kind in kinds}
