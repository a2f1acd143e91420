"""Connections are replaced when they are old, because ccxt's memory grows with each reconnect; nothing is lost by it."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, open_paper
from fullon_master_api.model import OrderStatus, ServiceName
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.ticker import TickerService
from tests.services.account_stage import SYMBOL, staged
from tests.services.stage import list_symbols, open_platform, running, until

WAIT_S = 90.0


def noting_closed(resources: Resources, opened: list[ExchangeAdapter], closed: list[ExchangeAdapter]) -> Resources:
    """The same, with a note of each connection that is opened and closed."""

    def open_named(name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter:
        adapter = resources.open_exchange(name, credentials)
        opened.append(adapter)
        close = adapter.aclose

        async def noted() -> None:
            await close()
            closed.append(adapter)

        adapter.aclose = noted  # type: ignore[method-assign]
        return adapter

    return dataclasses.replace(resources, open_exchange=open_named)


async def test_an_old_connection_of_a_collector_is_replaced_and_ticks_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.services.catalogue.CATALOGUE_S", 0.1)
    monkeypatch.setattr("fullon_master_api.services.catalogue.RECYCLE_S", 1.0)
    opened: list[ExchangeAdapter] = []
    closed: list[ExchangeAdapter] = []
    source = GeneratedSource(symbols=(SYMBOL,), history_hours=0.05, updates_per_s=20.0)
    async with (
        open_paper(PaperOptions(source=source)) as paper,
        open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as platform,
    ):
        await list_symbols(platform, [SYMBOL])
        resources = noting_closed(platform, opened, closed)
        async with running(resources, ServiceName.TICKER, partial(TickerService, resources)) as board:

            async def replaced_twice() -> bool:
                return len(closed) >= 2

            await until(replaced_twice, within_s=WAIT_S)
            (feed,) = board.health()
            assert feed.error is None

            async def goes_on(before: int = feed.messages) -> bool:
                return board.health()[0].messages > before

            await until(goes_on, within_s=WAIT_S)
            assert len(opened) - len(closed) <= 1
            assert len(paper.hub.sessions) <= 1
        assert closed == opened


async def test_a_connection_of_an_account_whose_streams_fail_in_a_row_is_replaced_and_orders_go_on(tmp_path: Path) -> None:
    opened: list[ExchangeAdapter] = []
    closed: list[ExchangeAdapter] = []
    async with staged(tmp_path) as stage:
        settings = stage.resources.settings.model_copy(update={"account_reconnect_delay": 0.02, "account_max_retries": 2})
        resources = dataclasses.replace(noting_closed(stage.resources, opened, closed), settings=settings)
        async with running(resources, ServiceName.ACCOUNT, partial(AccountService, resources)):
            await until(stage.synced, within_s=WAIT_S)
            stage.paper.faults.refuse = True  # Sockets are refused, REST answers.
            stage.paper.faults.drop_sockets()

            async def replaced() -> bool:
                return len(closed) >= 2

            await until(replaced, within_s=WAIT_S)
            order = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"))
            await stage.comes_to(order, OrderStatus.FILLED)
        assert set(closed) == set(opened)


async def test_an_old_connection_of_an_account_is_replaced_and_orders_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.services.account.RECYCLE_S", 2.0)
    opened: list[ExchangeAdapter] = []
    closed: list[ExchangeAdapter] = []
    async with staged(tmp_path) as stage:
        resources = noting_closed(stage.resources, opened, closed)
        async with running(resources, ServiceName.ACCOUNT, partial(AccountService, resources)):

            async def replaced() -> bool:
                return len(closed) >= 1

            await until(stage.synced, within_s=WAIT_S)
            await until(replaced, within_s=WAIT_S)
            order = await stage.place(side="buy", order_type="market", volume=Decimal("0.1"))
            await stage.comes_to(order, OrderStatus.FILLED)
        assert set(closed) == set(opened)
