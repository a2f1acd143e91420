"""A seeded market: the same seed and start give the same books and trades, digit for digit."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from random import Random
from typing import Final

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.paper.book import Book, Level
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.exchanges.paper.markets import CATALOGUE, MARKETS, PaperMarket, scaled
from fullon_master_api.exchanges.paper.tape import SECOND_NS, TapeTrade
from fullon_master_api.model import Record

BOOK_LEVELS: Final = 25
MICROSECOND_NS: Final = 1_000
STEP_RELATIVE: Final = 1.6e-5  # standard deviation of one move of the middle: about 1 % a day at the default pace
TRADE_SHARE: Final = 0.3  # of events; the others only move quotes
BUSY_FACTOR: Final = 4.0
SPREAD_TICKS: Final = (1, 1, 1, 1, 2, 2, 3, 5, 8)
NUMBERS_PER_SECOND: Final = 100_000  # a market begins to count at its start times this, so that no later run repeats a number


class GeneratedSource(Record, frozen=True, kw_only=True):
    """Made-up markets.

    `updates_per_s` is the mean number of changes of a symbol's ticker each second, in bursts and lulls; `history_hours` of
    sparser past are made before the first client comes. `speed` is exchange seconds in a second; None goes as fast as the
    sockets take. `start_ns` is the instant at which the live part begins; None: now, so that only the spacing repeats.
    """

    seed: int = 1
    symbols: tuple[str, ...] = tuple(market.symbol for market in MARKETS)
    updates_per_s: float = 4.0
    history_hours: float = 24.0
    history_trades_per_minute: float = 4.0
    speed: float | None = 1.0
    start_ns: int | None = None

    @property
    def waits_for(self) -> str | None:
        return None

    def open(self) -> Opened:
        """The past at once, and a future without end. Raises: BadUserInput for a symbol that the paper exchange has not."""
        if unknown := set(self.symbols) - {market.symbol for market in CATALOGUE}:
            raise BadUserInput(f"the paper exchange has no market {', '.join(sorted(unknown))}: use one of its catalogue")
        start_ns = time.time_ns() if self.start_ns is None else self.start_ns
        start_ns -= start_ns % MICROSECOND_NS
        markets = [market for market in CATALOGUE if market.symbol in self.symbols]
        number = start_ns // SECOND_NS * NUMBERS_PER_SECOND
        paths = [Path(market, seed=self.seed, number=number) for market in markets]
        span_ns = int(self.history_hours * 3600 * SECOND_NS)
        per_s = self.history_trades_per_minute / 60
        past = [list(path.past(start_ns - span_ns, start_ns, per_s=per_s)) for path in paths]
        whole = list(heapq.merge(*past, key=lambda event: event.at_ns))
        return Opened(markets=markets, past=whole, future=self._future(paths))

    def _future(self, paths: list[Path]) -> Iterator[MarketEvent]:
        """Begins when it is first asked, so that making the past does not put the exchange's clock behind."""
        start_ns = time.time_ns() if self.start_ns is None else self.start_ns
        start_ns -= start_ns % MICROSECOND_NS
        yield from heapq.merge(
            *(path.future(start_ns, per_s=self.updates_per_s) for path in paths), key=lambda event: event.at_ns
        )


class Path:
    """One market's walk. Prices are ticks, quantities lots."""

    def __init__(self, market: PaperMarket, *, seed: int, number: int) -> None:
        self.market = market
        self._random = Random(f"{seed}:{market.symbol}")  # noqa: S311 - a market that can be repeated, not a secret
        self._middle = float(scaled(market.price_start, market.pair_decimals))
        self._usual_lots = market.quantity_usual * market.lots_in_unit
        self._trade_id = number
        self._busy = False
        self._bids: list[Level] = []
        self._asks: list[Level] = []
        self._quote(int(self._middle))

    def past(self, start_ns: int, end_ns: int, *, per_s: float) -> Iterator[MarketEvent]:
        """Trades alone, `per_s` of them a second, with steps widened to the wider spacing."""
        now_ns = start_ns + self._wait_ns(per_s)
        while now_ns < end_ns:
            self._walk(10.0)
            yield MarketEvent(at_ns=now_ns, symbol=self.market.symbol, trades=self._take(now_ns))
            now_ns += self._wait_ns(per_s)

    def future(self, start_ns: int, *, per_s: float) -> Iterator[MarketEvent]:
        now_ns = start_ns
        while True:
            trades = self._take(now_ns) if self._random.random() < TRADE_SHARE else []
            self._walk(1.0)
            book = Book(bids=tuple(self._bids), asks=tuple(self._asks))
            yield MarketEvent(at_ns=now_ns, symbol=self.market.symbol, trades=trades, book=book)
            now_ns += self._wait_ns(per_s)

    def _wait_ns(self, per_s: float) -> int:
        """Time to the next event: a lull or a burst, each lasting a while, with the asked mean over both."""
        if self._random.random() < 0.02:
            self._busy = not self._busy
        factor = BUSY_FACTOR if self._busy else BUSY_FACTOR / (2 * BUSY_FACTOR - 1)
        wait_s = self._random.expovariate(per_s * factor)
        return max(1, int(wait_s * 1_000_000)) * MICROSECOND_NS

    def _walk(self, scale: float) -> None:
        step = self._random.gauss(0.0, STEP_RELATIVE * scale) * self._middle
        self._middle = max(1_000.0, self._middle + step)
        self._quote(int(self._middle))

    def _quote(self, middle: int) -> None:
        """Put both sides around the middle, keeping the levels that still stand."""
        spread = self._random.choice(SPREAD_TICKS)
        bid = middle - spread // 2
        self._bids = self._side(self._bids, bid, sign=-1)
        self._asks = self._side(self._asks, bid + spread, sign=1)

    def _side(self, levels: list[Level], best: int, *, sign: int) -> list[Level]:
        kept = [level for level in levels if sign * level[0] > sign * best]
        kept.insert(0, (best, self._lots()))
        changed = self._random.randrange(len(kept))
        kept[changed] = (kept[changed][0], self._lots())
        gap_max = max(1, int(self._middle * 2e-5))
        while len(kept) < BOOK_LEVELS:
            kept.append((kept[-1][0] + sign * self._random.randint(1, gap_max), self._lots()))
        return kept[:BOOK_LEVELS]

    def _lots(self) -> int:
        return max(1_000, int(self._usual_lots * self._random.lognormvariate(0.0, 1.0)))

    def _take(self, now_ns: int) -> list[TapeTrade]:
        """One taker's order as the trades it makes: all at one instant, walking up the book when it is large."""
        buys = self._random.random() < 0.5
        makers = self._asks if buys else self._bids
        left = self._lots()
        order_type = "market" if self._random.random() < 0.6 else "limit"
        trades: list[TapeTrade] = []
        for price, standing in makers[:4]:
            lots = min(left, standing)
            self._trade_id += 1
            trades.append(
                TapeTrade(
                    trade_id=self._trade_id,
                    event_ns=now_ns,
                    time_text=seconds_text(now_ns),
                    price=self.market.price_text(price),
                    quantity=self.market.quantity_text(lots),
                    side="buy" if buys else "sell",
                    order_type=order_type,
                )
            )
            left -= lots
            if left <= 0:
                break
        return trades


def seconds_text(at_ns: int) -> str:
    """An instant as REST prints it: seconds, without trailing zeros, at least one digit behind the point."""
    seconds, part = divmod(at_ns, SECOND_NS)
    return f"{seconds}.{part:09d}".rstrip("0") + ("0" if part == 0 else "")
