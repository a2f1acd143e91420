"""The order book-keeping for Kraken: whatever is doubled, overtaken or mixed, the end is the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fullon_master_api.exchanges.kraken_rows import OrderLedger
from fullon_master_api.exchanges.trade_sieve import TradeSieve
from fullon_master_api.model import OrderStatus, Side

Row = dict[str, Any]


def life(order_id: str, parts: list[int], *, canceled: bool) -> list[Row]:
    """What Kraken says of an order of 100: symbol and side at first, then changes, fills, and the sum at the end."""
    head = {
        "order_id": order_id,
        "symbol": "BTC/USD",
        "side": "buy",
        "order_qty": "100",
        "order_type": "limit",
        "limit_price": "5",
    }
    rows: list[Row] = [
        head | {"exec_type": "pending_new", "order_status": "pending_new", "timestamp": "2026-01-01T00:00:00.000001Z"}
    ]
    rows.append({"order_id": order_id, "exec_type": "new", "order_status": "new", "timestamp": "2026-01-01T00:00:00.000001Z"})
    done = 0
    for number, part in enumerate(parts):
        done += part
        status = "filled" if done == 100 else "partially_filled"
        fill = {"exec_id": f"{order_id}:{number}", "exec_type": "trade", "last_qty": str(part), "last_price": str(4 + number % 2)}
        rows.append({"order_id": order_id, "symbol": "BTC/USD", "side": "buy", "order_status": status} | fill)
    if done == 100 or canceled:
        end = "filled" if done == 100 else "canceled"
        rows.append({"order_id": order_id, "exec_type": end, "order_status": end, "cum_qty": str(done), "avg_price": "4.5"})
    return rows


parts = st.lists(st.integers(1, 40), max_size=5).map(
    lambda sizes: [size for number, size in enumerate(sizes) if sum(sizes[: number + 1]) <= 100]
)
lives = st.builds(lambda sizes, canceled: (sizes, canceled), parts, st.booleans())


@given(
    plans=st.lists(lives, min_size=1, max_size=3),
    swaps=st.lists(st.integers(0, 30), max_size=8),
    doubles=st.lists(st.integers(0, 30), max_size=8),
)
def test_doubled_and_overtaken_rows_lead_to_the_same_end(
    plans: list[tuple[list[int], bool]], swaps: list[int], doubles: list[int]
) -> None:
    rows = [row for number, (sizes, canceled) in enumerate(plans) for row in life(f"O{number}", sizes, canceled=canceled)]
    for at in doubles:
        rows.insert(min(at, len(rows)), rows[min(at, len(rows) - 1)])
    for at in swaps:  # Neighbours change places; an order's first row stays first, as its subscription's snapshot would be.
        if at + 1 < len(rows) and "pending_new" not in (rows[at]["exec_type"], rows[at + 1]["exec_type"]):
            rows[at], rows[at + 1] = rows[at + 1], rows[at]

    ledger = OrderLedger()
    ledger.start([], [])
    newest = {}
    for row in rows:
        for state in ledger.read([row]):
            newest[state.ex_order_id] = state

    for number, (sizes, canceled) in enumerate(plans):
        state, done = newest[f"O{number}"], sum(sizes)
        assert (state.filled, state.symbol, state.side, state.quantity) == (Decimal(done), "BTC/USD", Side.BUY, Decimal(100))
        if done == 100:
            assert state.status is OrderStatus.FILLED
        elif canceled:
            assert state.status is OrderStatus.CANCELED
        else:
            assert state.status is (OrderStatus.PARTIALLY_FILLED if done else OrderStatus.OPEN)


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29)))
def test_the_sieve_passes_each_number_once_and_ends_without_a_hole(order: list[int], again: list[int]) -> None:
    sieve = TradeSieve("kraken", "BTC/USD")
    assert sieve.is_new(0)

    passed = [number for number in [*order, *again] if sieve.is_new(number)]
    sieve.check(0.0)
    sieve.check(1e9)

    assert passed == order
