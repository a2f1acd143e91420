"""A stream kept open: which failures ask for a fresh connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming

FAILURES = 5


@pytest.mark.parametrize(
    ("failure", "broken"),
    [(ExchangeRefused("no such symbol"), 0), (ExchangeUnavailable("away"), FAILURES - 1), (None, FAILURES - 1)],
    ids=["refused", "away", "stalled"],
)
async def test_a_connection_is_broken_by_failures_in_a_row_and_not_by_refusals(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None, broken: int
) -> None:
    monkeypatch.setattr("fullon_master_api.services.streaming.REFUSED_RETRY_S", 0.001)
    opened, told = 0, 0

    async def failing() -> AsyncGenerator[int, None]:
        nonlocal opened
        opened += 1
        if opened > FAILURES:
            raise ExchangeDenied("the end of this test")
        if failure is not None:
            raise failure
        await asyncio.Event().wait()
        yield 1

    async def take(_message: int) -> None:
        raise AssertionError("nothing was sent")

    def on_broken() -> None:
        nonlocal told
        told += 1

    gauge = FeedBoard().feed("kraken:BTC/USD:ticker")
    policy = StreamPolicy(first_s=0.001, max_s=0.002, stalled_s=0.01, failures_max=2)
    with pytest.raises(ExchangeDenied):
        await keep_streaming(failing, take, gauge=gauge, policy=policy, on_broken=on_broken)
    assert (told, gauge.reconnects) == (broken, FAILURES)
