"""What enters the candle store: trades and candles checked row by row, their numbers still text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from fullon_master_api.apis.ohlcv.frames import NS, WIDTH_S
from fullon_master_api.apis.ohlcv.numbers import DECIMALS_MAX, decimals, plain
from fullon_master_api.apis.ohlcv.records import Refused
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Candle, MarketTrade, OrderType, Side, Timeframe

SIDES: Final = (Side.BUY, Side.SELL)
ORDER_TYPES: Final = tuple(OrderType)
SIDE_NUMBER: Final = {side: number for number, side in enumerate(SIDES)}
ORDER_TYPE_NUMBER: Final = {order_type: number for number, order_type in enumerate(ORDER_TYPES)}
KEY_CHARACTERS_MAX: Final = 90
SHORT: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)  # what nearly every number is, and needs no closer look
NUMBER_DIGITS_MAX: Final = 18
TEXT_NUMBER: Final = 2**63 - 1  # in the place of the number where the id is none
EVENT_NS_MAX: Final = 2**63 - 1 - 10**18


class TradeRow(NamedTuple):
    """A trade on its way in. Trades of one instant are ordered by their ids, numbers as numbers and before other texts."""

    event_ns: int
    number: int
    text: str
    price: str
    quantity: str
    side: int
    order_type: int


class CandleRow(NamedTuple):
    opened_s: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int | None
    final: bool


def id_columns(trade_id: str) -> tuple[int, str]:
    """An id in two columns: a number without leading zeros as itself, any other behind a character for its length.

    Most exchanges count their trades, and a number is half as large and twice as quick to find as its digits.
    """
    if len(trade_id) <= NUMBER_DIGITS_MAX and trade_id.isascii() and trade_id.isdigit():
        number = int(trade_id)
        if str(number) == trade_id:
            return number, ""
    return TEXT_NUMBER, chr(32 + len(trade_id)) + trade_id


def id_of(number: int, text: str) -> str:
    return text[1:] if text else str(number)


def check_trades(trades: Sequence[MarketTrade]) -> tuple[list[TradeRow], list[Refused]]:
    """Rows of the good trades in the order given, and what was wrong with the others."""
    rows: list[TradeRow] = []
    refused: list[Refused] = []
    for position, trade in enumerate(trades):
        try:
            rows.append(_trade_row(trade))
        except ValueError as error:
            refused.append(Refused(position=position, reason=str(error)))
    return rows, refused


def _trade_row(trade: MarketTrade) -> TradeRow:
    price, quantity = _number(trade.price, "price"), _number(trade.quantity, "quantity")
    if not price.strip("0."):
        raise ValueError(f"price was {trade.price}, must be above 0")
    if not quantity.strip("0."):
        raise ValueError(f"quantity was {trade.quantity}, must be above 0")
    if not 0 <= trade.event_ns < EVENT_NS_MAX:
        raise ValueError(f"event_ns was {trade.event_ns}, must be nanoseconds since 1970")
    if not 0 < len(trade.trade_id) <= KEY_CHARACTERS_MAX or not trade.trade_id.isprintable():
        raise ValueError(f"trade_id was {trade.trade_id!r}, must have 1 to {KEY_CHARACTERS_MAX} characters")
    number, text = id_columns(trade.trade_id)
    side, order_type = SIDE_NUMBER[trade.side], ORDER_TYPE_NUMBER[trade.order_type]
    return TradeRow(trade.event_ns, number, text, price, quantity, side, order_type)


def check_candles(candles: Sequence[Candle], timeframe: Timeframe) -> tuple[list[CandleRow], list[Refused]]:
    """Rows of the good candles, oldest first, and what was wrong with the others; of two with one open time the last counts."""
    rows: dict[int, CandleRow] = {}
    refused: list[Refused] = []
    for position, candle in enumerate(candles):
        try:
            row = _candle_row(candle, WIDTH_S[timeframe])
        except ValueError as error:
            refused.append(Refused(position=position, reason=str(error)))
            continue
        before = rows.get(row.opened_s)
        if before is None or row.final or not before.final:
            rows[row.opened_s] = row
    return [rows[opened_s] for opened_s in sorted(rows)], refused


def _candle_row(candle: Candle, width_s: int) -> CandleRow:
    opened_s, rest = divmod(candle.opened_ns, NS)
    if rest or opened_s % width_s or not 0 <= candle.opened_ns < EVENT_NS_MAX:
        raise ValueError(f"opened_ns was {candle.opened_ns}, must be a multiple of the timeframe's {width_s} s")
    prices = [_number(text, name) for name, text in zip(("open", "high", "low", "close"), _prices(candle), strict=True)]
    opened, high, low, closed = map(Decimal, prices)
    if not 0 < low <= min(opened, closed) or high < max(opened, closed):
        found = ", ".join(_prices(candle))
        raise ValueError(f"open, high, low, close were {found}: must be above 0, low the lowest and high the highest")
    if candle.trades is not None and candle.trades < 0:
        raise ValueError(f"trades was {candle.trades}, must be 0 or more")
    return CandleRow(
        opened_s, prices[0], prices[1], prices[2], prices[3], _number(candle.volume, "volume"), candle.trades, candle.final
    )


def _prices(candle: Candle) -> tuple[str, str, str, str]:
    return candle.open, candle.high, candle.low, candle.close


def _number(text: str, name: str) -> str:
    if SHORT.fullmatch(text):
        return text
    try:
        written = plain(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if decimals(written) > DECIMALS_MAX:
        raise ValueError(f"{name} was {text}, may have at most {DECIMALS_MAX} decimals")
    return written


def check_names(exchange: str, symbol: str) -> None:
    """Raises: BadUserInput for a name that no exchange or symbol can have."""
    for name, text in (("exchange", exchange), ("symbol", symbol)):
        if not 0 < len(text) <= 100 or not text.isprintable():
            raise BadUserInput(f"{name} was {text[:100]!r}, must have 1 to 100 printable characters", path=[name])
