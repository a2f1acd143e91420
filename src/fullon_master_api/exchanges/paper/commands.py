"""What a client may send over a socket of the paper exchange, and what it is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fullon_master_api.exchanges.paper.accounts import Refusal
from fullon_master_api.exchanges.paper.book import DEPTHS
from fullon_master_api.exchanges.paper.messages import book_text, candles_text, json_text, ticker_text, time_text, trades_text
from fullon_master_api.exchanges.paper.private_commands import CHANNELS, ORDER_METHODS, PrivateDesk, Reply
from fullon_master_api.exchanges.paper.sockets import (
    INTERVALS,
    SNAPSHOT_CANDLES,
    SNAPSHOT_TRADES,
    TRIGGERS,
    Hub,
    Session,
    Topic,
)
from fullon_master_api.exchanges.paper.tape import Tape

_decode = msgspec.json.Decoder(float_hook=str).decode  # an order's digits are the client's own

PUBLIC_CHANNELS: Final = ("ticker", "trade", "ohlc", "book")


class Desk:
    """Answers the commands of sessions; those that name a token are the private desk's."""

    def __init__(self, hub: Hub, tapes: dict[str, Tape], private: PrivateDesk) -> None:
        self._hub = hub
        self._tapes = tapes
        self._private = private

    def answer(self, session: Session, text: str, *, maintenance: bool) -> None:
        """Do what a message asks and send what it is due."""
        started_ns = time.time_ns()
        try:
            message = _decode(text)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict):
            session.send(json_text({"error": "Malformed request", "success": False}))
            return
        method, request_id = str(message.get("method")), message.get("req_id")
        params = message.get("params")
        params = params if isinstance(params, dict) else {}

        def reply(**fields: Any) -> None:
            session.send(_reply(method, request_id, started_ns, **fields))

        try:
            if method == "ping":
                session.send(_reply("pong", request_id, started_ns))
            elif maintenance:
                raise Refusal("EService:Unavailable")
            elif method in ("subscribe", "unsubscribe") and params.get("channel") in CHANNELS:
                self._private.change(session, method, params, reply)
            elif method in ("subscribe", "unsubscribe"):
                self._change(session, method, params, reply)
            elif method in ORDER_METHODS:
                self._private.order(session, method, params, reply)
            else:
                raise Refusal(f"Unsupported method: {method}")
        except Refusal as refusal:
            reply(success=False, error=str(refusal))

    def _change(self, session: Session, method: str, params: dict[str, Any], reply: Reply) -> None:
        """One acknowledgement for each symbol, each followed by its snapshot."""
        channel, symbols = params.get("channel"), params.get("symbol")
        for symbol in symbols if isinstance(symbols, list) else [symbols]:
            try:
                topic = self._topic(str(channel), symbol, params)
                if method == "subscribe":
                    self._join(session, topic)
                elif topic in session.topics:
                    self._hub.leave(session, topic)
                else:
                    raise Refusal("Subscription Not Found")
            except Refusal as refusal:
                reply(success=False, error=str(refusal), symbol=symbol)
                continue
            reply(success=True, result={"channel": channel, "symbol": symbol} | _variant(topic))
            if method == "subscribe" and params.get("snapshot", channel != "trade"):
                self._snapshot(session, topic)

    def _topic(self, channel: str, symbol: Any, params: dict[str, Any]) -> Topic:
        if channel not in PUBLIC_CHANNELS:
            raise Refusal(f"Subscription name invalid: {channel}")
        if not isinstance(symbol, str):
            raise Refusal("Symbol(s) not found: an array of pairs is needed")
        if symbol not in self._tapes:
            raise Refusal(f"Currency pair not supported {symbol}")
        if channel == "ticker":
            return channel, symbol, str(_allowed(params.get("event_trigger", "trades"), TRIGGERS, "event_trigger"))
        if channel == "ohlc":
            return channel, symbol, int(_allowed(params.get("interval", 1), INTERVALS, "ohlc interval"))
        if channel == "book":
            return channel, symbol, int(_allowed(params.get("depth", 10), DEPTHS, "depth"))
        return channel, symbol, ""

    def _join(self, session: Session, topic: Topic) -> None:
        if any(known[:2] == topic[:2] and (known == topic or topic[0] != "ohlc") for known in session.topics):
            raise Refusal("Already subscribed")
        book = self._tapes[topic[1]].book
        if topic[0] == "book":
            if book is None:
                raise Refusal(f"Currency pair not supported {topic[1]}")
            session.books[topic] = book
        self._hub.join(session, topic)

    def _snapshot(self, session: Session, topic: Topic) -> None:
        channel, symbol, variant = topic
        tape = self._tapes[symbol]
        text: str | None = None
        if channel == "ticker":
            text = ticker_text(tape, "snapshot")
        elif channel == "trade":
            text = trades_text(tape.market, tape.trades[-SNAPSHOT_TRADES:], "snapshot")
        elif channel == "ohlc":
            bars = tape.bars(int(variant), after_s=None, count=SNAPSHOT_CANDLES)
            text = candles_text(tape.market, bars, int(variant), tape.now_ns, "snapshot") if bars else None
        elif tape.book is not None:
            depth = int(variant)
            text = book_text(tape, tape.book, tape.book.bids[:depth], tape.book.asks[:depth], "snapshot")
        if text is not None:
            session.send_data(text)


def _variant(topic: Topic) -> dict[str, str | int]:
    names = {"ticker": "event_trigger", "ohlc": "interval", "book": "depth"}
    return {names[topic[0]]: topic[2]} if topic[0] in names else {}


def _allowed(value: Any, allowed: Sequence[Any], name: str) -> Any:
    if value not in allowed:
        raise Refusal(f"Subscription {name} not supported: {value}; one of {', '.join(map(str, allowed))}")
    return value


def _reply(method: str, request_id: Any, started_ns: int, **fields: Any) -> str:
    times = {"time_in": time_text(started_ns), "time_out": time_text(time.time_ns())}
    numbered = {} if request_id is None else {"req_id": request_id}
    return json_text({"method": method} | numbered | fields | times)
