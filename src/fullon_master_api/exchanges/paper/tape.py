"""What one market of the paper exchange has seen: its trades, its minutes, its book."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fullon_master_api.exchanges.paper.book import Book
from fullon_master_api.exchanges.paper.markets import PaperMarket
from fullon_master_api.model import DecimalText, Record

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
DAY_MINUTES: Final = 1440


class TapeTrade(Record, frozen=True, kw_only=True):
    """A public trade with the exchange's own digits; `time_text` is its time in seconds as REST prints it."""

    trade_id: int
    event_ns: int
    time_text: str
    price: DecimalText
    quantity: DecimalText
    side: str  # of the taker: "buy" or "sell"
    order_type: str  # of the taker: "market" or "limit"


@dataclass(slots=True)
class Bar:
    """The trades of one span; `cost` is the sum of price times quantity."""

    opened_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    cost: Decimal
    count: int

    def add(self, price: Decimal, quantity: Decimal) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += quantity
        self.cost += price * quantity
        self.count += 1

    def join(self, later: Bar) -> None:
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.cost += later.cost
        self.count += later.count

    @property
    def vwap(self) -> Decimal:
        return self.cost / self.volume if self.volume else Decimal(0)


class Tape:
    """One market's history. `on_trades` and `on_book` are told of what is new, after it is kept.

    At most `trades_max` trades are kept; minutes are kept for the whole run.
    """

    def __init__(self, market: PaperMarket, *, trades_max: int = 500_000) -> None:
        self.market = market
        self.trades: list[TapeTrade] = []
        self.minutes: list[Bar] = []  # only those with trades
        self.book: Book | None = None
        self.now_ns = 0
        self.on_trades: Callable[[Tape, Sequence[TapeTrade]], None] | None = None
        self.on_book: Callable[[Tape], None] | None = None
        self._times: list[int] = []
        self._trades_max = trades_max
        self._day = DayWindow()

    def add_trades(self, trades: Sequence[TapeTrade]) -> None:
        """Keep trades, oldest first, none older than what is kept."""
        for trade in trades:
            price, quantity = Decimal(trade.price), Decimal(trade.quantity)
            opened_s = trade.event_ns // MINUTE_NS * 60
            if self.minutes and self.minutes[-1].opened_s == opened_s:
                self.minutes[-1].add(price, quantity)
            else:
                self.minutes.append(Bar(opened_s, price, price, price, price, quantity, price * quantity, 1))
            self._day.add(opened_s, price, quantity)
            self.trades.append(trade)
            self._times.append(trade.event_ns)
        self.now_ns = max(self.now_ns, trades[-1].event_ns)
        if len(self.trades) > self._trades_max * 5 // 4:
            del self.trades[: -self._trades_max]
            del self._times[: -self._trades_max]
        if self.on_trades is not None:
            self.on_trades(self, trades)

    def set_book(self, book: Book, now_ns: int) -> None:
        self.book = book
        self.now_ns = max(self.now_ns, now_ns)
        if self.on_book is not None:
            self.on_book(self)

    def trades_after(self, after_ns: int, count: int) -> list[TapeTrade]:
        """The oldest `count` trades later than `after_ns`."""
        start = bisect_right(self._times, after_ns)
        return self.trades[start : start + count]

    def bars(self, interval_minutes: int, *, after_s: int | None, count: int) -> list[Bar]:
        """The newest `count` bars up to now that open after `after_s`, rising; spans without a trade carry the last close.

        Kraken's own OHLC does the same: a minute without trades has the previous close and no volume.
        """
        if not self.minutes:
            return []
        span_s = interval_minutes * 60
        newest_s = self.now_ns // SECOND_NS // span_s * span_s
        first_s = max(newest_s - (count - 1) * span_s, self.minutes[0].opened_s // span_s * span_s)
        if after_s is not None:
            first_s = max(first_s, after_s // span_s * span_s + span_s)
        index = bisect_right(self.minutes, first_s - 1, key=lambda bar: bar.opened_s)
        close = self.minutes[index - 1].close if index else self.minutes[0].open
        bars: list[Bar] = []
        for opened_s in range(first_s, newest_s + 1, span_s):
            bar = Bar(opened_s, close, close, close, close, Decimal(0), Decimal(0), 0)
            while index < len(self.minutes) and self.minutes[index].opened_s < opened_s + span_s:
                minute = self.minutes[index]
                if bar.count == 0:
                    bar.open = bar.high = bar.low = minute.open
                bar.join(minute)
                index += 1
            bars.append(bar)
            close = bar.close
        return bars

    @property
    def last(self) -> TapeTrade | None:
        return self.trades[-1] if self.trades else None

    def day(self) -> Bar | None:
        """All trades of the last 24 hours as one bar; None before the first trade."""
        return self._day.total(self.now_ns // MINUTE_NS * 60)


class DayWindow:
    """The last 24 hours by whole minutes, with sums that are kept and not computed anew at every tick."""

    def __init__(self) -> None:
        self._minutes: deque[Bar] = deque()
        self._total: Bar | None = None

    def add(self, opened_s: int, price: Decimal, quantity: Decimal) -> None:
        if self._minutes and self._minutes[-1].opened_s == opened_s:
            self._minutes[-1].add(price, quantity)
        else:
            self._minutes.append(Bar(opened_s, price, price, price, price, quantity, price * quantity, 1))
        if self._total is not None:
            self._total.add(price, quantity)
            self._forget(opened_s)
        else:
            self._total = Bar(opened_s, price, price, price, price, quantity, price * quantity, 1)

    def total(self, now_s: int) -> Bar | None:
        self._forget(now_s)
        return self._total

    def _forget(self, now_s: int) -> None:
        stale = False
        while len(self._minutes) > 1 and self._minutes[0].opened_s <= now_s - DAY_MINUTES * 60:
            self._minutes.popleft()
            stale = True
        if stale:
            minutes = iter(self._minutes)
            first = next(minutes)
            total = Bar(first.opened_s, first.open, first.high, first.low, first.close, first.volume, first.cost, first.count)
            for minute in minutes:
                total.join(minute)
            self._total = total
