"""The door for tickers: which are let in, and what is taken off those that are half good."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import msgspec

from fullon_master_api.model import Ticker

PLAIN: Final = re.compile(r"\d{1,30}(?:\.\d{1,30})?")
_SOME_DIGIT: Final = re.compile(r"[1-9]")


def is_price(text: str) -> bool:
    """A finite number above zero in plain notation."""
    return PLAIN.fullmatch(text) is not None and _SOME_DIGIT.search(text) is not None


def admit(ticker: Ticker) -> tuple[Ticker | None, str | None]:
    """(what may be stored, why not all of it): either may be None.

    A price that is no finite number above zero refuses the whole ticker: its sender is confused. A bid above the ask is a
    book caught between two updates: the quote is dropped, `last` is kept. Repeats and late ones are the cache's to know.
    """
    for name, price in (("bid", ticker.bid), ("ask", ticker.ask), ("last", ticker.last)):
        if price is not None and not is_price(price):
            return None, f"{name} was {price!r}, must be a number above zero"
    for name, quantity in (
        ("bid_quantity", ticker.bid_quantity),
        ("ask_quantity", ticker.ask_quantity),
        ("volume", ticker.volume),
    ):
        if quantity is not None and PLAIN.fullmatch(quantity) is None:
            return None, f"{name} was {quantity!r}, must be a number not below zero"
    why = None
    if ticker.bid is not None and ticker.ask is not None and Decimal(ticker.bid) > Decimal(ticker.ask):
        why = f"bid {ticker.bid} above ask {ticker.ask}"
        ticker = msgspec.structs.replace(ticker, bid=None, ask=None, bid_quantity=None, ask_quantity=None)
    if ticker.bid is None and ticker.ask is None and ticker.last is None:
        return None, why or "it has no price at all"
    return ticker, why
