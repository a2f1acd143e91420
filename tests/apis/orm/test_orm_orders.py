"""Orders, their commands and their events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.apis.orm.orders import OrderChange, OrderFilter
from fullon_master_api.apis.orm.tables_services import CommandKind, CommandState
from fullon_master_api.bus import orders_topic
from fullon_master_api.errors import BadUserInput, Conflict, NotFound, StaleEpoch
from fullon_master_api.model import Fence, Order, OrderStatus
from tests.apis.orm.conftest import World

BUY = {"symbol": "BTC/USD", "side": "Buy", "order_type": "market", "volume": Decimal("0.10")}


async def events_of(orm: Orm, uid: int) -> list[Order]:
    events = await orm.events.read_after(orders_topic(uid), 0, 100)
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    return [msgspec.json.decode(event.payload, type=Order) for event in events]


async def test_an_order_is_stored_with_its_event_and_its_command(orm: Orm, world: World) -> None:
    order = await orm.orders.place(world.ana, BUY | {"bot_id": world.ana_bot.bot_id})
    assert (order.uid, order.ex_id, order.exchange, order.volume, order.status) == (
        world.ana.uid,
        world.ana_account.ex_id,
        "kraken",
        Decimal("0.1"),
        OrderStatus.NEW,
    )
    assert order.dry_run is False
    assert await events_of(orm, world.ana.uid) == [order]
    assert await orm.orders.get_many([order.order_id], world.ana) == [order]
    assert await orm.orders.get_many([order.order_id], world.ben) == [None]
    ((command,),) = await orm.commands.of_orders([order.order_id])
    assert (command.kind, command.state, command.ex_id) == (CommandKind.PLACE_ORDER, CommandState.PENDING, order.ex_id)


async def test_a_repeated_client_order_id_answers_the_first_order(orm: Orm, world: World) -> None:
    first = await orm.orders.place(world.ana, BUY | {"client_order_id": "one"})
    assert await orm.orders.place(world.ana, BUY | {"client_order_id": "one"}) == first
    with pytest.raises(Conflict):
        await orm.orders.place(world.ana, BUY | {"client_order_id": "one", "volume": 2})
    other = await orm.orders.place(world.ben, BUY | {"client_order_id": "one"})
    assert other.uid == world.ben.uid
    assert len(await events_of(orm, world.ana.uid)) == 1
    assert [len(commands) for commands in await orm.commands.of_orders([first.order_id])] == [1]


async def test_fifty_who_place_the_same_order_at_once_place_one(orm: Orm, world: World) -> None:
    same = [orm.orders.place(world.ana, BUY | {"client_order_id": "same"}) for _ in range(25)]
    different = [orm.orders.place(world.ana, BUY | {"client_order_id": f"number {n}"}) for n in range(25)]
    placed = await asyncio.gather(*same, *different)
    assert len({order.order_id for order in placed[:25]}) == 1
    assert len({order.order_id for order in placed}) == 26
    page = await orm.orders.page(world.ana, total=True)
    assert page.total == 26
    told = [order.order_id for order in await events_of(orm, world.ana.uid)]
    assert sorted(told) == sorted({order.order_id for order in placed})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"symbol": None}, "symbol"),
        ({"symbol": "DOGE/USD"}, "symbol"),
        ({"side": "hold"}, "side"),
        ({"volume": 0}, "volume"),
        ({"volume": -1}, "volume"),
        ({"volume": 0.5}, "volume"),
        ({"volume": Decimal("NaN")}, "volume"),
        ({"volume": Decimal("1e60")}, "volume"),
        ({"order_type": "limit"}, "price"),
        ({"order_type": "limit", "price": Decimal("-1")}, "price"),
        ({"ex_id": 999}, "ex_id"),
        ({"cat_ex_id": 999}, "cat_ex_id"),
        ({"amount": 1}, "amount"),
        ({"reason": "x" * 201}, "reason"),
        ({"client_order_id": "a\x00b"}, "client_order_id"),
        ({"order_id": 7}, "order_id"),
    ],
)
async def test_a_bad_order_is_refused_by_the_name_of_its_field(
    orm: Orm, world: World, change: dict[str, object], path: str
) -> None:
    with pytest.raises(BadUserInput) as refused:
        await orm.orders.place(world.ana, BUY | change)
    assert refused.value.path == (path,)
    assert (await orm.orders.page(None)).rows == []


async def test_somebody_elses_bot_or_user_in_an_order_is_not_found(orm: Orm, world: World) -> None:
    for other in ({"bot_id": world.ben_bot.bot_id}, {"uid": world.ben.uid}):
        with pytest.raises(NotFound):
            await orm.orders.place(world.ana, BUY | other)
    with pytest.raises(BadUserInput):
        await orm.orders.place(world.ana, BUY | {"ex_id": world.ben_account.ex_id})
    assert (await orm.orders.page(None)).rows == []


async def test_a_bot_in_dry_run_places_no_live_order(orm: Orm, world: World) -> None:
    await orm.bots.modify(world.ana_bot.bot_id, world.ana, {"dry_run": True})
    with pytest.raises(Conflict):
        await orm.orders.place(world.ana, BUY | {"bot_id": world.ana_bot.bot_id, "dry_run": False})
    assert (await orm.orders.place(world.ana, BUY | {"bot_id": world.ana_bot.bot_id})).dry_run is True


async def test_an_order_that_is_over_never_opens_again_and_its_fill_never_shrinks(orm: Orm, world: World) -> None:
    order_id = (await orm.orders.place(world.ana, BUY)).order_id
    await orm.orders.change(order_id, OrderChange(status=OrderStatus.OPEN, ex_order_id="X1"))
    await orm.orders.change(order_id, OrderChange(status=OrderStatus.PARTIALLY_FILLED, final_volume=Decimal("0.05")))
    await orm.orders.change(order_id, OrderChange(status=OrderStatus.OPEN, final_volume=Decimal("0.01")))
    filled = await orm.orders.change(order_id, OrderChange(status=OrderStatus.FILLED, final_volume=Decimal("0.1")))
    assert await orm.orders.change(order_id, OrderChange(status=OrderStatus.OPEN, final_volume=Decimal("0.05"))) == filled
    assert (filled.status, filled.status_text, filled.final_volume) == (OrderStatus.FILLED, "filled", Decimal("0.1"))
    statuses = [order.status.value for order in await events_of(orm, world.ana.uid)]
    assert statuses == ["new", "open", "partially_filled", "filled"]
    assert await orm.orders.by_exchange_ids(world.ana_account.ex_id, ["X2", "X1"], world.ana) == [None, filled]


async def test_a_status_in_an_old_spelling_is_answered_as_it_came(orm: Orm, world: World) -> None:
    order_id = (await orm.orders.place(world.ana, BUY)).order_id
    order = await orm.orders.set_status(order_id, world.ana, "Closed")
    assert (order.status, order.status_text) == (OrderStatus.FILLED, "Closed")
    with pytest.raises(NotFound):
        await orm.orders.set_status(order_id, world.ben, "open")
    with pytest.raises(BadUserInput):
        await orm.orders.set_status(order_id, world.ana, "sleeping")


async def test_an_order_nobody_took_is_canceled_at_once_and_a_taken_one_by_command(orm: Orm, world: World) -> None:
    fence = Fence(service="account", epoch=(await orm.services.claim(["account"], "me", 10))["account"])
    untaken = await orm.orders.place(world.ana, BUY)
    assert (await orm.orders.cancel(untaken.order_id, world.ana)).status is OrderStatus.CANCELED
    assert await orm.commands.take(fence) == []
    taken = await orm.orders.place(world.ana, BUY)
    (place,) = await orm.commands.take(fence)
    assert (place.order_id, place.attempts) == (taken.order_id, 1)
    for _ in range(2):
        assert (await orm.orders.cancel(taken.order_id, world.ana)).status is OrderStatus.NEW
    (cancel,) = await orm.commands.take(fence)
    assert (cancel.kind, cancel.order_id) == (CommandKind.CANCEL_ORDER, taken.order_id)
    with pytest.raises(NotFound):
        await orm.orders.cancel(taken.order_id, world.ben)
    await orm.orders.change(taken.order_id, OrderChange(status=OrderStatus.FILLED), fence=fence)
    with pytest.raises(Conflict):
        await orm.orders.cancel(taken.order_id, world.ana)


async def test_a_command_left_by_a_dead_owner_is_taken_by_the_next_and_the_dead_one_writes_nothing(
    orm: Orm, world: World
) -> None:
    order = await orm.orders.place(world.ana, BUY)
    old = Fence(service="account", epoch=(await orm.services.claim(["account"], "old", 10))["account"])
    (command,) = await orm.commands.take(old)
    await orm.services.release("old", {"account": old.epoch})
    new = Fence(service="account", epoch=(await orm.services.claim(["account"], "new", 10))["account"])
    (again,) = await orm.commands.take(new)
    assert (again.command_id, again.attempts, again.epoch) == (command.command_id, 2, new.epoch)
    for write in (
        orm.commands.finish(command.command_id, old),
        orm.orders.change(order.order_id, OrderChange(status=OrderStatus.OPEN), fence=old),
        orm.events.append("account:1", "balances", order, fence=old),
    ):
        with pytest.raises(StaleEpoch):
            await write
    assert await orm.orders.get_many([order.order_id], None) == [order]
    await orm.commands.finish(command.command_id, new, error="no funds")
    ((done,),) = await orm.commands.of_orders([order.order_id])
    assert (done.state, done.error) == (CommandState.FAILED, "no funds")
    assert await orm.commands.take(new) == []


async def test_what_a_crash_left_is_taken_again_and_the_accounts_left_out_keep_waiting(orm: Orm, world: World) -> None:
    fence = Fence(service="account", epoch=(await orm.services.claim(["account"], "me", 10))["account"])
    orders = [await orm.orders.place(world.ana, BUY) for _ in range(3)]
    (first,) = await orm.commands.take(fence, limit=1)
    assert await orm.commands.take(fence, but=[first.ex_id]) == []
    await orm.commands.give_back(fence)
    await orm.orders.cancel(orders[0].order_id, world.ana)  # It may have been sent: that is the account service's to find out.
    taken = await orm.commands.take(fence)
    assert [(command.order_id, command.attempts) for command in taken] == [
        (orders[0].order_id, 2), (orders[1].order_id, 1), (orders[2].order_id, 1), (orders[0].order_id, 1),
    ]  # fmt: skip
    assert await orm.commands.take(fence) == []


async def test_the_hint_comes_after_the_commit_with_the_newest_sequence(url: str, world: World) -> None:
    heard: list[tuple[str, int, int]] = []

    async def hint(topic: str, sequence: int) -> None:
        heard.append((topic, sequence, await orm.events.last_sequence(topic)))

    async with open_orm(url, hint=hint) as orm:
        await orm.orders.place(world.ana, BUY)
    assert [topic for topic, _, _ in heard] == [orders_topic(world.ana.uid), "service:account"]
    assert all(sequence == visible for _, sequence, visible in heard)


async def test_a_page_of_each_bot_equals_asking_bot_by_bot(orm: Orm, world: World) -> None:
    bots = [world.ana_bot.bot_id, (await orm.bots.add(world.ana, {"name": "second"})).bot_id]
    for number in range(7):
        await orm.orders.place(world.ana, BUY | {"bot_id": bots[number % 2]})
    asked: Sequence[int] = [bots[1], 999, bots[0], world.ben_bot.bot_id]
    pages = await orm.orders.of_bots(asked, world.ana, first=2)
    for bot_id, page in zip(asked, pages, strict=True):
        alone = await orm.orders.page(world.ana, filters=OrderFilter(bot_id=bot_id), first=2)
        assert page == alone
    assert [page.has_next for page in pages] == [True, False, True, False]
    second = await orm.orders.of_bots([bots[0]], world.ana, first=2, after=pages[2].cursors[-1])
    assert {order.order_id for order in second[0].rows}.isdisjoint(order.order_id for order in pages[2].rows)
