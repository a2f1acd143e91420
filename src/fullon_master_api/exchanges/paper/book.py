"""The order book of one market: levels of whole ticks and lots, with Kraken's increments and checksum."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from fullon_master_api.model import Record

Level = tuple[int, int]
"""(price in ticks, quantity in lots); in an increment a quantity of 0 takes the level away."""

CHECKSUM_LEVELS: Final = 10
DEPTHS: Final = (10, 25, 100, 500, 1000)


class Book(Record, frozen=True, kw_only=True):
    """Both sides, best first: bids fall, asks rise; neither is ever empty."""

    bids: Sequence[Level]
    asks: Sequence[Level]

    @property
    def bid(self) -> Level:
        return self.bids[0]

    @property
    def ask(self) -> Level:
        return self.asks[0]


def increments(before: Sequence[Level], after: Sequence[Level], *, depth: int) -> list[Level]:
    """What a reader of the best `depth` levels must be told: changed and new levels, and 0 for those that are gone.

    A level that better ones pushed out of sight is not named: the reader cuts its book to `depth` itself, as Kraken asks.
    """
    seen, now = dict(before[:depth]), dict(after[:depth])
    standing = dict(after)
    gone = [(price, 0) for price in seen if price not in standing]
    return gone + [(price, quantity) for price, quantity in now.items() if seen.get(price) != quantity]


def checksum(bids: Sequence[Level], asks: Sequence[Level]) -> int:
    """CRC32 of the ten best levels, asks first, each number without its point and leading zeros.

    Source: Kraken's "Spot WebSockets (v2) Book Checksum": digits are those of the pair's and the lot's decimals, which is
    what a whole number of ticks or lots prints.
    """
    digits = "".join(f"{price}{quantity}" for side in (asks, bids) for price, quantity in side[:CHECKSUM_LEVELS])
    return zlib.crc32(digits.encode())
