"""Kraken's WebSocket v2 over ccxt: subscriptions shared by their readers, refused ones named, all of them ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import ccxt
import ccxt.pro

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges.ccxt_errors import exchange_errors, translated
from fullon_master_api.exchanges.ccxt_wire import ExactExchange, Feed

PRIVATE: Final = ("executions", "balances")
UNSUBSCRIBE_S: Final = 2.0  # A socket that does not answer must not hold up the end of its readers.
STATES: Final = ("ticker", "ohlc")  # channels whose newest message says all

Topic = tuple[str, str]
"""(channel, symbol); a private channel has the symbol ""."""


class KrakenWire(ExactExchange, ccxt.pro.kraken):  # type: ignore[misc]
    """ccxt's Kraken, whose channels are read here and not by ccxt's handlers.

    ccxt keeps the newest state and wakes whoever waits, so that of two quick messages one is lost; it judges a batch by its
    first row; and it leaves the waiter of a refused subscription hanging. Its connections, keep-alive, tokens, signatures
    and REST calls are used as they are.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.feeds: dict[Topic, set[Feed]] = {}
        self.newest: dict[Topic, dict[str, Any]] = {}  # for readers that join later and get no snapshot of their own
        self.refused: dict[int, asyncio.Future[None]] = {}
        self.waiting: dict[int, set[str]] = {}
        self.changing = asyncio.Lock()  # Subscribing and unsubscribing are serialised: the last to leave may meet a new one.

    def handle_message(self, client: Any, message: dict[str, Any]) -> None:
        if not self.is_current(client):
            return
        channel = message.get("channel")
        if channel is not None:
            self._deliver(channel, message)
        elif message.get("method") in ("subscribe", "unsubscribe"):
            self._acknowledged(message)
        else:
            super().handle_message(client, message)

    def _deliver(self, channel: str, message: dict[str, Any]) -> None:
        rows = message.get("data")
        if channel in PRIVATE:
            for feed in self.feeds.get((channel, ""), ()):
                feed.put(message)
        elif channel == "status" and rows and rows[0].get("system") not in ("online", "post_only"):
            self.fail_all(ExchangeUnavailable(f"kraken: the exchange says that it is in {rows[0].get('system')}"))
        elif isinstance(rows, list):
            by_symbol: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                by_symbol.setdefault(row.get("symbol", ""), []).append(row)
            for symbol, own in by_symbol.items():
                topic = (channel, symbol)
                part = message if len(by_symbol) == 1 else message | {"data": own}
                if channel in STATES and topic in self.feeds:
                    self.newest[topic] = part
                for feed in self.feeds.get(topic, ()):
                    feed.put(part)

    def _acknowledged(self, message: dict[str, Any]) -> None:
        request_id = message.get("req_id")
        answered = self.refused.get(request_id) if isinstance(request_id, int) else None
        if request_id is None or answered is None or answered.done():
            return
        error = str(message.get("error", ""))
        if message.get("success") or error.startswith("Already subscribed"):
            waiting = self.waiting[request_id]
            waiting.discard((message.get("result") or message).get("symbol") or "")
            if not waiting:
                answered.set_result(None)
        else:
            answered.set_exception(translated(ccxt.ExchangeError(error), "kraken"))

    def connection_failed(self, client: Any, error: Exception) -> None:
        private = client.url == self.urls["api"]["ws"]["privateV2"]
        if client.url in (self.urls["api"]["ws"]["publicV2"], self.urls["api"]["ws"]["privateV2"]):
            ours = translated(error, "kraken")
            for topic in [topic for topic in self.feeds if (topic[0] in PRIVATE) == private]:
                self.newest.pop(topic, None)
                for feed in self.feeds.pop(topic):  # Whoever comes now needs a subscription on the next connection.
                    feed.fail(ours)
            for answered in self.refused.values():
                if not answered.done():
                    answered.set_exception(ours)

    def fail_all(self, error: ExchangeUnavailable) -> None:
        """End every feed with this error."""
        for feeds in self.feeds.values():
            for feed in feeds:
                feed.fail(error)

    @asynccontextmanager
    async def subscribed(
        self, channel: str, symbols: Sequence[str], params: dict[str, Any], *, timeout_s: float, feed: Feed | None = None
    ) -> AsyncGenerator[tuple[Feed, Any]]:
        """A feed of a channel for these symbols, and its socket; the last reader to leave unsubscribes.

        A private channel has the one symbol "". With `feed` its messages go there, so that one reader has several channels.

        Raises: ExchangeRefused for a symbol the exchange does not have; ExchangeUnavailable when it does not answer in time.
        """
        topics: list[Topic] = [(channel, symbol) for symbol in symbols]
        feed = feed or Feed(lossy=channel in STATES)
        url = self.urls["api"]["ws"]["privateV2" if channel in PRIVATE else "publicV2"]
        unanswered: list[str] = []
        try:
            with exchange_errors("kraken"):
                async with asyncio.timeout(timeout_s), self.changing:
                    fresh = [symbol for channel_, symbol in topics if not self.feeds.get((channel_, symbol))]
                    feed.shared = not fresh
                    for topic in topics:
                        self.feeds.setdefault(topic, set()).add(feed)
                        if topic in self.newest:
                            feed.put(self.newest[topic])
                    if fresh:
                        try:
                            await self._ask("subscribe", url, channel, fresh, params)
                        except BaseException:  # Before the next one's turn, who would else take this feed for a subscription.
                            unanswered = self._left(feed, topics)
                            raise
            yield feed, self.client(url)
        finally:
            # The connection may be gone, and then nothing is left to unsubscribe.
            with suppress(ccxt.BaseError, ConnectionError, TimeoutError, ExchangeRefused, ExchangeUnavailable):
                async with asyncio.timeout(min(timeout_s, UNSUBSCRIBE_S)), self.changing:
                    left = [symbol for symbol in unanswered if (channel, symbol) not in self.feeds] + self._left(feed, topics)
                    if left and url in self.clients:
                        await self._ask("unsubscribe", url, channel, left, params)

    def _left(self, feed: Feed, topics: Sequence[Topic]) -> list[str]:
        """Take a feed out of its topics; answers the symbols that nobody reads any more."""
        left = []
        for topic in topics:
            readers = self.feeds.get(topic, set())
            if feed in readers:
                readers.discard(feed)
                if not readers:
                    del self.feeds[topic]
                    self.newest.pop(topic, None)
                    left.append(topic[1])
        return left

    def sign(self, *args: Any, **kwargs: Any) -> Any:
        """As ccxt does; a stored secret that cannot sign is a refused credential and no fault of ours."""
        try:
            return super().sign(*args, **kwargs)
        except ValueError:
            raise ccxt.AuthenticationError("the secret is not base64, as Kraken's are") from None

    async def _ask(self, method: str, url: str, channel: str, symbols: Sequence[str], params: dict[str, Any]) -> None:
        """Send a request of subscription and wait until it was answered for every symbol."""
        request_id = int(self.request_id())
        wanted = dict(params, channel=channel)
        if channel in PRIVATE:
            wanted["token"] = await self.authenticate()
        else:
            wanted["symbol"] = list(symbols)
        if method == "unsubscribe":
            wanted.pop("snapshot", None)
        answered = self.refused[request_id] = asyncio.get_running_loop().create_future()
        self.waiting[request_id] = set(symbols)
        try:
            self.open()
            client = self.client(url)
            connected = client.connect(self.session, self.ws_dial_delay(url))
            # ccxt never rejects `connected`: a failed dial is told to `connection_failed`, which ends `answered`.
            await asyncio.wait((connected, answered), return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                await client.send({"method": method, "params": wanted, "req_id": request_id})
            await answered
        finally:
            del self.refused[request_id], self.waiting[request_id]
            if answered.done() and not answered.cancelled():
                answered.exception()  # Seen here or not at all: the connection may have failed while it was sent.
