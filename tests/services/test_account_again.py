"""What the account service does again: telling what a store that was away has not heard, reading what is doubted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fullon_master_api.errors import CacheUnavailable, StoreUnavailable
from fullon_master_api.exchanges.adapter import ExchangeAdapter, Fill, OrderState
from fullon_master_api.model import OrderStatus, ServiceName
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.fill_keeper import FillKeeper
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.streaming import pause
from tests.services.account_stage import SYMBOL, Stage, staged
from tests.services.stage import running, until, without_streams

WITHIN_S = 20.0


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with staged(tmp_path) as platform:
        yield platform


def failing_once(
    write: Callable[..., Awaitable[Any]], error: Exception, failed: list[Exception]
) -> Callable[..., Awaitable[Any]]:
    """The same write, whose first call fails as that of a store which is away."""

    async def call(*args: object, **values: object) -> object:
        if not failed:
            failed.append(error)
            raise error
        return await write(*args, **values)

    return call


@pytest.mark.parametrize("fails", ["the cache", "the order's sum"])
async def test_positions_that_could_not_be_told_are_told_by_the_next_reading(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    ex_id, accounts, failed = stage.account.ex_id, stage.resources.cache.accounts, list[Exception]()
    async with stage.serving():
        await until(stage.synced)
        if fails == "the cache":
            write = failing_once(accounts.set_positions, CacheUnavailable("away"), failed)
            monkeypatch.setattr(accounts, "set_positions", write)
        else:
            write = failing_once(FillKeeper._sum_up, StoreUnavailable("away"), failed)
            monkeypatch.setattr(FillKeeper, "_sum_up", write)
        order = await stage.place(side="buy", order_type="market", volume=Decimal("0.3"))

        async def told() -> list[tuple[str, Decimal]]:
            found = (await accounts.get_positions([ex_id]))[0]
            return [(position.symbol, position.quantity) for position in found]

        assert await until(told, within_s=WITHIN_S) == [(SYMBOL, Decimal("0.3"))]
        filled = await stage.comes_to(order, OrderStatus.FILLED)
        assert filled.final_volume == Decimal("0.3")
    assert len(failed) == 1


def claiming(resources: Resources, *, hidden: int) -> Resources:
    """Over an exchange that lists no fills the first `hidden` times, and says of each open order that 0.2 of it is filled."""
    left = hidden

    def open_named(name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter:
        adapter = resources.open_exchange(name, credentials)
        fetch_fills, fetch_open_orders = adapter.fetch_fills, adapter.fetch_open_orders

        async def fills(**values: Any) -> list[Fill]:
            nonlocal left
            found = await fetch_fills(**values)
            left -= bool(found)
            return [] if left >= 0 else found

        async def open_orders() -> list[OrderState]:
            changes: dict[str, Any] = {"status": OrderStatus.PARTIALLY_FILLED, "filled": Decimal("0.2")}
            return [msgspec.structs.replace(state, **changes) for state in await fetch_open_orders()]

        adapter.fetch_fills, adapter.fetch_open_orders = fills, open_orders  # type: ignore[method-assign]
        return adapter

    return dataclasses.replace(resources, open_exchange=open_named)


@pytest.mark.parametrize(("order_type", "hidden"), [("market", 10**6), ("market", 2), ("limit", 10**6)])
async def test_an_order_is_doubted_for_a_while_and_not_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, order_type: str, hidden: int
) -> None:
    """While one is doubted the account is read again after `RECHECK_S`; afterwards as seldom as any other."""
    waits: list[float] = []

    async def noting(event: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        return await pause(event, seconds)

    monkeypatch.setattr("fullon_master_api.services.live_account.RECHECK_S", 0.02)
    monkeypatch.setattr("fullon_master_api.services.live_account.pause", noting)
    resources = claiming(without_streams(stage.resources), hidden=hidden)
    async with running(resources, ServiceName.ACCOUNT, partial(AccountService, resources)):
        price = (stage.price / 2).quantize(Decimal(1)) if order_type == "limit" else None
        order = await stage.place(side="buy", order_type=order_type, volume=Decimal("0.5"), price=price)
        filled = Decimal("0.2") if order_type == "limit" else Decimal("0.5")

        async def believed() -> bool:
            return (await stage.order(order.order_id)).final_volume == filled

        await until(believed, within_s=WITHIN_S)
        assert 0.02 in waits
        waits.clear()

        async def seldom() -> bool:
            return waits[-2:] == [0.5, 0.5]

        await until(seldom, within_s=WITHIN_S)
