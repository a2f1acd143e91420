"""The public trades of one symbol in order: what is new, what was seen, what is missing in between."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Final

from fullon_master_api.model import MarketTrade

SEEN_MAX: Final = 20_000
"""How many trade ids are remembered; a repeat older than that meets the store, which knows it too."""

Key = tuple[int, int, str]
"""Time in nanoseconds, the exchange's number or -1 where its id is none, the id itself."""


def order_of(trade: MarketTrade) -> Key:
    """Place of a trade in its symbol's tape: time, then the exchange's number, for there are many in one millisecond."""
    return trade.event_ns, int(trade.trade_id) if trade.trade_id.isdecimal() else -1, trade.trade_id


class Tape:
    """Takes trades as they come, twice, late or with holes, and gives each once, in order.

    Live trades are given as far as they connect to the last one given: where the exchange numbers its trades without
    holes (`Kraken`, `Binance`), a jump in the numbers means that something is missing, and what follows waits in
    `held` until the history brings it. A page of the history is complete in itself, so it is given without that test;
    the first page that shows a jump proves that this exchange's numbers do have holes, and the test is dropped.
    """

    def __init__(self, after: MarketTrade | None = None) -> None:
        self.numbered = True
        self.gaps = 0
        self._last = after
        self._last_key: Key = (-1, -1, "") if after is None else order_of(after)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._held: dict[str, MarketTrade] = {}
        if after is not None:
            self._seen[after.trade_id] = None

    @property
    def last(self) -> MarketTrade | None:
        """The newest trade given."""
        return self._last

    @property
    def held(self) -> int:
        """How many trades wait for what is missing before them."""
        return len(self._held)

    @property
    def missing(self) -> bool:
        """True while live trades wait for older ones."""
        return bool(self._held)

    def live(self, trades: Iterable[MarketTrade]) -> list[MarketTrade]:
        """What a live message brings that is new and connects."""
        had = self.missing
        self._held.update((trade.trade_id, trade) for trade in trades if trade.trade_id not in self._seen)
        given = self._release()
        if self.missing and not had:
            self.gaps += 1
        return given

    def history(self, page: Sequence[MarketTrade]) -> list[MarketTrade]:
        """What a page of the exchange's history brings that is new, and the live trades that connect now.

        A page has every trade between its first and its last; it must begin at or before the last trade given.
        """
        ordered = sorted(page, key=order_of)
        self._learn(ordered)
        given = []
        for trade in ordered:
            self._held.pop(trade.trade_id, None)
            if trade.trade_id not in self._seen:
                self._give(trade, order_of(trade))
                given.append(trade)
        return given + self._release()

    def give_up(self) -> list[MarketTrade]:
        """The trades held, with the hole before them: the history was asked and does not have what is missing."""
        given = sorted(self._held.values(), key=order_of)
        self._held.clear()
        for trade in given:
            self._give(trade, order_of(trade))
        return given

    def _release(self) -> list[MarketTrade]:
        given = []
        for key, trade in sorted(((order_of(trade), trade) for trade in self._held.values()), key=itemgetter(0)):
            if not self._follows(key):
                break
            del self._held[trade.trade_id]
            self._give(trade, key)
            given.append(trade)
        return given

    def _follows(self, key: Key) -> bool:
        """True if nothing can be missing between the last trade given and this one."""
        number, last = key[1], self._last_key[1]
        return not self.numbered or self._last is None or number < 0 or last < 0 or number <= last + 1

    def _learn(self, ordered: Sequence[MarketTrade]) -> None:
        numbers = [int(trade.trade_id) for trade in ordered if trade.trade_id.isdecimal()]
        holes = any(later - earlier > 1 for earlier, later in pairwise(numbers))
        if holes or len(numbers) != len(ordered):
            self.numbered = False

    def _give(self, trade: MarketTrade, key: Key) -> None:
        if key > self._last_key:
            self._last, self._last_key = trade, key
        self._seen[trade.trade_id] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
