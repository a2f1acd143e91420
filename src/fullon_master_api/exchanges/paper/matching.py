"""Orders of the paper exchange's accounts, matched against the market's own path.

An account's orders do not move the market: they meet the quotes and trades of the price source and leave no mark on them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Final

from fullon_master_api.exchanges.paper.accounts import FEE_STEP, PaperAccount, PaperFill, PaperOrder, Refusal
from fullon_master_api.exchanges.paper.book import Book, Level
from fullon_master_api.exchanges.paper.markets import PaperMarket, scaled
from fullon_master_api.exchanges.paper.tape import Tape, TapeTrade

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ORDER_TYPES: Final = ("market", "limit")

Listener = Callable[[PaperAccount, PaperOrder, str, PaperFill | None], None]
"""Told of each step of an order: `pending_new`, `new`, `trade` (with its fill), `filled`, `canceled`, `amended`."""


class Matching:
    """Takes orders, keeps those that rest in the order of price and time, fills them as the market moves."""

    def __init__(self, tapes: Mapping[str, Tape]) -> None:
        self.listeners: list[Listener] = []
        self._tapes = tapes
        self._by_name = {name: tape for tape in tapes.values() for name in tape.market.names()}
        self._resting: dict[str, list[tuple[PaperAccount, PaperOrder]]] = defaultdict(list)
        self._taken: dict[str, tuple[Book, dict[int, int]]] = {}
        # From the clock on, so that no id of an earlier run comes again: whoever stored that would take it for a repeat.
        self._order_numbers, self._fill_numbers = count(time.time_ns()), count(time.time_ns())

    def place(self, account: PaperAccount, request: Mapping[str, str]) -> PaperOrder:
        """Take an order, in the words of REST `AddOrder`: pair, type, ordertype, volume, price, timeinforce, oflags, …

        Raises: Refusal with Kraken's text; nothing has changed then.
        """
        tape = self._by_name.get(request.get("pair", ""))
        if tape is None:
            raise Refusal("EQuery:Unknown asset pair")
        order = self._checked(tape, account, request)
        self._check_funds(tape, account, order)
        if request.get("validate") in ("true", "True", "1"):
            return order
        account.orders[order.order_id] = order
        self._tell(account, order, "pending_new")
        self._tell(account, order, "new")
        self._cross(tape, account, order, maker=False)
        if order.is_open and (order.order_type == "market" or order.time_in_force != "GTC"):
            self._end(account, order, "Insufficient liquidity" if order.order_type == "market" else "IOC")
        elif order.is_open:
            self.rest(account, order)
        return order

    def rest(self, account: PaperAccount, order: PaperOrder) -> None:
        """Let an open order wait for the market: buys with the highest price first, sells with the lowest, then by time."""
        resting = self._resting[order.market.symbol]
        resting.append((account, order))
        resting.sort(key=lambda pair: (pair[1].ticks or 0) * (-1 if pair[1].side == "buy" else 1))

    def cancel(self, account: PaperAccount, order_id: str) -> PaperOrder:
        """Raises: Refusal for an order that is not open."""
        order = account.orders.get(order_id) or next(
            (known for known in account.open_orders if order_id in (known.client_order_id, str(known.userref or ""))), None
        )
        if order is None or not order.is_open:
            raise Refusal("EOrder:Unknown order")
        self._end(account, order, "User requested")
        return order

    def amend(self, account: PaperAccount, order_id: str, *, quantity: str | None, price: str | None) -> PaperOrder:
        """Change what is left of a resting order; it keeps its id and what was filled."""
        order = account.orders.get(order_id)
        if order is None or not order.is_open:
            raise Refusal("EOrder:Unknown order")
        lots = order.lots if quantity is None else _steps(quantity, order.market.lot_decimals, "volume")
        ticks = order.ticks if price is None else _steps(price, order.market.pair_decimals, "price")
        if lots <= order.filled:
            raise Refusal("EOrder:Order minimum not met")
        before = order.lots, order.ticks
        order.lots, order.ticks = lots, ticks
        asset, _ = order.held
        if account.free(asset) < 0:
            order.lots, order.ticks = before
            raise Refusal("EOrder:Insufficient funds")
        self._tell(account, order, "amended")
        self._cross(self._tapes[order.market.symbol], account, order, maker=False)
        self._forget_closed(order.market.symbol)
        return order

    def on_trades(self, tape: Tape, trades: Sequence[TapeTrade]) -> None:
        """Resting orders share in the trades at their price or through it, the better price and the older order first."""
        for trade in trades if self._resting.get(tape.market.symbol) else ():
            ticks, left = scaled(trade.price, tape.market.pair_decimals), scaled(trade.quantity, tape.market.lot_decimals)
            for account, order in self._resting[tape.market.symbol]:
                if left > 0 and order.is_open and order.side != trade.side and _acceptable(order, ticks):
                    lots = min(left, order.left)
                    self._fill(tape, account, order, order.ticks or ticks, lots, maker=True)
                    left -= lots
        self._forget_closed(tape.market.symbol)

    def on_book(self, tape: Tape) -> None:
        """Quotes that moved across a resting order fill it, at its own price."""
        for account, order in self._resting.get(tape.market.symbol) or ():
            self._cross(tape, account, order, maker=True)
        self._forget_closed(tape.market.symbol)

    def _checked(self, tape: Tape, account: PaperAccount, request: Mapping[str, str]) -> PaperOrder:
        market = tape.market
        side, order_type = request.get("type", ""), request.get("ordertype", "")
        flags = request.get("oflags", "").split(",")
        if side not in ("buy", "sell") or order_type not in ORDER_TYPES or "viqc" in flags:
            raise Refusal(f"EGeneral:Invalid arguments:{'ordertype' if side in ('buy', 'sell') else 'type'}")
        lots = _steps(request.get("volume", ""), market.lot_decimals, "volume")
        ticks = _steps(request.get("price", ""), market.pair_decimals, "price") if order_type == "limit" else None
        if lots < scaled(market.quantity_min, market.lot_decimals):
            raise Refusal("EOrder:Order minimum not met")
        book = tape.book
        if book is None:
            raise Refusal("EService:Market in cancel_only mode")
        reference = ticks if ticks is not None else (book.ask[0] if side == "buy" else book.bid[0])
        if _cost(market, reference, lots) < Decimal(market.cost_min):
            raise Refusal("EOrder:Cost minimum not met")
        client_order_id = request.get("cl_ord_id")
        if client_order_id and any(order.client_order_id == client_order_id for order in account.open_orders):
            raise Refusal("EGeneral:Invalid arguments:cl_ord_id")
        if "post" in flags and ticks is not None and (ticks >= book.ask[0] if side == "buy" else ticks <= book.bid[0]):
            raise Refusal("EOrder:Post only order")
        return PaperOrder(
            order_id=_name("O", next(self._order_numbers)),
            market=market,
            side=side,
            order_type=order_type,
            lots=lots,
            ticks=ticks,
            opened_ns=_now_ns(),
            client_order_id=client_order_id,
            userref=int(request.get("userref") or 0),
            time_in_force=request.get("timeinforce", "GTC").upper(),
            post_only="post" in flags,
        )

    def _check_funds(self, tape: Tape, account: PaperAccount, order: PaperOrder) -> None:
        asset, amount = order.held
        if order.side == "buy" and order.order_type == "market":
            levels = self._reachable(tape, order)
            cost = sum((_cost(order.market, ticks, lots) for ticks, lots in levels), Decimal(0))
            if levels:  # What the quotes cannot fill is reckoned at the worst of them.
                cost += _cost(order.market, levels[-1][0], order.left - sum(lots for _, lots in levels))
            amount = cost * (1 + order.market.taker_fee)
        if account.free(asset) < amount:
            raise Refusal("EOrder:Insufficient funds")

    def _reachable(self, tape: Tape, order: PaperOrder) -> list[Level]:
        """What the other side offers at an acceptable price, without what was taken from these very quotes before."""
        book = tape.book
        if book is None:
            return []
        known, taken = self._taken.get(tape.market.symbol, (None, {}))
        levels: list[Level] = []
        left = order.left
        for ticks, standing in book.asks if order.side == "buy" else book.bids:
            lots = min(left, standing - (taken.get(ticks, 0) if known is book else 0))
            if left <= 0 or not _acceptable(order, ticks):
                break
            if lots > 0:
                levels.append((ticks, lots))
                left -= lots
        return levels

    def _cross(self, tape: Tape, account: PaperAccount, order: PaperOrder, *, maker: bool) -> None:
        levels = self._reachable(tape, order)
        if order.time_in_force == "FOK" and sum(lots for _, lots in levels) < order.left:
            return
        for ticks, lots in levels:
            assert tape.book is not None, "an empty book offered a level"
            known, taken = self._taken.get(tape.market.symbol, (None, {}))
            if known is not tape.book:
                self._taken[tape.market.symbol] = (tape.book, taken := {})
            taken[ticks] = taken.get(ticks, 0) + lots
            self._fill(tape, account, order, (order.ticks or ticks) if maker else ticks, lots, maker=maker)

    def _fill(self, tape: Tape, account: PaperAccount, order: PaperOrder, ticks: int, lots: int, *, maker: bool) -> None:
        market = order.market
        cost = _cost(market, ticks, lots)
        number = next(self._fill_numbers)
        fill = PaperFill(
            fill_id=_name("T", number),
            number=number,
            order_id=order.order_id,
            market=market,
            side=order.side,
            order_type=order.order_type,
            ticks=ticks,
            lots=lots,
            cost=cost,
            fee=(cost * (market.maker_fee if maker else market.taker_fee)).quantize(FEE_STEP),
            maker=maker,
            at_ns=_now_ns(),
        )
        account.book(order, fill)
        self._tell(account, order, "trade", fill)
        if order.status == "filled":
            self._tell(account, order, "filled")

    def _end(self, account: PaperAccount, order: PaperOrder, reason: str) -> None:
        order.status, order.reason, order.closed_ns = "canceled", reason, _now_ns()
        self._forget_closed(order.market.symbol)
        self._tell(account, order, "canceled")

    def _forget_closed(self, symbol: str) -> None:
        resting = self._resting.get(symbol)
        if resting:
            self._resting[symbol] = [pair for pair in resting if pair[1].is_open]

    def _tell(self, account: PaperAccount, order: PaperOrder, step: str, fill: PaperFill | None = None) -> None:
        for listener in self.listeners:
            listener(account, order, step, fill)


def _now_ns() -> int:
    """Orders and fills happen now, in whole microseconds, also where the market is a recording of another year."""
    return time.time_ns() // 1000 * 1000


def _acceptable(order: PaperOrder, ticks: int) -> bool:
    if order.ticks is None:
        return True
    return ticks <= order.ticks if order.side == "buy" else ticks >= order.ticks


def _cost(market: PaperMarket, ticks: int, lots: int) -> Decimal:
    return Decimal(ticks * lots).scaleb(-market.pair_decimals - market.lot_decimals)


def _steps(text: str, decimals: int, name: str) -> int:
    try:
        steps = scaled(text, decimals)
    except ValueError as error:
        raise Refusal(f"EGeneral:Invalid arguments:{name}") from error
    if steps <= 0:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return steps


def _name(kind: str, number: int) -> str:
    """An id of Kraken's form, as `OAAAAA-AAAAA-AAAAAB`, rising with its number."""
    letters = "".join(LETTERS[number >> shift & 31] for shift in range(75, -5, -5))
    return f"{kind}{letters[:5]}-{letters[5:10]}-{letters[10:16]}"
