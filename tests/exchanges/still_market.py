"""A market of the paper exchange that moves only when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from fullon_master_api.exchanges.paper import PaperExchange
from fullon_master_api.exchanges.paper.book import Book
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.exchanges.paper.generator import seconds_text
from fullon_master_api.exchanges.paper.tape import TapeTrade
from fullon_master_api.model import Record

T = TypeVar("T")

START_NS = 1_700_000_000_123_456_000
SYMBOLS = ("BTC/USD", "ETH/USD")


class StillSource(Record, frozen=True, kw_only=True):
    """One quote and one trade for each symbol, and then nothing."""

    speed: float | None = 1.0
    waits_for: str | None = None

    def open(self) -> Opened:
        past = [event(symbol, number=1, price="100.0", bid=1000) for symbol in SYMBOLS]
        return Opened(markets=[], past=past, future=iter(()))


def event(
    symbol: str = "BTC/USD",
    *,
    number: int | None = None,
    price: str = "100.0",
    quantity: str = "0.00012300",
    side: str = "buy",
    after_ms: int = 0,
    bid: int | None = None,
) -> MarketEvent:
    """A trade, with `number`; new quotes, with `bid` in ticks (the ask is one above); or both."""
    at_ns = START_NS + after_ms * 1_000_000
    trade = TapeTrade(
        trade_id=number or 0,
        event_ns=at_ns,
        time_text=seconds_text(at_ns),
        price=price,
        quantity=quantity,
        side=side,
        order_type="market",
    )
    book = None
    if bid is not None:
        bids = [(bid - step, 100_000_000) for step in range(25)]
        book = Book(bids=bids, asks=[(bid + 1 + step, 100_000_000) for step in range(25)])
    return MarketEvent(at_ns=at_ns, symbol=symbol, trades=[trade] if number is not None else [], book=book)


async def collect(stream: AsyncGenerator[list[T], None], enough: Callable[[list[T]], bool]) -> list[T]:
    """Everything a stream yields until it is enough; then the stream is closed."""
    seen: list[T] = []
    async with asyncio.timeout(60), aclosing(stream) as batches:
        async for batch in batches:
            seen += batch
            if enough(seen):
                break
    return seen


def happen(paper: PaperExchange, *events: MarketEvent) -> None:
    for one in events:
        paper.happen(one)
