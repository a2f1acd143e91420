"""What a price source tells the paper exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from fullon_master_api.exchanges.paper.book import Book
from fullon_master_api.exchanges.paper.markets import PaperMarket
from fullon_master_api.exchanges.paper.tape import TapeTrade
from fullon_master_api.model import Record


class MarketEvent(Record, frozen=True, kw_only=True):
    """At `at_ns` a market saw these trades, and its book became this one; None: the book did not change."""

    at_ns: int
    symbol: str
    trades: Sequence[TapeTrade] = ()
    book: Book | None = None


class Opened(Record, frozen=True, kw_only=True):
    """A source that was read: the markets it speaks of, their past, and their future in the order of time."""

    markets: Sequence[PaperMarket]
    past: Sequence[MarketEvent]
    future: Iterator[MarketEvent]


class Source(Protocol):
    """Where prices come from: a past that is there at once, and a future that comes at `speed` (None: at full speed).

    With `waits_for` the future begins once somebody subscribed to the trades of that symbol.
    """

    @property
    def speed(self) -> float | None: ...

    @property
    def waits_for(self) -> str | None: ...

    def open(self) -> Opened: ...
