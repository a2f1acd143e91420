"""Dry runs of the account service: filled from the live ticker, kept at home, whatever the account could do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import pytest

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.apis.orm.commands import Command
from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.tables_services import CommandState
from fullon_master_api.bus import ticker_topic
from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.model import Fence, Order, OrderStatus, ServiceName, Side, Ticker
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.dry_run import DryRun
from fullon_master_api.services.order_keeper import OrderKeeper
from tests.services.account_stage import KEY, SECRET, SYMBOL, Stage, staged
from tests.services.stage import locked, until


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


async def test_a_dry_run_on_an_account_that_could_trade_sends_no_order(stage: Stage) -> None:
    await stage.tick("49999.9", "50000.0")
    async with stage.serving():
        await until(stage.synced)
        waiting = await stage.place(side="sell", order_type="limit", volume=Decimal(1), price=Decimal(60000), dry_run=True)
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.5"), dry_run=True)
        await stage.comes_to(order, OrderStatus.FILLED)
        await stage.comes_to(waiting, OrderStatus.OPEN)
        await stage.resources.orm.orders.cancel(waiting.order_id, None)
        await stage.comes_to(waiting, OrderStatus.CANCELED)
        live = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"))
        sent = await stage.comes_to(live, OrderStatus.FILLED)
    assert list(stage.paper.accounts[KEY].orders) == [sent.ex_order_id]
    assert (await stage.resources.orm.trades.of_orders([order.order_id, waiting.order_id], None)) == [[], []]
    assert [trade.volume for trade in (await stage.resources.orm.dry_trades.of_orders([order.order_id], None))[0]] == [
        Decimal("0.5")
    ]


async def test_a_dry_limit_order_waits_for_its_price_and_fills_at_it(dry: Stage) -> None:
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal("49000.07"), dry_run=True)
        await dry.comes_to(order, OrderStatus.OPEN)
        await dry.tick("49000.1", "49000.2")
        await dry.tick("48990.0", "48999.0")
        filled = await dry.comes_to(order, OrderStatus.FILLED)
    assert filled.average_price == Decimal("49000.0")


async def test_a_price_that_comes_while_an_order_is_opened_fills_it(dry: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = DryRun._rest

    async def late(self: DryRun, order: Order, ticker: Ticker | None = None) -> None:
        told = asyncio.Event()
        with dry.resources.bus.listen(ticker_topic("kraken", SYMBOL), lambda *_: told.set()):
            await dry.tick("48990.0", "48999.0")  # It is the last one for a long time.
            await told.wait()
        await rest(self, order, ticker)

    monkeypatch.setattr(DryRun, "_rest", late)
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal("49000.07"), dry_run=True)
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


async def test_an_accounts_full_line_leaves_the_rest_in_sql_and_lets_the_others_pass(
    dry: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.services.account.LINE_MAX", 3)
    held, carry_out, store = asyncio.Event(), AccountService._carry_out, dry.resources.orm

    async def waiting(service: AccountService, command: Command, *, again: bool) -> str | None:
        if command.ex_id == dry.account.ex_id:
            await held.wait()
        return await carry_out(service, command, again=again)

    monkeypatch.setattr(AccountService, "_carry_out", waiting)
    values = {"uid": dry.account.uid, "cat_ex_id": dry.account.cat_ex_id, "name": "second"}
    second = await store.accounts.add(None, values)
    asked: dict[str, object] = {"side": "buy", "order_type": "limit", "volume": Decimal(1), "price": Decimal(9), "dry_run": True}
    orders = [await dry.place(**asked) for _ in range(12)]

    async def states() -> Counter[CommandState]:
        found = await store.commands.of_orders([order.order_id for order in orders])
        return Counter(command.state for commands in found for command in commands)

    async with dry.serving():
        await dry.comes_to(await dry.place(ex_id=second.ex_id, **asked), OrderStatus.OPEN)
        assert await states() == {CommandState.TAKEN: 6, CommandState.PENDING: 6}
        held.set()

        async def done() -> bool:
            return await states() == {CommandState.DONE: 12}

        await until(done)
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("commands:")]


@pytest.mark.parametrize("kind", ["switched off", "without its bot", "too much", "ended by hand"])
async def test_an_order_that_cannot_be_filled_ends_alone(dry: Stage, kind: str) -> None:
    """It must end neither the service nor the fills of others."""
    orm, account = dry.resources.orm, dry.account
    bot = await orm.bots.add(None, {"name": "gone soon", "uid": account.uid})
    await dry.tick("50000.0", "50001.0")
    limit = {"side": "buy", "order_type": "limit", "price": Decimal(49000), "dry_run": True}
    async with dry.serving():
        volume = Decimal(10) ** 34 if kind == "too much" else Decimal("0.5")
        order = await dry.place(**limit, volume=volume, bot_id=bot.bot_id if kind == "without its bot" else None)
        await dry.comes_to(order, OrderStatus.OPEN)
        if kind == "switched off":
            await orm.accounts.modify(account.ex_id, None, {"active": False})
        elif kind == "without its bot":
            await orm.bots.remove(bot.bot_id, None)
        elif kind == "ended by hand":
            await orm.orders.set_status(order.order_id, None, OrderStatus.CANCELED)
        else:
            other = await dry.place(**limit, volume=Decimal("0.5"))
            await dry.comes_to(other, OrderStatus.OPEN)
        await dry.tick("48000.0", "48001.0")

        expected = {"without its bot": OrderStatus.FILLED, "ended by hand": OrderStatus.CANCELED}
        ended = await dry.comes_to(order, expected.get(kind, OrderStatus.REJECTED))
        if kind == "too much":
            await dry.comes_to(other, OrderStatus.FILLED)
        if kind == "switched off":
            assert "is switched off" in ended.reason
            await orm.accounts.modify(account.ex_id, None, {"active": True})
        last = await dry.place(side="sell", order_type="market", volume=Decimal("0.1"), dry_run=True)
        await dry.comes_to(last, OrderStatus.FILLED)
    fills = (await orm.dry_trades.of_orders([order.order_id], None))[0]
    assert len(fills) == (1 if kind == "without its bot" else 0)


async def test_an_order_that_has_filled_is_not_canceled_because_its_end_is_not_stored_yet(
    dry: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, ended = OrderKeeper.change, asyncio.Event()

    async def fails_at_the_end(self: OrderKeeper, order: Order, what: OrderChange) -> Order:
        if what.status is OrderStatus.FILLED and not ended.is_set():
            ended.set()
            raise StoreUnavailable("the store is away")
        return await change(self, order, what)

    monkeypatch.setattr(OrderKeeper, "change", fails_at_the_end)
    monkeypatch.setattr("fullon_master_api.services.dry_run.RETRY_S", 600.0)
    await dry.tick("50000.0", "50001.0")
    async with dry.serving():
        order = await dry.place(side="buy", order_type="limit", volume=Decimal("0.5"), price=Decimal(49000), dry_run=True)
        await dry.comes_to(order, OrderStatus.OPEN)
        await dry.tick("48000.0", "48001.0")
        async with asyncio.timeout(60):
            await ended.wait()
        await dry.resources.orm.orders.cancel(order.order_id, None)
        filled = await dry.comes_to(order, OrderStatus.FILLED, OrderStatus.CANCELED)
    assert (filled.status, filled.final_volume) == (OrderStatus.FILLED, Decimal("0.5"))


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


async def test_an_order_of_an_earlier_owner_that_was_never_begun_is_rejected_without_an_account(dry: Stage) -> None:
    store = dry.resources.orm
    order = await dry.place(side="buy", order_type="market", volume=Decimal("0.1"))
    epochs = await store.services.claim([ServiceName.ACCOUNT.value], "crashed", 600.0)
    await store.commands.take(Fence(service=ServiceName.ACCOUNT.value, epoch=epochs[ServiceName.ACCOUNT.value]))
    await store.services.release("crashed", epochs)
    async with dry.serving():
        rejected = await dry.comes_to(order, OrderStatus.REJECTED)
        assert "not connected" in rejected.reason


async def test_an_account_added_while_it_runs_is_connected(dry: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.services.account.LOOK_S", 0.1)
    async with dry.serving():
        secrets = Secrets(key=KEY, secret=SECRET)
        await dry.resources.orm.accounts.modify(dry.account.ex_id, None, {}, secrets=secrets)
        await until(dry.synced)
