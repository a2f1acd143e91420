"""How many statements a page of nested data costs, and what many writers at once leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import msgspec
import pytest
from sqlalchemy import QueuePool, event, literal, select, text, update
from sqlalchemy.exc import DBAPIError

from fullon_master_api.apis.orm import Orm, database, lanes, open_orm, tables_trading
from fullon_master_api.apis.orm.bots import BotFilter
from fullon_master_api.apis.orm.orders import OrderChange, OrderFilter
from fullon_master_api.apis.orm.reading import Ready
from fullon_master_api.bus import orders_topic, trades_topic
from fullon_master_api.executor.scalars import decimal_text, serialize_instant
from fullon_master_api.model import Order, OrderStatus, Side, Wanted
from fullon_master_api.tracing import noted_statements
from tests.apis.orm.conftest import World

STATEMENTS_MAX = 8


async def grow(orm: Orm, world: World, bots: int) -> None:
    """Bots of Ana with a strategy, two feeds, an order and a dry fill each."""
    template = (await orm.templates.by_names(["grown"]))[0] or await orm.templates.install(None, {"name": "grown"})
    for _ in range(bots):
        bot = await orm.bots.add(world.ana, {"name": "grown"})
        strategy = await orm.strategies.add(world.ana, {"bot_id": bot.bot_id, "cat_str_id": template.cat_str_id})
        for symbol in (world.btc, world.eth):
            await orm.feeds.add(world.ana, {"str_id": strategy.str_id, "symbol_id": symbol.symbol_id, "period": "Ticks"})
        common = {"bot_id": bot.bot_id, "symbol": "BTC/USD", "side": "buy", "volume": 1}
        await orm.orders.place(world.ana, common | {"order_type": "market"})
        await orm.dry_trades.save(common | {"price": 10}, principal=world.ana)


async def page_of_bots(orm: Orm, world: World) -> int:
    """What a nested query of a page of bots asks for, one call a level; answers how many things it saw."""
    bots = (await orm.bots.page(world.ana, filters=BotFilter(name="grown"), first=50)).rows
    bot_ids = [bot.bot_id for bot in bots]
    strategies = [row for few in await orm.strategies.of_bots(bot_ids, world.ana) for row in few]
    feeds = [row for few in await orm.feeds.of_strategies([row.str_id for row in strategies], world.ana) for row in few]
    orders = [row for page in await orm.orders.of_bots(bot_ids, world.ana, first=10) for row in page.rows]
    trades = [row for page in await orm.dry_trades.of_bots(bot_ids, world.ana, first=10) for row in page.rows]
    live = [row for page in await orm.trades.of_bots(bot_ids, world.ana, first=10) for row in page.rows]
    symbols = await orm.symbols.get_many([feed.symbol_id for feed in feeds], world.ana)
    named = await orm.symbols.by_names([(order.exchange, order.symbol) for order in orders])
    return sum(len(rows) for rows in (bots, strategies, feeds, orders, trades, live, symbols, named))


async def test_a_page_of_fifty_bots_costs_as_many_statements_as_a_page_of_two(orm: Orm, world: World) -> None:
    await grow(orm, world, 2)
    with noted_statements() as few:
        assert await page_of_bots(orm, world) == 2 * 9
    await grow(orm, world, 48)
    with noted_statements() as many:
        assert await page_of_bots(orm, world) == 50 * 9
    assert len(many) == len(few) <= STATEMENTS_MAX


async def test_a_crowd_that_subscribes_asks_once_whether_a_symbol_is_there(
    orm: Orm, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.apis.orm.symbols.FOUND_LIFE_S", 60.0)
    names = [("kraken", "BTC/USD"), ("kraken", "NO/USD")]
    with noted_statements() as first:
        assert await orm.symbols.missing(names) == [("kraken", "NO/USD")]
    with noted_statements() as again:
        assert await orm.symbols.missing(names[:1]) == []
    assert (len(first), len(again)) == (1, 0)
    with noted_statements() as crowd:
        told = await asyncio.gather(*(orm.symbols.missing([("kraken", "ETH/USD")]) for _ in range(40)))
    assert (told, len(crowd)) == ([[]] * 40, 1)


async def test_a_symbol_that_was_renamed_or_removed_is_missing_at_once(orm: Orm, world: World) -> None:
    names = [("kraken", "BTC/USD"), ("kraken", "ETH/USD")]
    assert await orm.symbols.missing(names) == []
    await orm.symbols.modify(world.btc.symbol_id, None, {"symbol": "XBT/USD"})
    assert await orm.symbols.missing(names) == names[:1]
    await orm.symbols.remove(world.eth.symbol_id, None)
    assert await orm.symbols.missing(names) == names


@asynccontextmanager
async def processes(url: str, number: int) -> AsyncGenerator[list[Orm], None]:
    """As many stores on one database as there would be processes, each with its own connections."""
    opened = [open_orm(url, migrate_up=False, pool_size=4, pool_timeout_s=60) for _ in range(number)]
    orms = [await manager.__aenter__() for manager in opened]
    try:
        yield orms
    finally:
        for manager in opened:
            await manager.__aexit__(None, None, None)


async def test_fifty_writers_of_five_processes_lose_and_double_nothing(url: str, orm: Orm, world: World) -> None:
    order = await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 100})

    def fill(number: int) -> dict[str, object]:
        return {
            "ex_trade_id": f"T{number % 25}",  # Every fill comes twice.
            "ex_order_id": "O",
            "ex_id": world.ana_account.ex_id,
            "symbol": "BTC/USD",
            "side": "buy" if number % 5 else "sell",
            "volume": Decimal(1),
            "price": Decimal(100),
            "time": datetime(2026, 1, 1, tzinfo=UTC),
        }

    async def write(store: Orm, number: int) -> None:
        await store.trades.save_trades([fill(number)])
        change = OrderChange(final_volume=Decimal(number + 1), status=OrderStatus.PARTIALLY_FILLED)
        await store.orders.change(order.order_id, change)

    async with processes(url, 5) as stores, asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(write(stores[number % 5], number))
    trades = (await orm.trades.page(world.ana, order="trade_id", first=500)).rows
    assert sorted(trade.ex_trade_id for trade in trades) == sorted(f"T{number}" for number in range(25))
    held = Decimal(0)
    for trade in trades:
        held += trade.volume if trade.side.value == "buy" else -trade.volume
        assert trade.cur_volume == held
    assert held == 15
    told = await orm.events.read_after(trades_topic(world.ana.uid), 0, 500)
    assert len(told) == 25
    (now,) = await orm.orders.get_many([order.order_id], None)
    assert now is not None
    assert (now.final_volume, now.status) == (Decimal(50), OrderStatus.PARTIALLY_FILLED)
    sequences = [row.sequence for row in await orm.events.read_after(orders_topic(world.ana.uid), 0, 500)]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("wrong", ["\x00", "\ud800"])
async def test_text_that_a_store_cannot_keep_finds_nothing_and_breaks_nothing(orm: Orm, world: World, wrong: str) -> None:
    from fullon_master_api.errors import BadUserInput

    for ask in (
        lambda: orm.users.credentials_by_mail(wrong),
        lambda: orm.users.by_mails([wrong], None),
        lambda: orm.symbols.by_names([("kraken", wrong)]),
        lambda: orm.bots.page(world.ana, filters=BotFilter(name=wrong)),
        lambda: orm.orders.page(world.ana, filters=OrderFilter(client_order_id=wrong)),
    ):
        try:
            found = await ask()
        except BadUserInput:
            continue
        assert not found or getattr(found, "rows", None) == [] or found == [None]


async def test_writers_that_are_cancelled_leave_whole_changes_or_none_and_a_store_that_works(orm: Orm, world: World) -> None:
    asked = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}
    for turns in range(30):
        task = asyncio.create_task(orm.orders.place(world.ana, asked))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    last = await orm.orders.place(world.ana, asked)
    stored = {order.order_id for order in (await orm.orders.page(world.ana, first=500)).rows}
    events = await orm.events.read_after(orders_topic(world.ana.uid), 0, 500)
    told = {msgspec.json.decode(event.payload, type=Order).order_id for event in events}
    assert last.order_id in stored
    assert stored == told
    assert all(len(commands) == 1 for commands in await orm.commands.of_orders(sorted(stored)))


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # SQLite has no server that could close a connection.
async def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_orm(url, migrate_up=False, pool_size=1, max_overflow=0) as orm:
        opened: list[asyncpg.Connection] = []
        (engine,) = orm.database.engines
        event.listen(engine.sync_engine, "connect", lambda connection, _entry: opened.append(connection.driver_connection))
        for unasked_s in (60.0, -1.0):  # Seen by the driver; found by asking.
            monkeypatch.setattr(database, "UNASKED_S", unasked_s)
            await orm.users.get_many([1], None)
            killer = await asyncpg.connect(url.replace("+asyncpg", ""))
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            killed = await killer.fetch(f"{others} AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
            await killer.close()
            assert len(killed) == 1
            async with asyncio.timeout(60):
                while unasked_s > 0 and not opened[-1].is_closed():
                    await asyncio.sleep(0.01)

            assert await orm.users.get_many([1], None) == [None]
        assert len(opened) == 3


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # SQLite has one writer, with a connection of its own.
async def test_connections_that_readers_leave_to_one_another_are_given_to_writers_when_there_is_no_other(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_orm(url, migrate_up=False, pool_size=3, max_overflow=0, pool_timeout_s=60) as orm:
        read, write = orm.database.read, orm.database.write
        pool = orm.database.engines[0].pool
        assert isinstance(pool, QueuePool)
        async with read() as one, read() as other:
            assert await one.scalar(select(literal(1))) == await other.scalar(select(literal(1))) == 1
        assert pool.checkedout() == 2

        async with write(), write(), write():
            assert pool.checkedout() == 3
        assert pool.checkedout() == 0

        monkeypatch.setattr(lanes, "LANE_S", -1.0)
        async with read():
            assert pool.checkedout() == 1
        assert pool.checkedout() == 0


async def test_a_statement_is_compiled_once_and_answers_each_caller_with_what_is_theirs(orm: Orm, world: World) -> None:
    order = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}
    first, second = [await orm.orders.place(world.ana, order) for _ in range(2)]
    assert await orm.orders.get_many([first.order_id], world.ana) == [first]
    known = len(orm.database._statements)

    asked = [first.order_id, second.order_id, first.order_id, 2**62]
    assert await orm.orders.get_many(asked, world.ben) == [None, None, None, None]
    assert await orm.orders.get_many(asked, world.ana) == [first, second, first, None]

    assert len(orm.database._statements) == known


async def test_only_wanted_columns_are_read_and_the_others_are_no_values(orm: Orm, world: World) -> None:
    await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 3})
    with noted_statements() as notes:
        (found,) = (await orm.orders.page(world.ana, wanted=Wanted({"volume", "side", "nothing"}))).rows
    (note,) = notes
    assert (found.volume, found.side) == (Decimal(3), Side.BUY)
    assert isinstance(found, Order)
    assert {getattr(found, name) for name in ("price", "symbol", "created_at")} == {msgspec.UNSET}
    assert "orders.price" not in note.sql
    assert note.rows == 1


async def test_a_decimal_that_is_only_shown_is_read_as_the_text_that_it_would_be_shown_as(orm: Orm, world: World) -> None:
    numbers = ["3", "0.00000001", "1234567890123456789012345678.0123456789", "100", "0.5"]
    for number in map(Decimal, numbers):
        values = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "volume": number, "price": number}
        await orm.orders.place(world.ana, values)

    rows = (await orm.orders.page(world.ana, order="order_id", wanted=Wanted({"volume"}, {"volume", "price"}))).rows

    assert [row.volume for row in rows] == [Decimal(number) for number in numbers]
    shown: list[object] = [row.price for row in rows]
    assert shown == [decimal_text(Decimal(number)) for number in numbers] == numbers


INSTANTS = [
    datetime(2025, 11, 10, 12, tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2000, 2, 29, 1, 2, 3, 120_000, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC),
]


async def test_an_instant_that_is_only_shown_is_read_as_the_text_that_it_would_be_shown_as(orm: Orm, world: World) -> None:
    numbers = []
    for instant in INSTANTS:
        order = await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 3})
        numbers.append(order.order_id)
        async with orm.database.write() as write:
            moved = (
                update(tables_trading.orders).where(tables_trading.orders.c.order_id == order.order_id).values(created_at=instant)
            )
            await write.connection.execute(moved)

    for _ in range(2):  # The second time from memory.
        rows = await orm.orders.get_many(numbers, world.ana, wanted=Wanted({"updated_at"}, {"created_at", "updated_at"}))
        shown: list[object] = [row and row.created_at for row in rows]
        assert shown == [serialize_instant(instant) for instant in INSTANTS]
        assert {row and type(row.updated_at) for row in rows} == {datetime}
    (bot,) = (await orm.bots.page(world.ana, first=1, wanted=Wanted((), {"created_at"}))).rows
    (whole,) = (await orm.bots.page(world.ana, first=1)).rows
    told: object = bot.created_at
    assert told == serialize_instant(whole.created_at)


async def test_a_member_of_an_enum_that_is_only_shown_is_read_as_its_value(orm: Orm, world: World) -> None:
    await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "sell", "order_type": "market", "volume": 3})
    (row,) = (await orm.orders.page(world.ana, wanted=Wanted({"status"}, {"side", "status"}))).rows
    shown: object = row.side
    assert type(shown) is str
    assert shown == Side.SELL.value
    assert row.status is OrderStatus.NEW


async def test_an_instant_that_is_not_there_is_shown_as_none(orm: Orm, world: World) -> None:
    key = await orm.api_keys.add(world.ana, key_hash="0" * 64, prefix="fullon_ak_0", name="no end", scopes=["read"])
    (shown,) = (await orm.api_keys.of_users([world.ana.uid], world.ana, wanted=Wanted((), {"name", "expires_at"})))[0]
    assert (shown.name, shown.expires_at) == (key.name, None)


async def test_the_statements_of_a_transaction_are_noted_without_their_values(orm: Orm, world: World) -> None:
    with noted_statements() as notes:
        await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 3})

    into = [note for note in notes if note.sql.startswith("INSERT INTO orders")]
    assert len(into) == 1
    assert any(note.sql.startswith("INSERT INTO events") for note in notes)
    assert all(note.took_ns > 0 for note in notes)
    assert not any("BTC/USD" in note.sql for note in notes)


async def test_a_parameter_without_a_place_is_refused_when_it_is_compiled(orm: Orm) -> None:
    mine = select(tables_trading.orders.c.order_id).where(tables_trading.orders.c.uid == 7)
    with pytest.raises(AssertionError, match="has no place"):
        Ready(mine, orm.database._statements.dialect, {})


async def test_a_failed_statement_tells_the_log_none_of_its_values(orm: Orm) -> None:
    async with orm.database.write() as write:
        with pytest.raises(DBAPIError) as failed:
            await write.connection.execute(text("SELECT 1 FROM nowhere WHERE name = :name"), {"name": "a-hash-of-a-password"})
    assert "nowhere" in str(failed.value)
    assert "a-hash-of-a-password" not in str(failed.value)
