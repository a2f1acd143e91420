"""The text of Kraken's WebSocket v2 messages, numbers with the exchange's own digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from fullon_master_api.exchanges.paper.book import Book, Level, checksum
from fullon_master_api.exchanges.paper.markets import PaperMarket
from fullon_master_api.exchanges.paper.tape import SECOND_NS, Bar, Tape, TapeTrade

HEARTBEAT: Final = '{"channel":"heartbeat"}'

_encode = msgspec.json.Encoder().encode


def json_text(value: Any) -> str:
    """Any value as JSON text; a `Decimal` must be wrapped by `number` first, to leave as a number and not as a string."""
    return _encode(value).decode()


def number(value: Decimal | str) -> msgspec.Raw:
    """A JSON number in plain notation, with all its digits."""
    return msgspec.Raw((format(value, "f") if isinstance(value, Decimal) else value).encode())


def time_text(at_ns: int) -> str:
    """RFC 3339 with microseconds, or with nanoseconds where the instant has them."""
    seconds, part = divmod(at_ns, SECOND_NS)
    day = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{day}.{part // 1000:06d}Z" if part % 1000 == 0 else f"{day}.{part:09d}Z"


def ticker_text(tape: Tape, kind: str) -> str | None:
    """The `ticker` channel's message; None while the market has no quotes."""
    market, book, day, last = tape.market, tape.book, tape.day(), tape.last
    if book is None or day is None or last is None:
        return None
    price, quantity = market.price_text, market.quantity_text
    change = day.close - day.open
    percent = (change / day.open * 100).quantize(Decimal("0.01"))
    vwap = day.vwap.quantize(Decimal(1).scaleb(-market.pair_decimals))
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{market.symbol}",'
        f'"bid":{price(book.bid[0])},"bid_qty":{quantity(book.bid[1])},'
        f'"ask":{price(book.ask[0])},"ask_qty":{quantity(book.ask[1])},'
        f'"last":{last.price},"volume":{day.volume:f},"vwap":{vwap:f},"low":{day.low:f},"high":{day.high:f},'
        f'"change":{change:f},"change_pct":{percent:f},"timestamp":"{time_text(tape.now_ns)}"}}]}}'
    )


def trades_text(market: PaperMarket, trades: Iterable[TapeTrade], kind: str) -> str:
    rows = ",".join(
        f'{{"symbol":"{market.symbol}","side":"{trade.side}","price":{trade.price},"qty":{trade.quantity},'
        f'"ord_type":"{trade.order_type}","trade_id":{trade.trade_id},"timestamp":"{time_text(trade.event_ns)}"}}'
        for trade in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def candles_text(market: PaperMarket, bars: Iterable[Bar], interval: int, now_ns: int, kind: str) -> str:
    decimals = Decimal(1).scaleb(-market.pair_decimals)
    rows = ",".join(
        f'{{"symbol":"{market.symbol}","open":{bar.open:f},"high":{bar.high:f},"low":{bar.low:f},"close":{bar.close:f},'
        f'"trades":{bar.count},"volume":{bar.volume:f},"vwap":{bar.vwap.quantize(decimals):f},'
        f'"interval_begin":"{time_text(bar.opened_s * SECOND_NS)[:-1]}000Z","interval":{interval},'
        f'"timestamp":"{time_text((bar.opened_s + interval * 60) * SECOND_NS)}"}}'
        for bar in bars
    )
    return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{time_text(now_ns)}","data":[{rows}]}}'


def book_text(tape: Tape, book: Book, bids: Sequence[Level], asks: Sequence[Level], kind: str) -> str:
    """The `book` channel's message: these levels, with the checksum of the whole `book`."""
    market = tape.market

    def rows(levels: Sequence[Level]) -> str:
        return ",".join(f'{{"price":{market.price_text(p)},"qty":{market.quantity_text(q)}}}' for p, q in levels)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{market.symbol}","bids":[{rows(bids)}],"asks":[{rows(asks)}],'
        f'"checksum":{checksum(book.bids, book.asks)},"timestamp":"{time_text(tape.now_ns)}"}}]}}'
    )


def status_text(system: str, connection_id: int) -> str:
    row = {"version": "2.0.10", "system": system, "api_version": "v2", "connection_id": connection_id}
    return json_text({"channel": "status", "type": "update", "data": [row]})
