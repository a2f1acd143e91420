"""The paper exchange's journal: accounts as they were, after a restart and after a crash."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import PaperExchange, PaperOptions, open_paper
from fullon_master_api.exchanges.paper.accounts import PaperAccount
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.exchanges.paper.private_rest import order_body
from tests.exchanges.still_market import StillSource, event, happen

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
BUY = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "99.5", "cl_ord_id": "mine-1"}


def options(folder: Path) -> PaperOptions:
    return PaperOptions(source=StillSource(), journal=folder / "state" / "paper.jsonl")


def open_account(paper: PaperExchange) -> PaperAccount:
    return paper.add_account(KEY, SECRET, {"USD": "1000", "BTC": "1"})


def state_of(account: PaperAccount) -> object:
    orders = {order_id: order_body(order) for order_id, order in account.orders.items()}
    return account.balances, orders, account.fills, [order.order_id for order in account.open_orders]


async def test_after_a_restart_an_account_goes_on_where_it_was(tmp_path: Path) -> None:
    async with open_paper(options(tmp_path)) as paper:
        account = open_account(paper)
        paper.matching.place(account, BUY | {"ordertype": "market", "cl_ord_id": "taken"})
        canceled = paper.matching.place(account, BUY | {"cl_ord_id": "canceled"})
        paper.matching.cancel(account, canceled.order_id)
        resting = paper.matching.place(account, BUY)
        happen(paper, event(number=2, price="99.5", quantity="0.00400000", side="sell"))
        paper.matching.amend(account, resting.order_id, quantity="0.02", price="99.4")
        before = state_of(account)

    async with open_paper(options(tmp_path)) as paper:
        again = open_account(paper)
        assert state_of(again) == before
        assert again.orders[resting.order_id].left == 1_600_000
        happen(paper, event(number=3, price="99.4", quantity="1.00000000", side="sell"))
        assert again.orders[resting.order_id].status == "filled"
        after = state_of(again)
        stranger = paper.add_account("other", SECRET, {"USD": "5"})
        assert (stranger.orders, stranger.balances) == ({}, {"ZUSD": Decimal(5)})

    async with open_paper(options(tmp_path)) as paper:
        assert state_of(open_account(paper)) == after


async def test_a_line_that_a_crash_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    async with open_paper(options(tmp_path)) as paper:
        paper.matching.place(open_account(paper), BUY)
        before = state_of(paper.accounts[KEY])
    path = tmp_path / "state" / "paper.jsonl"
    with path.open("ab") as file:
        file.write(b'{"key":"paper-key","order_id":"OAA')

    async with open_paper(options(tmp_path)) as paper:
        assert state_of(open_account(paper)) == before
        paper.matching.place(paper.accounts[KEY], BUY | {"cl_ord_id": "mine-2"})
    async with open_paper(options(tmp_path)) as paper:
        assert len(open_account(paper).open_orders) == 2


async def test_a_source_that_fails_ends_the_exchange() -> None:
    def broken() -> Iterator[MarketEvent]:
        yield event(number=2)
        raise RuntimeError("the tape tore")

    class Torn(StillSource, frozen=True):
        def open(self) -> Opened:
            return Opened(markets=[], past=[], future=broken())

    with pytest.raises(ExceptionGroup) as caught:
        async with open_paper(PaperOptions(source=Torn())) as paper:
            await paper.hub.wait_for(("trade", "BTC/USD", ""))
    assert [str(error) for error in caught.value.exceptions] == ["the tape tore"]
