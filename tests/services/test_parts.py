"""The parts of the services that only compute: back-off, tape, spans, matcher, rules, positions, boards, rosters."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.apis.ohlcv import Interval
from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.adapter import Market
from fullon_master_api.model import Balance, MarketTrade, Order, OrderStatus, OrderType, ServiceState, Side, Ticker, Trade
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.live_account import sent_id
from fullon_master_api.services.matcher import Matcher
from fullon_master_api.services.positions import PositionBook
from fullon_master_api.services.roster import Roster
from fullon_master_api.services.rules import check_balance, request_of
from fullon_master_api.services.spans import DAY_NS, chunks, holes, to_next_night_s
from fullon_master_api.services.tape import Tape

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKET = Market(
    symbol="BTC/USD",
    base="BTC",
    quote="USD",
    price_step=Decimal("0.1"),
    quantity_step=Decimal("0.001"),
    quantity_min=Decimal("0.002"),
    cost_min=Decimal(5),
    taker_fee=Decimal("0.004"),
    maker_fee=Decimal("0.0025"),
)


def trade(number: int, *, at_ns: int | None = None, name: str | None = None) -> MarketTrade:
    event_ns = number * 1000 if at_ns is None else at_ns
    return MarketTrade(trade_id=name or str(number), event_ns=event_ns, price="1", quantity="1", side=Side.BUY)


def order(**values: object) -> Order:
    given: dict[str, object] = {
        "order_id": 1,
        "bot_id": None,
        "uid": 1,
        "ex_id": 1,
        "cat_ex_id": 1,
        "exchange": "kraken",
        "symbol": "BTC/USD",
        "order_type": OrderType.LIMIT,
        "side": Side.BUY,
        "volume": Decimal(1),
        "price": Decimal(100),
        "status": OrderStatus.OPEN,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Order(**(given | values))  # type: ignore[arg-type]


def quote(bid: str | None, ask: str | None, last: str | None = None) -> Ticker:
    return Ticker(exchange="kraken", symbol="BTC/USD", bid=bid, ask=ask, last=last, received_ns=1)


# ---- back-off ----------------------------------------------------------------------------------------------------------


def test_waits_double_up_to_the_most_and_are_drawn_from_the_upper_half() -> None:
    low, high = Backoff(first_s=1.0, max_s=10.0, draw=lambda: 0.0), Backoff(first_s=1.0, max_s=10.0, draw=lambda: 1.0)
    assert [low.next_s() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert [high.next_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    high.reset()
    assert high.next_s() == 1.0


# ---- tape --------------------------------------------------------------------------------------------------------------


@given(st.permutations(range(2, 9)), st.lists(st.integers(2, 8), max_size=5))
def test_trades_come_out_once_and_in_order_however_they_come_in(numbers: list[int], repeats: list[int]) -> None:
    tape = Tape(after=trade(1))
    given_out = [one for number in [*numbers, *repeats] for one in tape.live([trade(number)])]
    assert [int(one.trade_id) for one in given_out] == list(range(2, 9))
    assert not tape.missing


def test_what_follows_a_hole_waits_until_the_history_fills_it() -> None:
    tape = Tape(after=trade(1))
    assert tape.live([trade(3), trade(5)]) == []
    assert (tape.missing, tape.held, tape.gaps) == (True, 2, 1)
    assert [one.trade_id for one in tape.history([trade(1), trade(2)])] == ["2", "3"]
    assert tape.missing
    assert [one.trade_id for one in tape.history([trade(3), trade(4), trade(5), trade(6)])] == ["4", "5", "6"]
    assert not tape.missing


def test_a_hole_that_the_history_does_not_fill_is_given_up() -> None:
    tape = Tape(after=trade(1))
    tape.live([trade(4), trade(3)])
    assert [one.trade_id for one in tape.give_up()] == ["3", "4"]
    assert [one.trade_id for one in tape.live([trade(5)])] == ["5"]


def test_an_exchange_whose_numbers_have_holes_is_found_out_by_its_history() -> None:
    tape = Tape(after=trade(1))
    tape.history([trade(1), trade(7), trade(20)])
    assert not tape.numbered
    assert [one.trade_id for one in tape.live([trade(99)])] == ["99"]


def test_ids_that_are_no_numbers_are_ordered_by_time() -> None:
    tape = Tape()
    given_out = tape.live([trade(0, at_ns=5, name="b-2"), trade(0, at_ns=3, name="a-9")])
    assert [one.trade_id for one in given_out] == ["a-9", "b-2"]


def test_trades_of_one_instant_are_ordered_by_number_and_not_by_text() -> None:
    for numbers in permutations((9, 10, 11)):
        tape = Tape(after=trade(8, at_ns=1))
        given_out = [one for number in numbers for one in tape.live([trade(number, at_ns=1)])]
        assert [one.trade_id for one in given_out] == ["9", "10", "11"]


# ---- spans -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), max_size=6), st.integers(0, 60), st.integers(1, 60))
def test_holes_and_covered_spans_make_up_the_whole_range(parts: list[tuple[int, int]], start: int, length: int) -> None:
    covered, at = [], 0
    for gap, width in parts:
        covered.append(Interval(start_ns=at + gap, end_ns=at + gap + width))
        at += gap + width + 1
    end = start + length
    open_points = {point for hole in holes(covered, start, end) for point in range(*hole)}
    closed_points = {point for interval in covered for point in range(interval.start_ns, interval.end_ns)}
    assert open_points == set(range(start, end)) - closed_points


def test_history_is_filled_in_pieces_newest_first() -> None:
    assert chunks([(0, DAY_NS), (5 * DAY_NS, 7 * DAY_NS + 1)]) == [
        (6 * DAY_NS + 1, 7 * DAY_NS + 1),
        (5 * DAY_NS + 1, 6 * DAY_NS + 1),
        (5 * DAY_NS, 5 * DAY_NS + 1),
        (0, DAY_NS),
    ]
    assert len(chunks([(0, 400 * DAY_NS)])) == 30


@pytest.mark.parametrize(("hour", "minute", "seconds"), [(0, 4, 60), (0, 5, 86_400), (23, 5, 3_600)])
def test_the_day_before_is_read_again_five_minutes_after_midnight(hour: int, minute: int, seconds: int) -> None:
    now = datetime(2026, 3, 1, hour, minute, tzinfo=UTC)
    assert to_next_night_s(int(now.timestamp()) * 10**9) == seconds


# ---- matcher -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "quotes", "fill"),
    [
        (order(order_type=OrderType.MARKET, price=None), [quote("99", "101")], ("101", False)),
        (order(order_type=OrderType.MARKET, price=None, side=Side.SELL), [quote("99", "101")], ("99", False)),
        (order(order_type=OrderType.MARKET, price=None), [quote(None, None, "100")], ("100", False)),
        (order(), [quote("98", "99")], ("99", False)),
        (order(), [quote("100", "101"), quote("98", "99")], ("100", True)),
        (order(), [quote("100", "100.5")], None),
        (order(side=Side.SELL), [quote("99", "101"), quote("103", "104")], ("100", True)),
        (order(order_type=OrderType.STOP), [quote("98", "99")], None),
        (order(order_type=OrderType.STOP), [quote("98", "99"), quote("100", "102")], ("102", False)),
        (order(order_type=OrderType.STOP, side=Side.SELL), [quote("101", "102"), quote("99", "100")], ("99", False)),
        (order(order_type=OrderType.TAKE_PROFIT, side=Side.SELL), [quote("99", "100"), quote("101", "102")], ("101", False)),
        (order(order_type=OrderType.STOP_LIMIT, plimit=Decimal(101)), [quote("100", "103"), quote("99", "100.5")], ("101", True)),
    ],
)
def test_a_dry_order_fills_as_its_type_says(asked: Order, quotes: list[Ticker], fill: tuple[str, bool] | None) -> None:
    matcher = Matcher()
    matcher.add(asked)
    met = [match for ticker in quotes for _, match in matcher.meet(ticker)]
    assert [(str(match.price), match.maker) for match in met] == ([] if fill is None else [fill])
    assert all(match.quantity == 1 for match in met)
    assert matcher.remove(asked.order_id)
    assert len(matcher) == 0


# ---- rules -------------------------------------------------------------------------------------------------------------


def test_quantity_is_cut_and_the_limit_is_moved_in_the_traders_favour() -> None:
    buy = request_of(order(volume=Decimal("1.23456"), price=Decimal("99.97")), MARKET)
    sell = request_of(order(volume=Decimal("1.23456"), price=Decimal("99.97"), side=Side.SELL), MARKET)
    assert (buy.quantity, buy.price) == (Decimal("1.234"), Decimal("99.9"))
    assert (sell.quantity, sell.price) == (Decimal("1.234"), Decimal("100.0"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"volume": Decimal("0.0019")}, "quantity was 0.0019, must be at least 0.002 BTC"),
        ({"volume": Decimal("0.01")}, "cost was 1, must be at least 5 USD"),
        ({"price": None}, "a limit order needs a price above zero"),
        ({"price": Decimal("0.04")}, "price was 0.04, must be at least 0.1"),
    ],
)
def test_an_order_below_the_minimums_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(BadUserInput, match=reason):
        request_of(order(**values), MARKET)


def test_an_order_that_the_account_cannot_pay_is_refused() -> None:
    held = Balance(ex_id=1, currency="USD", total=Decimal(200), free=Decimal(100), used=Decimal(100), updated_ns=1)
    request = request_of(order(), MARKET)
    with pytest.raises(BadUserInput, match=r"100.4 USD are needed, 100 are free"):
        check_balance(request, MARKET, {"USD": held}, None)
    check_balance(request_of(order(volume=Decimal("0.9")), MARKET), MARKET, {"USD": held}, None)
    with pytest.raises(BadUserInput, match="1 BTC are needed, 0 are free"):
        check_balance(request_of(order(side=Side.SELL), MARKET), MARKET, {"USD": held}, None)


@given(st.integers(1, 10**12), st.integers(0, 10**6))
def test_the_id_an_order_is_sent_under_fits_kraken_and_differs_by_order(order_id: int, later_ms: int) -> None:
    made = datetime.fromtimestamp(1_767_225_600 + later_ms / 1000, UTC)
    sent = sent_id(order(order_id=order_id, created_at=made))
    assert len(sent) <= 18
    assert sent == sent_id(order(order_id=order_id, created_at=made))
    assert sent != sent_id(order(order_id=order_id + 1, created_at=made))


# ---- positions ---------------------------------------------------------------------------------------------------------


def test_positions_follow_the_sums_of_the_stored_fills() -> None:
    def fill(number: int, held: str, price: str, roi: str | None) -> Trade:
        return Trade(
            trade_id=number,
            ex_trade_id=str(number),
            ex_order_id="o",
            uid=1,
            ex_id=7,
            symbol="BTC/USD",
            order_type=OrderType.LIMIT,
            side=Side.BUY,
            volume=Decimal(1),
            price=Decimal(price),
            cost=Decimal(price),
            fee=Decimal(0),
            cur_volume=Decimal(held),
            cur_avg_price=Decimal(price),
            roi=None if roi is None else Decimal(roi),
            time=NOW,
        )

    book = PositionBook(7)
    book.add([fill(1, "1", "100", None), fill(2, "0.5", "100", "5")])
    [position] = book.open()
    assert (position.quantity, position.price, position.count, position.realized_pnl) == (
        Decimal("0.5"),
        Decimal(100),
        2,
        Decimal(5),
    )
    book.add([fill(3, "0", "0", "2")])
    assert book.open() == []


# ---- boards and rosters ------------------------------------------------------------------------------------------------


def test_a_board_is_starting_until_it_is_ready_and_degraded_while_a_feed_is_broken() -> None:
    changes: list[int] = []
    board = FeedBoard(on_change=lambda: changes.append(1))
    gauge = board.feed("kraken:BTC/USD:ticker")
    assert board.state() is ServiceState.STARTING
    board.ready()
    board.ready()
    assert board.state() is ServiceState.RUNNING
    gauge.failed("away")
    gauge.failed("still away")
    assert (board.state(), board.health()[0].error) == (ServiceState.DEGRADED, "still away")
    board.drop("kraken:BTC/USD:ticker")
    assert board.state() is ServiceState.RUNNING
    assert len(changes) == 3


async def test_a_roster_has_exactly_the_wanted_tasks_and_ends_the_others() -> None:
    running: set[str] = set()

    async def work(key: str) -> None:
        running.add(key)
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(key)

    async with asyncio.TaskGroup() as tasks:
        roster = Roster(tasks, work)
        await roster.want(["a", "b"])
        await asyncio.sleep(0)
        assert running == {"a", "b"}
        await roster.want(["b", "c"])
        await asyncio.sleep(0)
        assert running == {"b", "c"}
        await roster.want([])
        assert running == set()


async def test_an_error_of_one_task_of_a_roster_ends_them_all_and_is_raised() -> None:
    async def work(key: str) -> None:
        if key == "bad":
            raise ValueError("bad")
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            await Roster(tasks, work).want(["good", "bad"])
    assert [str(error) for error in caught.value.exceptions] == ["bad"]
