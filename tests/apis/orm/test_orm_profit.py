"""Profit of fills, against laws and against an independent reckoning of single units."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.profit import Fill, Ledger, Outcome, quote_fee
from fullon_master_api.bus import trades_topic
from fullon_master_api.errors import BadUserInput, Immutable, NotFound
from fullon_master_api.model import Side, Trade
from tests.apis.orm.conftest import World

CENT = Decimal("0.00000001")


def amounts(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=places)


@st.composite
def fills(draw: st.DrawFn) -> Fill:
    volume = draw(amounts("0.00000001", "1000", 8))
    price = draw(amounts("0.01", "100000", 2))
    fee = draw(amounts("0", "50", 5))
    return Fill(side=draw(st.sampled_from(Side)), volume=volume, cost=volume * price, fee=fee)


def matched(series: Sequence[Fill]) -> list[Outcome]:
    ledger = Ledger()
    return [ledger.add(fill) for fill in series]


def signed(fill: Fill) -> Decimal:
    return fill.volume if fill.side is Side.BUY else -fill.volume


@given(st.lists(fills(), max_size=25))
def test_the_position_is_the_sum_of_the_fills(series: list[Fill]) -> None:
    for number, outcome in enumerate(matched(series), start=1):
        assert outcome.cur_volume == sum((signed(fill) for fill in series[:number]), Decimal(0))


@given(st.lists(fills(), min_size=1, max_size=25))
def test_what_is_won_by_the_time_nothing_is_held_is_the_cash_less_the_fees(series: list[Fill]) -> None:
    held = sum((signed(fill) for fill in series), Decimal(0))
    if held:
        side = Side.SELL if held > 0 else Side.BUY
        series = [*series, Fill(side=side, volume=abs(held), cost=abs(held) * 7, fee=Decimal("0.5"))]
    outcomes = matched(series)
    cash = sum((fill.cost if fill.side is Side.SELL else -fill.cost for fill in series), Decimal(0))
    fees = sum((fill.fee for fill in series), Decimal(0))
    won = sum((outcome.roi for outcome in outcomes if outcome.roi is not None), Decimal(0))
    assert outcomes[-1].cur_volume == outcomes[-1].cur_avg_cost == outcomes[-1].cur_fee == 0
    assert abs(won - (cash - fees)) <= CENT * len(series)
    told = sum((outcome.total_fee for outcome in outcomes if outcome.total_fee is not None), Decimal(0))
    assert abs(told - fees) <= CENT * len(series)


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 6), st.integers(1, 50), st.integers(0, 5)), max_size=15))
def test_fifo_of_lots_equals_fifo_of_single_units(series: list[tuple[Side, int, int, int]]) -> None:
    """The oracle holds one entry for each unit: its signed price, and its share of the fee."""
    units: deque[tuple[Side, Decimal, Decimal]] = deque()
    ledger = Ledger()
    for side, volume, price, fee in series:
        won = Decimal(0)
        for _ in range(volume):
            share = Decimal(fee) / volume
            if units and units[0][0] is not side:
                _, entry, entry_fee = units.popleft()
                won += (price - entry if side is Side.SELL else entry - price) - share - entry_fee
            else:
                units.append((side, Decimal(price), share))
        outcome = ledger.add(Fill(side=side, volume=Decimal(volume), cost=Decimal(volume * price), fee=Decimal(fee)))
        assert abs(outcome.cur_volume) == len(units)
        assert abs((outcome.roi or 0) - won) <= CENT


@given(st.lists(fills(), max_size=20))
def test_a_fill_closes_when_it_is_against_the_position_and_only_then(series: list[Fill]) -> None:
    held = Decimal(0)
    for fill, outcome in zip(series, matched(series), strict=True):
        assert outcome.closing == (held * signed(fill) < 0)
        assert (outcome.roi is None) == (outcome.roi_pct is None) == (outcome.total_fee is None) == (not outcome.closing)
        held += signed(fill)


def test_a_round_trip_by_hand() -> None:
    series = [
        Fill(side=Side.BUY, volume=Decimal(2), cost=Decimal(200), fee=Decimal(2), leverage=Decimal(3)),
        Fill(side=Side.BUY, volume=Decimal(1), cost=Decimal(130), fee=Decimal(1)),
        Fill(side=Side.SELL, volume=Decimal("2.5"), cost=Decimal(300), fee=Decimal("2.5")),
        Fill(side=Side.SELL, volume=Decimal(1), cost=Decimal(100), fee=Decimal(1)),
    ]
    _, second, third, last = matched(series)
    assert [second.cur_volume, second.cur_avg_price, second.cur_avg_cost, second.cur_fee] == [3, 110, 330, 3]
    # 2 bought at 100 sold at 120 less fees 2 + 2; half of 1 bought at 130 sold at 120 less fees 0.5 + 0.5.
    assert [third.roi, third.total_fee, third.cur_volume] == [Decimal(36) - Decimal(6), 5, Decimal("0.5")]
    assert third.roi_pct == ((36 * 3 - 6) * 100 / Decimal("267.5")).quantize(CENT)
    # The last half, and then half a unit short.
    assert [last.roi, last.cur_volume, last.cur_avg_price] == [Decimal(-16), Decimal("-0.5"), 100]


def test_a_fee_in_the_base_currency_counts_at_the_fills_price_and_one_in_a_third_does_not() -> None:
    fee, price = Decimal("0.001"), Decimal(50000)
    found = [quote_fee("BTC/USD", fee=fee, fee_currency=currency, price=price) for currency in ("BTC", "USD", None, "KFEE")]
    assert found == [50, fee, fee, 0]


# ---- stored ------------------------------------------------------------------------------------------------------------


def rows(world: World, series: Sequence[Fill], *, symbol: str = "BTC/USD") -> list[dict[str, object]]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "ex_trade_id": f"T{number}",
            "ex_order_id": "O1",
            "ex_id": world.ana_account.ex_id,
            "symbol": symbol,
            "side": fill.side.value,
            "volume": fill.volume,
            "price": (fill.cost / fill.volume).quantize(Decimal("0.01")),
            "cost": fill.cost,
            "fee": fill.fee,
            "time": start + timedelta(seconds=number),
        }
        for number, fill in enumerate(series)
    ]


SERIES = [
    Fill(side=Side(side), volume=Decimal(volume), cost=Decimal(volume) * Decimal(price), fee=Decimal("0.1"))
    for side, volume, price in [
        ("buy", "2", "100"),
        ("sell", "1", "110"),
        ("sell", "1", "90"),
        ("sell", "3", "95"),
        ("buy", "4", "80"),
        ("sell", "0.5", "85"),
    ]
]


@pytest.mark.parametrize("cut", range(len(SERIES) + 1))
async def test_fills_saved_in_parts_and_again_are_stored_once_with_the_same_profits(orm: Orm, world: World, cut: int) -> None:
    given = rows(world, SERIES)
    first = await orm.trades.save_trades(given[:cut])
    rest = await orm.trades.save_trades(given)
    assert [len(first), len(rest)] == [cut, len(SERIES) - cut]
    assert await orm.trades.save_trades(given) == []
    stored = (await orm.trades.page(world.ana, order="trade_id")).rows
    assert stored == [*first, *rest]
    for trade, outcome in zip(stored, matched(SERIES), strict=True):
        assert (trade.roi, trade.roi_pct, trade.cur_volume) == (outcome.roi, outcome.roi_pct, outcome.cur_volume)
    events = await orm.events.read_after(trades_topic(world.ana.uid), 0, 100)
    assert len(events) == len(SERIES)


async def test_fills_of_one_symbol_know_nothing_of_another(orm: Orm, world: World) -> None:
    both = [rows(world, SERIES), [row | {"ex_order_id": "O2"} for row in rows(world, SERIES, symbol="ETH/USD")]]
    saved = await orm.trades.save_trades(list(itertools.chain(*zip(*both, strict=True))))
    by_symbol: dict[str, list[Trade]] = {}
    for trade in saved:
        by_symbol.setdefault(trade.symbol, []).append(trade)
    assert [trade.roi for trade in by_symbol["BTC/USD"]] == [trade.roi for trade in by_symbol["ETH/USD"]]


async def test_a_fill_finds_its_order_and_its_bot(orm: Orm, world: World) -> None:
    asked = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 2, "ex_order_id": "O1"}
    order = await orm.orders.place(world.ana, asked | {"bot_id": world.ana_bot.bot_id})
    (trade,) = await orm.trades.save_trades(rows(world, SERIES[:1]))
    assert (trade.order_id, trade.bot_id, trade.uid) == (order.order_id, world.ana_bot.bot_id, world.ana.uid)
    ((same,),) = await orm.trades.of_orders([order.order_id], world.ana)
    assert same == trade
    assert await orm.trades.of_orders([order.order_id], world.ben) == [[]]


async def test_a_live_fill_never_changes_and_a_bad_one_names_its_place(orm: Orm, world: World) -> None:
    (trade,) = await orm.trades.save_trades(rows(world, SERIES[:1]))
    with pytest.raises(Immutable):
        await orm.trades.refuse_change(trade.trade_id, world.ana)
    with pytest.raises(NotFound):
        await orm.trades.refuse_change(trade.trade_id, world.ben)
    bad = rows(world, SERIES)
    bad[2] |= {"volume": Decimal(0)}
    with pytest.raises(BadUserInput) as refused:
        await orm.trades.save_trades(bad)
    assert refused.value.path == (2, "volume")
    with pytest.raises(NotFound):
        await orm.trades.save_trades(rows(world, SERIES[1:]), principal=world.ben)
    assert (await orm.trades.page(None)).rows == [trade]


@pytest.mark.parametrize("statement", ["UPDATE trades SET price = '1'", "DELETE FROM trades"])
async def test_no_other_program_changes_a_live_fill_either(orm: Orm, world: World, url: str, statement: str) -> None:
    (trade,) = await orm.trades.save_trades(rows(world, SERIES[:1]))
    engine = create_async_engine(url)
    with pytest.raises(IntegrityError, match="can neither be changed nor removed"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    await engine.dispose()
    assert (await orm.trades.page(None)).rows == [trade]


async def test_a_live_fill_outlives_its_bot(orm: Orm, world: World) -> None:
    (trade,) = await orm.trades.save_trades([row | {"bot_id": world.ana_bot.bot_id} for row in rows(world, SERIES[:1])])
    await orm.bots.remove(world.ana_bot.bot_id, world.ana)
    (kept,) = (await orm.trades.page(None)).rows
    assert (trade.bot_id, kept.bot_id, kept.price) == (world.ana_bot.bot_id, None, trade.price)


async def test_removing_or_correcting_a_dry_fill_leaves_what_saving_the_others_would_have_left(orm: Orm, world: World) -> None:
    def dry(fill: Fill) -> dict[str, object]:
        price = fill.cost / fill.volume
        common = {"bot_id": world.ana_bot.bot_id, "symbol": "BTC/USD", "side": fill.side.value}
        return common | {"volume": fill.volume, "price": price, "fee": fill.fee}

    saved = [await orm.dry_trades.save(dry(fill), principal=world.ana) for fill in SERIES]
    assert [trade.roi for trade in saved] == [outcome.roi for outcome in matched(SERIES)]
    await orm.dry_trades.remove(saved[1].trade_id, world.ana)
    kept = [SERIES[0], *SERIES[2:]]
    left = (await orm.dry_trades.page(world.ana, order="trade_id")).rows
    assert [(trade.roi, trade.closingtrade) for trade in left] == [(outcome.roi, outcome.closing) for outcome in matched(kept)]
    corrected = await orm.dry_trades.modify(saved[0].trade_id, world.ana, {"price": Decimal(120)})
    assert corrected.cost == 240
    kept[0] = Fill(side=Side.BUY, volume=Decimal(2), cost=Decimal(240), fee=Decimal("0.1"))
    left = (await orm.dry_trades.page(world.ana, order="trade_id")).rows
    assert [trade.roi for trade in left] == [outcome.roi for outcome in matched(kept)]
    with pytest.raises(NotFound):
        await orm.dry_trades.remove(saved[0].trade_id, world.ben)
