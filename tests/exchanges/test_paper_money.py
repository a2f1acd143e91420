"""Laws of the paper exchange's money, whatever is ordered and however the market moves."""

from __future__ import annotations

import base64
from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fullon_master_api.exchanges.paper.accounts import PaperAccount, Refusal
from fullon_master_api.exchanges.paper.events import MarketEvent
from fullon_master_api.exchanges.paper.markets import MARKETS
from fullon_master_api.exchanges.paper.matching import Matching
from fullon_master_api.exchanges.paper.tape import Tape
from tests.exchanges.still_market import event

SECRET = base64.b64encode(b"s" * 64).decode()
START = {"ZUSD": Decimal(1_000), "XXBT": Decimal(5)}

orders = st.fixed_dictionaries(
    {
        "pair": st.just("XBTUSD"),
        "type": st.sampled_from(["buy", "sell"]),
        "ordertype": st.sampled_from(["market", "limit"]),
        "volume": st.decimals("0.01", "9", places=8).map(str),
        "price": st.decimals("97", "103", places=1).map(str),
        "timeinforce": st.sampled_from(["GTC", "IOC", "FOK"]),
    }
)
moves = st.one_of(
    st.builds(lambda bid: event(bid=bid), bid=st.integers(960, 1_040)),
    st.builds(
        lambda ticks, lots, side: event(number=7, price=f"{ticks / 10:.1f}", quantity=f"{lots / 100:.8f}", side=side),
        ticks=st.integers(970, 1_030),
        lots=st.integers(1, 500),
        side=st.sampled_from(["buy", "sell"]),
    ),
)


@given(steps=st.lists(st.one_of(orders, moves, st.integers(0, 5)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_money_only_moves_by_fills_and_is_never_owed(steps: list[dict[str, str] | MarketEvent | int]) -> None:
    tape = Tape(next(market for market in MARKETS if market.symbol == "BTC/USD"))
    matching = Matching({"BTC/USD": tape})
    tape.on_trades, tape.on_book = matching.on_trades, matching.on_book
    account = PaperAccount("key", SECRET, START)
    first = event(number=1, bid=1_000)
    tape.add_trades(first.trades)
    assert first.book is not None
    tape.set_book(first.book, first.at_ns)

    for step in steps:
        if isinstance(step, dict):
            with suppress(Refusal):
                matching.place(account, step)
        elif isinstance(step, int):
            for order in account.open_orders[step : step + 1]:
                matching.cancel(account, order.order_id)
        elif step.book is not None:
            tape.set_book(step.book, step.at_ns)
        else:
            tape.add_trades(step.trades)

        fills = list(account.fills.values())
        bought = sum((Decimal(f.lots) / 10**8 * (1 if f.side == "buy" else -1) for f in fills), Decimal(0))
        paid = sum((f.cost * (1 if f.side == "buy" else -1) + f.fee for f in fills), Decimal(0))
        assert account.balances == {"ZUSD": START["ZUSD"] - paid, "XXBT": START["XXBT"] + bought}
        assert all(account.free(asset) >= 0 for asset in START), "what orders hold back must be there"
        for order in account.orders.values():
            own = [account.fills[fill_id] for fill_id in order.fills]
            assert order.filled == sum(fill.lots for fill in own) <= order.lots
            assert order.is_open == (order.status in ("new", "partially_filled"))
            assert not (order.is_open and (order.order_type == "market" or order.time_in_force != "GTC"))
            if order.order_type == "limit":
                limit = order.ticks or 0
                assert all(f.ticks <= limit if f.side == "buy" else f.ticks >= limit for f in own)
            if order.time_in_force == "FOK" and order.order_type == "limit":
                assert order.filled in (0, order.lots)
