"""The sockets of the paper exchange, Kraken's WebSocket v2: sessions, subscriptions, and who is told of what."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from fullon_master_api.exchanges.paper.accounts import PaperAccount
from fullon_master_api.exchanges.paper.book import DEPTHS, Book, increments
from fullon_master_api.exchanges.paper.faults import Faults
from fullon_master_api.exchanges.paper.messages import (
    HEARTBEAT,
    book_text,
    candles_text,
    ticker_text,
    trades_text,
)
from fullon_master_api.exchanges.paper.tape import Tape, TapeTrade

OUTBOX_MAX: Final = 100_000
HEARTBEAT_S: Final = 1.0
INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
SNAPSHOT_CANDLES: Final = 60
SNAPSHOT_TRADES: Final = 50
TRIGGERS: Final = ("trades", "bbo")

Topic = tuple[str, str, str | int]
"""(channel, symbol, variant): the variant is a ticker's trigger, a candle's interval, a book's depth; else "".

A private channel has its account's key in place of the symbol."""


class Session:
    """One open socket. What is sent waits in an outbox; a reader that lets it overflow is cut off, as Kraken does."""

    def __init__(
        self, socket: web.WebSocketResponse, request: web.Request, faults: Faults, eased: asyncio.Event, *, private: bool
    ) -> None:
        self.private = private
        self.topics: set[Topic] = set()
        self.books: dict[Topic, Book] = {}
        self.account: PaperAccount | None = None
        self.sequences: dict[str, int] = defaultdict(int)
        self._socket = socket
        self._request = request
        self._faults = faults
        self._eased = eased
        self._outbox: deque[str] = deque()
        self._held: list[str] = []
        self._arrived = asyncio.Event()
        self._sent_data = False

    @property
    def waiting(self) -> int:
        return len(self._outbox)

    def send(self, text: str) -> None:
        """An answer or a status: never shaped by faults, except by silence."""
        if not self._faults.silent:
            self._put(text)

    def send_data(self, text: str) -> None:
        """A message of a channel, as the faults leave it."""
        for shaped in self._faults.shape(text, self._held):
            self._put(shaped)

    def _put(self, text: str) -> None:
        self._outbox.append(text)
        self._sent_data = True
        self._arrived.set()
        if len(self._outbox) > OUTBOX_MAX:
            self.cut()

    def cut(self) -> None:
        """End the connection without a goodbye."""
        self._outbox.clear()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def write(self) -> None:
        """Send what waits, until the socket closes."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._outbox:
                await self._socket.send_str(self._outbox.popleft())
            self._eased.set()

    async def beat(self) -> None:
        """A heartbeat each second in which nothing else was sent."""
        while True:
            self._sent_data = False
            await asyncio.sleep(HEARTBEAT_S)
            if not self._sent_data:
                self.send(HEARTBEAT)

    def __hash__(self) -> int:
        return id(self)


@dataclass(slots=True)
class Hub:
    """Which sessions read which topic, and the texts they get when a market moves."""

    readers: dict[Topic, set[Session]] = field(default_factory=lambda: defaultdict(set))
    sessions: set[Session] = field(default_factory=set)
    quotes: dict[str, tuple[int, int]] = field(default_factory=dict)
    eased: asyncio.Event = field(default_factory=asyncio.Event)  # set whenever some outbox is empty again
    joined: asyncio.Event = field(default_factory=asyncio.Event)  # set at every subscription
    subscribed: int = 0  # subscriptions made since the start, for tests of clients that must not leak them

    def join(self, session: Session, topic: Topic) -> None:
        self.readers[topic].add(session)
        session.topics.add(topic)
        self.subscribed += 1
        self.joined.set()

    def leave(self, session: Session, topic: Topic) -> None:
        session.topics.discard(topic)
        session.books.pop(topic, None)
        self.readers[topic].discard(session)
        if not self.readers[topic]:
            del self.readers[topic]

    def forget(self, session: Session) -> None:
        for topic in list(session.topics):
            self.leave(session, topic)
        self.sessions.discard(session)
        self.eased.set()

    @property
    def topics(self) -> list[Topic]:
        """What is subscribed now."""
        return sorted(self.readers, key=str)

    async def wait_for(self, topic: Topic) -> None:
        """Until somebody reads this topic."""
        while topic not in self.readers:
            self.joined.clear()
            await self.joined.wait()

    def on_trades(self, tape: Tape, trades: Sequence[TapeTrade]) -> None:
        symbol = tape.market.symbol
        self._tell(("trade", symbol, ""), lambda: trades_text(tape.market, trades, "update"))
        self._tell(("ticker", symbol, "trades"), lambda: ticker_text(tape, "update"))
        for interval in INTERVALS:
            topic = ("ohlc", symbol, interval)
            if topic in self.readers:
                bars = tape.bars(interval, after_s=None, count=1)
                self._tell(
                    topic, lambda bars=bars, interval=interval: candles_text(tape.market, bars, interval, tape.now_ns, "update")
                )

    def on_book(self, tape: Tape) -> None:
        symbol, book = tape.market.symbol, tape.book
        assert book is not None, "told of a book that is not there"
        quote = (book.bid[0], book.ask[0])
        if self.quotes.get(symbol) != quote:
            self.quotes[symbol] = quote
            self._tell(("ticker", symbol, "bbo"), lambda: ticker_text(tape, "update"))
        for depth in DEPTHS:
            for session in self.readers.get(("book", symbol, depth), ()):
                self._tell_book(session, tape, book, depth)

    def _tell_book(self, session: Session, tape: Tape, book: Book, depth: int) -> None:
        topic: Topic = ("book", tape.market.symbol, depth)
        seen = session.books[topic]
        session.books[topic] = book
        bids, asks = increments(seen.bids, book.bids, depth=depth), increments(seen.asks, book.asks, depth=depth)
        if bids or asks:
            session.send_data(book_text(tape, book, bids, asks, "update"))

    def _tell(self, topic: Topic, text: Any) -> None:
        sessions = self.readers.get(topic)
        if sessions:
            message = text()
            if message is not None:
                for session in sessions:
                    session.send_data(message)

    def pressure(self) -> int:
        """The longest outbox: a source at full speed waits until it is short again."""
        return max((session.waiting for session in self.sessions), default=0)
