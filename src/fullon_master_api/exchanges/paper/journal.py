"""The orders and fills of the paper exchange's accounts, kept in a file from one start to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from fullon_master_api.exchanges.paper.accounts import PaperAccount, PaperFill, PaperOrder
from fullon_master_api.exchanges.paper.markets import PaperMarket
from fullon_master_api.model import Record


class FillLine(Record, frozen=True, kw_only=True):
    fill_id: str
    number: int
    ticks: int
    lots: int
    cost: Decimal
    fee: Decimal
    maker: bool
    at_ns: int


class OrderLine(Record, frozen=True, kw_only=True):
    """An order as it stood after a step; a later line of the same order replaces it."""

    key: str
    order_id: str
    symbol: str
    pair_decimals: int  # of the ticks
    side: str
    order_type: str
    lots: int
    ticks: int | None
    opened_ns: int
    client_order_id: str | None
    userref: int
    time_in_force: str
    post_only: bool
    status: str
    reason: str
    closed_ns: int | None
    fill: FillLine | None = None  # what this step filled


class Journal:
    """A line of JSON for each step of an order, appended as it happens. A line cut off by a crash is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = list(_read(path)) if path.exists() else []
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = path.open("ab")

    def close(self) -> None:
        self._file.close()

    def note(self, account: PaperAccount, order: PaperOrder, _step: str, fill: PaperFill | None) -> None:
        self._file.write(msgspec.json.encode(_line(account, order, fill)) + b"\n")
        self._file.flush()

    def restore(self, account: PaperAccount, markets: Mapping[str, PaperMarket]) -> list[PaperOrder]:
        """Put back what this account ordered and filled, on the balances it began with; answers the orders still open."""
        for line in self._lines:
            if line.key != account.key or line.symbol not in markets:
                continue
            market = markets[line.symbol]
            order = account.orders.setdefault(line.order_id, _order(line, market))
            if line.fill is not None:
                account.book(order, _fill(line, line.fill, market))
            order.lots, order.ticks = line.lots, _ticks(line.ticks, line, market)
            order.status, order.reason, order.closed_ns = line.status, line.reason, line.closed_ns
        return account.open_orders


def _read(path: Path) -> Iterator[OrderLine]:
    """The lines of a journal; what a crash left of the last one is taken off the file, so that the next begins a new line."""
    content = path.read_bytes()
    whole, newline, rest = content.rpartition(b"\n")
    if rest:
        os.truncate(path, len(whole) + len(newline))
    decoder = msgspec.json.Decoder(OrderLine)
    for line in whole.splitlines():
        yield decoder.decode(line)


def _line(account: PaperAccount, order: PaperOrder, fill: PaperFill | None) -> OrderLine:
    filled = None
    if fill is not None:
        filled = FillLine(
            fill_id=fill.fill_id,
            number=fill.number,
            ticks=fill.ticks,
            lots=fill.lots,
            cost=fill.cost,
            fee=fill.fee,
            maker=fill.maker,
            at_ns=fill.at_ns,
        )
    return OrderLine(
        key=account.key,
        order_id=order.order_id,
        symbol=order.market.symbol,
        pair_decimals=order.market.pair_decimals,
        side=order.side,
        order_type=order.order_type,
        lots=order.lots,
        ticks=order.ticks,
        opened_ns=order.opened_ns,
        client_order_id=order.client_order_id,
        userref=order.userref,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        status=order.status,
        reason=order.reason,
        closed_ns=order.closed_ns,
        fill=filled,
    )


def _ticks(ticks: int | None, line: OrderLine, market: PaperMarket) -> int | None:
    """A price in the market's present ticks: a recording may have made them finer, or no longer does."""
    return None if ticks is None else int(Decimal(ticks).scaleb(market.pair_decimals - line.pair_decimals))


def _order(line: OrderLine, market: PaperMarket) -> PaperOrder:
    return PaperOrder(
        order_id=line.order_id,
        market=market,
        side=line.side,
        order_type=line.order_type,
        lots=line.lots,
        ticks=_ticks(line.ticks, line, market),
        opened_ns=line.opened_ns,
        client_order_id=line.client_order_id,
        userref=line.userref,
        time_in_force=line.time_in_force,
        post_only=line.post_only,
    )


def _fill(line: OrderLine, fill: FillLine, market: PaperMarket) -> PaperFill:
    return PaperFill(
        fill_id=fill.fill_id,
        number=fill.number,
        order_id=line.order_id,
        market=market,
        side=line.side,
        order_type=line.order_type,
        ticks=_ticks(fill.ticks, line, market) or 0,
        lots=fill.lots,
        cost=fill.cost,
        fee=fill.fee,
        maker=fill.maker,
        at_ns=fill.at_ns,
    )
