"""The OHLCV service in a market where something trades all the time: it connects, groups what it stores, and keeps up."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.model import MarketTrade
from fullon_master_api.services import trade_collector
from fullon_master_api.services.resources import Resources
from tests.services.stage import until
from tests.services.test_ohlcv import collecting, newest, source, staged, wait_stored

WAIT_S = 90.0


def counting_pages(resources: Resources, asked: list[int]) -> Resources:
    """The same, with a note of each page of the exchange's history that is asked for."""

    def open_named(name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter:
        adapter = resources.open_exchange(name, credentials)
        fetch = adapter.fetch_trades

        async def noted(symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]:
            asked.append(since_ns)
            return await fetch(symbol, since_ns=since_ns, limit=limit)

        adapter.fetch_trades = noted  # type: ignore[method-assign]
        return adapter

    return dataclasses.replace(resources, open_exchange=open_named)


def counting_commits(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trades each transaction of the store had."""
    append, sizes = resources.ohlcv.append_trades, []

    async def noted(exchange: str, symbol: str, trades: list[MarketTrade], **values: object) -> object:
        sizes.append(len(trades))
        return await append(exchange, symbol, trades, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(resources.ohlcv, "append_trades", noted)
    return sizes


async def test_catching_up_ends_where_the_live_trades_begin(tmp_path: Path) -> None:
    asked: list[int] = []
    async with staged(tmp_path, source(history_hours=0.02), ohlcv_enable_historical=False) as (resources, paper):
        paper.faults.rest_delay_s = 1.0  # Each page is old when it comes: the market has always gone on meanwhile.

        async def lives_on_the_stream() -> bool:
            before = len(asked)
            await wait_stored(resources, newest(paper) + 100, within_s=WAIT_S)
            return len(asked) == before > 0

        async with collecting(counting_pages(resources, asked)):
            await until(lives_on_the_stream, within_s=WAIT_S)
            asked.clear()
            paper.faults.drop_sockets()
            await until(lives_on_the_stream, within_s=WAIT_S)


async def test_a_busy_market_is_stored_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path, source(speed=90.0, history_hours=0.02), ohlcv_enable_historical=False) as (resources, paper):
        sizes = counting_commits(resources, monkeypatch)
        async with collecting(resources):
            await wait_stored(resources, newest(paper), within_s=WAIT_S)
            commits, began = len(sizes), time.monotonic()
            await wait_stored(resources, newest(paper) + 300, within_s=WAIT_S)
            took_s = time.monotonic() - began
            assert len(sizes) - commits <= took_s / trade_collector.GROUP_S + 2


async def test_a_group_waits_for_its_number_no_longer_than_for_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_collector, "GROUP_S", 3600.0)
    monkeypatch.setattr(trade_collector, "GROUP_MAX", 50)
    async with staged(tmp_path, source(speed=60.0, history_hours=0.02), ohlcv_enable_historical=False) as (resources, paper):
        sizes = counting_commits(resources, monkeypatch)
        async with collecting(resources):
            await wait_stored(resources, newest(paper) + 200, within_s=WAIT_S)
        assert len(sizes) > 2
        assert max(sizes) >= 50
