"""Any exchange of `ccxt.pro` behind our adapter, through ccxt's own `watch_…` methods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

import ccxt

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.exchanges.adapter import Capabilities, Fill, OrderRequest, OrderState
from fullon_master_api.exchanges.candle_sequence import CandleSequence
from fullon_master_api.exchanges.ccxt_errors import translated
from fullon_master_api.exchanges.ccxt_rest import CcxtRest, balances, candle, fill
from fullon_master_api.exchanges.ccxt_wire import Feed
from fullon_master_api.exchanges.trade_sieve import TradeSieve
from fullon_master_api.model import Balance, Candle, MarketTrade, Ticker

ORDERS_REMEMBERED: Final = 10_000
FILLS_PAGE: Final = 500
UNWATCH: Final = {
    "unWatchBidsAsks": "un_watch_bids_asks",
    "unWatchTickers": "un_watch_tickers",
    "unWatchTrades": "un_watch_trades",
    "unWatchOHLCV": "un_watch_ohlcv",
}

Pump = Callable[[Feed], Awaitable[None]]
Unwatch = tuple[Any, ...]  # the name of ccxt's feature, and its arguments


class CcxtExchange(CcxtRest):
    """An exchange by ccxt's unified methods. Each stream may be open once on a connection.

    Once, because ccxt gives all waiters of a message one future: when one of them is cancelled, the others are too.
    """

    trades_are_numbered = False  # whether a market's trades are numbered without holes
    trades_params: dict[str, Any] = {}

    def __init__(self, name: str, wire: Any, *, timeout_s: float, stall_s: float) -> None:
        super().__init__(name, wire, timeout_s=timeout_s)
        self.stall_s = stall_s
        has = {feature: bool(able) for feature, able in wire.has.items()}
        self.capabilities = Capabilities(
            stream_tickers=has.get("watchBidsAsks", False) or has.get("watchTickers", False),
            stream_trades=has.get("watchTrades", False),
            stream_candles=has.get("watchOHLCV", False),
            stream_balances=has.get("watchBalance", False),
            stream_orders=has.get("watchOrders", False),
            stream_my_trades=has.get("watchMyTrades", False),
            positions=False,
            candles_from_trades=False,
        )
        self._has = has
        self._reading: set[str] = set()
        self._symbols: dict[str, str] = {}  # of the orders that were seen here, oldest first

    async def aclose(self) -> None:
        await self.wire.close()

    @asynccontextmanager
    async def pumped(self, name: str, *pumps: Pump, unwatch: Sequence[Unwatch] = (), lossy: bool = False) -> AsyncGenerator[Feed]:
        """A feed that these tasks fill, as long as the block lasts; then its subscriptions are ended."""
        if name in self._reading:
            raise ExchangeRefused(f"{self.name}: {name} is read already on this connection: open another one")
        self._reading.add(name)
        feed = Feed(lossy=lossy)
        tasks = [asyncio.create_task(self._guarded(pump, feed), name=f"{self.name}:{name}") for pump in pumps]
        try:
            yield feed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for method, *arguments in unwatch:
                await self._unwatch(method, *arguments)
            self._reading.discard(name)

    async def _guarded(self, pump: Pump, feed: Feed) -> None:
        """Whatever ends a pump ends its feed with it, so that its reader never waits for nobody."""
        try:
            await pump(feed)
        except asyncio.CancelledError:
            feed.fail(ExchangeUnavailable(f"{self.name}: the connection was closed"))
            raise
        except (ccxt.BaseError, TimeoutError, ConnectionError) as error:
            feed.fail(translated(error, self.name))
        except Exception as error:
            feed.fail(error)

    async def read(self, feed: Feed, name: str, *, stall_s: float | None) -> AsyncGenerator[list[dict[str, Any]]]:
        """Batches of a feed. Raises: ExchangeUnavailable when the first does not come in time, or a later one not for long."""
        first = stall_s is not None
        while True:
            limit_s = self.timeout_s if first else stall_s
            batch = await feed.wait(limit_s)
            if not batch:
                raise ExchangeUnavailable(f"{self.name}: {name} sent nothing for {limit_s:g} s")
            first = False
            yield batch

    async def _unwatch(self, method: str, *arguments: Any) -> None:
        """End a subscription, where ccxt can for this exchange; a connection that is gone has none."""
        if self._has.get(method) and self.wire.clients:
            with suppress(ccxt.BaseError, TimeoutError, ConnectionError):
                async with asyncio.timeout(self.timeout_s):
                    await getattr(self.wire, UNWATCH[method])(*arguments)

    async def stream_tickers(self, symbols: Sequence[str]) -> AsyncGenerator[list[Ticker], None]:
        """Tickers that changed, the newest of each symbol.

        Bid and ask come from `watch_bids_asks` where there is one, the rest from `watch_tickers`: ccxt's ticker of Binance
        has no bid and ask, and its best quotes have no last. A burst wakes ccxt's waiter once, with its first message; so
        what is told is read from ccxt's state, for every symbol.
        """
        await self.ready(symbols)
        wanted = list(symbols)
        pumps: list[Pump] = []
        if self._has.get("watchBidsAsks"):
            pumps.append(lambda feed: self._pump_states(feed, self.wire.watch_bids_asks, "bidsasks", wanted))
        if self._has.get("watchTickers"):
            pumps.append(lambda feed: self._pump_states(feed, self.wire.watch_tickers, "tickers", wanted))
        quotes: dict[str, dict[str, dict[str, Any]]] = {}
        unwatch = (("unWatchBidsAsks", wanted), ("unWatchTickers", wanted))
        async with (
            self.pumped("tickers:" + ",".join(wanted), *pumps, unwatch=unwatch, lossy=True) as feed,
            aclosing(self.read(feed, "tickers", stall_s=self.stall_s)) as batches,
        ):
            async for batch in batches:
                now_ns = time.time_ns()
                changed = {}
                for item in batch:
                    quotes.setdefault(item["symbol"], {})[item["kind"]] = item["row"]
                    changed[item["symbol"]] = item["kind"]
                yield [self._merged(symbol, quotes[symbol], kind, now_ns) for symbol, kind in changed.items()]

    async def _pump_states(self, feed: Feed, watch: Callable[..., Awaitable[Any]], kind: str, symbols: list[str]) -> None:
        states: dict[str, Any] = getattr(self.wire, kind)
        seen = dict(states)  # From an earlier stream: old news.
        while True:
            for symbol in symbols:
                row = states.get(symbol)
                if row is not None and row is not seen.get(symbol):
                    seen[symbol] = row
                    feed.put({"symbol": symbol, "kind": kind, "row": row})
            await watch(symbols)

    def _merged(self, symbol: str, quotes: dict[str, dict[str, Any]], kind: str, now_ns: int) -> Ticker:
        best, whole = quotes.get("bidsasks", {}), quotes.get("tickers", {})
        sides = best or whole
        row = dict(whole) | {name: sides.get(name) for name in ("bid", "ask", "bidVolume", "askVolume")}
        row |= {"symbol": symbol, "timestamp": quotes[kind].get("timestamp")}
        return self.ticker(row, now_ns)

    async def stream_trades(self, symbol: str) -> AsyncGenerator[list[MarketTrade], None]:
        """New trades, oldest first, each once."""
        await self.ready([symbol])
        sieve = TradeSieve(self.name, symbol)

        async def pump(feed: Feed) -> None:
            while True:
                for row in await self.wire.watch_trades(symbol, None, None, dict(self.trades_params)):
                    feed.put(row)

        seen: dict[str, None] = {}
        unwatch = (("unWatchTrades", symbol, dict(self.trades_params)),)
        async with (
            self.pumped(f"trades:{symbol}", pump, unwatch=unwatch) as feed,
            aclosing(self.read(feed, f"trades of {symbol}", stall_s=self.stall_s)) as batches,
        ):
            async for batch in batches:
                found = [trade for trade in map(self.market_trade, batch) if trade is not None]
                if self.trades_are_numbered:
                    trades = [trade for trade in found if sieve.is_new(int(trade.trade_id))]
                    sieve.check(time.monotonic())
                else:
                    trades = [trade for trade in found if trade.trade_id not in seen]
                    seen |= dict.fromkeys(trade.trade_id for trade in trades)
                    while len(seen) > ORDERS_REMEMBERED:
                        del seen[next(iter(seen))]
                if trades:
                    numbered = self.trades_are_numbered
                    yield sorted(trades, key=lambda trade: int(trade.trade_id) if numbered else trade.event_ns)

    async def stream_candles(self, symbol: str) -> AsyncGenerator[list[Candle], None]:
        """Candles of one minute as they change; one is final once a later one opened."""
        await self.ready([symbol])
        sequence = CandleSequence()

        async def pump(feed: Feed) -> None:
            while True:
                for row in await self.wire.watch_ohlcv(symbol, "1m"):
                    feed.put({"row": list(row)})

        async with (
            self.pumped(f"candles:{symbol}", pump, unwatch=(("unWatchOHLCV", symbol, "1m"),)) as feed,
            aclosing(self.read(feed, f"candles of {symbol}", stall_s=self.stall_s)) as batches,
        ):
            async for batch in batches:
                changed = sequence.read(candle(item["row"], final=False) for item in batch)
                if changed:
                    yield changed

    async def stream_balances(self, ex_id: int) -> AsyncGenerator[list[Balance], None]:
        """All balances: at first over REST, then as the exchange tells of a change. Binance tells of those that changed only."""
        await self.ready()

        async def pump(feed: Feed) -> None:
            while True:
                feed.put(dict(await self.wire.watch_balance()))

        async with (
            self.pumped("balances", pump) as feed,
            aclosing(self.read(feed, "balances", stall_s=None)) as batches,
        ):
            known = {balance.currency: balance for balance in await self.fetch_balances(ex_id)}
            yield list(known.values())
            async for batch in batches:
                for answer in batch:
                    known |= {balance.currency: balance for balance in balances(answer, ex_id, time.time_ns())}
                yield sorted(known.values(), key=lambda balance: balance.currency)

    async def stream_orders(self) -> AsyncGenerator[list[OrderState], None]:
        """Orders as they change; the open ones first, over REST. Fast changes of one order are told as one."""
        await self.ready()

        async def pump(feed: Feed) -> None:
            while True:
                for row in await self.wire.watch_orders():
                    feed.put(dict(row))

        async with self.pumped("orders", pump) as feed, aclosing(self.read(feed, "orders", stall_s=None)) as batches:
            yield await self.fetch_open_orders()
            async for batch in batches:
                yield [self.order_state(row) for row in {row["id"]: row for row in batch}.values()]

    async def stream_fills(self) -> AsyncGenerator[list[Fill], None]:
        """Own executions as they come, each once."""
        await self.ready()
        seen: dict[str, None] = {}

        async def pump(feed: Feed) -> None:
            while True:
                for row in await self.wire.watch_my_trades():
                    feed.put(dict(row))

        async with self.pumped("fills", pump) as feed, aclosing(self.read(feed, "fills", stall_s=None)) as batches:
            yield []
            async for batch in batches:
                fills = [one for one in map(self._own_fill, batch) if f"{one.symbol}:{one.ex_trade_id}" not in seen]
                seen |= dict.fromkeys(f"{one.symbol}:{one.ex_trade_id}" for one in fills)
                while len(seen) > ORDERS_REMEMBERED:
                    del seen[next(iter(seen))]
                if fills:
                    yield sorted(fills, key=lambda one: one.event_ns)

    def order_state(self, row: dict[str, Any]) -> OrderState:
        state = super().order_state(row)
        if state.symbol is not None:
            self._remember(state.ex_order_id, state.symbol)
        return state

    def _own_fill(self, row: dict[str, Any]) -> Fill:
        one = fill(row)
        self._remember(one.ex_order_id, one.symbol)
        return one

    async def place_order(self, request: OrderRequest) -> OrderState:
        state = await super().place_order(request)
        self._remember(state.ex_order_id, request.symbol)
        return state

    def _remember(self, ex_order_id: str, symbol: str) -> None:
        self._symbols[ex_order_id] = symbol
        if len(self._symbols) > ORDERS_REMEMBERED:
            del self._symbols[next(iter(self._symbols))]

    async def fetch_orders(
        self, ex_order_ids: Sequence[str], *, symbols: Sequence[str | None] | None = None
    ) -> list[OrderState | None]:
        """The state of each order, in the order asked; None where the exchange does not know it.

        Most exchanges look an order up in its market only: `symbols` names them, in the same order; without it those are
        found that were placed or seen on this connection, or are open now.
        """
        await self.ready()
        named = dict(zip(ex_order_ids, symbols or [None] * len(ex_order_ids), strict=True))
        if any(symbol is None and ex_order_id not in self._symbols for ex_order_id, symbol in named.items()):
            await self.fetch_open_orders()  # Remembers the market of each.
        states: list[OrderState | None] = []
        for ex_order_id, named_symbol in named.items():
            symbol = named_symbol or self._symbols.get(ex_order_id)
            if symbol is None:
                raise ExchangeRefused(f"{self.name}: order {ex_order_id} can be asked for only with its symbol")
            try:
                states.append(self.order_state(await self.call_private(self.wire.fetch_order, ex_order_id, symbol)))
            except ExchangeRefused:
                states.append(None)
        return states

    async def fetch_fills(self, *, since_ns: int, symbols: Sequence[str] | None = None) -> list[Fill]:
        """Own executions from `since_ns` on, oldest first, in those of `symbols` that the exchange has.

        Without `symbols`: in every market with an order that was seen here, or is open.
        """
        await self.ready()
        if symbols is None:
            await self.fetch_open_orders()  # Remembers the market of each.
            symbols = list(self._symbols.values())
        fills: list[Fill] = []
        for symbol in sorted(self.wire.markets.keys() & set(symbols)):
            since_ms = since_ns // 1_000_000
            while True:
                rows = await self.call_private(self.wire.fetch_my_trades, symbol, since_ms, FILLS_PAGE)
                page = [self._own_fill(row) for row in rows]
                fills += page
                if len(rows) < FILLS_PAGE or page[-1].event_ns // 1_000_000 == since_ms:
                    break
                since_ms = page[-1].event_ns // 1_000_000
        unique = {(one.symbol, one.ex_trade_id): one for one in fills if one.event_ns >= since_ns}
        return sorted(unique.values(), key=lambda one: (one.event_ns, one.ex_trade_id))
