"""The public REST calls of the paper exchange, Kraken's `/0/public/…`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from fullon_master_api.exchanges.paper.accounts import Refusal
from fullon_master_api.exchanges.paper.markets import PaperMarket, assets_body, pair_body
from fullon_master_api.exchanges.paper.messages import number
from fullon_master_api.exchanges.paper.sockets import INTERVALS
from fullon_master_api.exchanges.paper.tape import SECOND_NS, Tape

TRADES_MAX: Final = 1000
CANDLES_MAX: Final = 720
UNKNOWN_PAIR: Final = "EQuery:Unknown asset pair"


class PublicRest:
    """Answers by the last part of the path; each answer is the `result` of Kraken's envelope."""

    def __init__(self, tapes: dict[str, Tape]) -> None:
        self._tapes = tapes
        self._names = {name: tape for tape in tapes.values() for name in tape.market.names()}

    def answer(self, name: str, query: Mapping[str, str], *, maintenance: bool) -> Any:
        """Raises Refusal with Kraken's text where the call cannot be answered."""
        if name == "SystemStatus":
            status = "maintenance" if maintenance else "online"
            return {"status": status, "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if maintenance:
            raise Refusal("EService:Unavailable")
        if name == "Time":
            now_s = int(time.time())
            return {"unixtime": now_s, "rfc1123": datetime.fromtimestamp(now_s, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")}
        if name == "Assets":
            return assets_body()
        if name == "AssetPairs":
            return {tape.market.pair: pair_body(tape.market, status="online") for tape in self._asked(query, default_all=True)}
        if name == "Ticker":
            return {tape.market.pair: _ticker(tape) for tape in self._asked(query, default_all=True) if tape.book and tape.last}
        calls = {"Trades": _trades, "OHLC": _candles, "Depth": _depth}
        if name not in calls:
            raise Refusal("EGeneral:Unknown method")
        return calls[name](self._asked(query, default_all=False)[0], query)

    def _asked(self, query: Mapping[str, str], *, default_all: bool) -> list[Tape]:
        names = query.get("pair")
        if names is None and default_all:
            return list(self._tapes.values())
        tapes = [self._names.get(name) for name in (names or "").split(",")]
        known = [tape for tape in tapes if tape is not None]
        if len(known) < len(tapes):
            raise Refusal(UNKNOWN_PAIR)
        return known


def _ticker(tape: Tape) -> dict[str, Any]:
    market, book, day, last = tape.market, tape.book, tape.day(), tape.last
    assert book is not None, "a market without quotes was asked for its ticker"
    assert day is not None, "a market without trades was asked for its ticker"
    assert last is not None, "a market without trades was asked for its ticker"

    def level(price: int, lots: int) -> list[str]:
        return [
            market.rest_price(market.price_text(price)),
            str(lots // market.lots_in_unit),
            f"{lots / market.lots_in_unit:.3f}",
        ]

    def twice(value: Decimal) -> list[str]:
        return [_five(market, value)] * 2

    return {
        "a": level(*book.ask),
        "b": level(*book.bid),
        "c": [market.rest_price(last.price), last.quantity],
        "v": [f"{day.volume:.8f}"] * 2,
        "p": twice(day.vwap),
        "t": [day.count] * 2,
        "l": twice(day.low),
        "h": twice(day.high),
        "o": _five(market, day.open),
    }


def _five(market: PaperMarket, value: Decimal) -> str:
    return f"{value:.{max(5, market.pair_decimals)}f}"


def _trades(tape: Tape, query: Mapping[str, str]) -> dict[str, Any]:
    """Trades later than `since` (seconds or nanoseconds), oldest first; `last` is what to ask with for the page after."""
    count = _whole(query.get("count"), default=TRADES_MAX, least=1, most=TRADES_MAX, name="count")
    since = query.get("since")
    since_ns = None if since is None else _instant_ns(since)
    trades = tape.trades[-count:] if since_ns is None else tape.trades_after(since_ns, count)
    rows = [
        [
            tape.market.rest_price(trade.price),
            trade.quantity,
            number(trade.time_text),
            "b" if trade.side == "buy" else "s",
            "m" if trade.order_type == "market" else "l",
            "",
            trade.trade_id,
        ]
        for trade in trades
    ]
    last_ns = trades[-1].event_ns if trades else since_ns or tape.now_ns
    return {tape.market.pair: rows, "last": str(last_ns)}


def _candles(tape: Tape, query: Mapping[str, str]) -> dict[str, Any]:
    interval = _whole(query.get("interval"), default=1, least=1, most=INTERVALS[-1], name="interval")
    if interval not in INTERVALS:
        raise Refusal("EGeneral:Invalid arguments:interval")
    since = query.get("since")
    after_s = None if since is None else _instant_ns(since) // SECOND_NS
    decimals = tape.market.pair_decimals
    bars = tape.bars(interval, after_s=after_s, count=CANDLES_MAX)
    rows: list[list[int | str]] = []
    for bar in bars:
        prices = [f"{price:.{decimals}f}" for price in (bar.open, bar.high, bar.low, bar.close, bar.vwap)]
        rows.append([bar.opened_s, *prices, f"{bar.volume:.8f}", bar.count])
    newest_s = tape.now_ns // SECOND_NS // (interval * 60) * interval * 60
    return {tape.market.pair: rows, "last": newest_s - interval * 60}


def _depth(tape: Tape, query: Mapping[str, str]) -> dict[str, Any]:
    count = _whole(query.get("count"), default=100, least=1, most=500, name="count")
    market, book = tape.market, tape.book
    if book is None:
        raise Refusal(UNKNOWN_PAIR)
    now_s = tape.now_ns // SECOND_NS

    def rows(levels: Any) -> list[list[Any]]:
        return [
            [market.rest_price(market.price_text(price)), f"{lots / market.lots_in_unit:.3f}", now_s]
            for price, lots in levels[:count]
        ]

    return {market.pair: {"asks": rows(book.asks), "bids": rows(book.bids)}}


def _instant_ns(text: str) -> int:
    """`since` as Kraken takes it: seconds, or nanoseconds when it is too large to be seconds."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Refusal("EGeneral:Invalid arguments:since") from error
    return int(value * SECOND_NS) if value < 100_000_000_000 else int(value)


def _whole(text: str | None, *, default: int, least: int, most: int, name: str) -> int:
    if text is None:
        return default
    if not text.isdigit() or not least <= int(text) <= most:
        raise Refusal(f"EGeneral:Invalid arguments:{name}")
    return int(text)


def envelope(result: Any) -> bytes:
    return msgspec.json.encode({"error": [], "result": result})


def refusal(text: str) -> bytes:
    return msgspec.json.encode({"error": [text]})
