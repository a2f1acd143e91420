"""The active symbols of the catalogue, each with its collector, over one connection for each exchange."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, Unavailable
from fullon_master_api.exchanges.adapter import ExchangeAdapter, Market
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Symbol
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import FeedBoard, FeedGauge
from fullon_master_api.services.heartbeats import Heartbeats
from fullon_master_api.services.library import load_exchange_library
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.roster import Roster
from fullon_master_api.services.streaming import pause

log = get_logger(__name__)

CATALOGUE_S: Final = 5.0
"""How often the catalogue is read: a symbol added, changed or removed takes effect within this."""

RECYCLE_S: Final = 4 * 3600.0
"""A connection is replaced when it is so old, because the library's memory grows with every reconnect (ccxt#21369)."""


HISTORY_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Link:
    """What a collector gets of its exchange; setting `worn` asks for a fresh connection."""

    adapter: ExchangeAdapter
    markets: dict[str, Market]
    worn: asyncio.Event
    history: asyncio.Semaphore  # how many symbols may page through their history at once


Collect = Callable[[Symbol, Link, FeedGauge], Coroutine[Any, Any, None]]


Connected = Callable[[str, dict[str, Market]], Coroutine[Any, Any, None]]


async def _nothing(_exchange: str, _markets: dict[str, Market]) -> None:
    return None


class SymbolCollectors:
    """Runs `collect` for every symbol that `wants` it, until it is cancelled; `connected` hears of each exchange's rules.

    An exchange that is away, or a symbol it refuses, is a feed in error; the other exchanges and symbols go on.
    An error that nobody named ends all of it.
    """

    def __init__(
        self,
        resources: Resources,
        board: FeedBoard,
        *,
        kind: str,
        component: str,
        process_type: str,
        wants: Callable[[Symbol], bool],
        collect: Collect,
        reconnect_s: float,
        connected: Connected | None = None,
    ) -> None:
        self._with, self._board, self._kind, self._wants, self._collect = resources, board, kind, wants, collect
        self._reconnect_s, self._connected = reconnect_s, connected or _nothing
        self._heartbeats = Heartbeats(resources.cache.processes, board, process_type=process_type, component=component)
        self._wanted: dict[str, set[Symbol]] = {}
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run(self) -> None:
        await load_exchange_library()
        async with aclosing(self._heartbeats), asyncio.TaskGroup() as tasks:
            exchanges = Roster(tasks, self._exchange)
            while True:
                try:
                    await self._look_up()
                    await exchanges.want(self._wanted)
                    self._board.ready()
                except Unavailable as away:
                    log.warning("catalogue.away", kind=self._kind, error=away.message)
                await self._heartbeats.beat()
                await asyncio.sleep(CATALOGUE_S)

    async def _look_up(self) -> None:
        """Read which symbols are wanted, and wake the exchanges whose set is another one now."""
        wanted: dict[str, set[Symbol]] = defaultdict(set)
        for symbol in await self._with.orm.symbols.active():
            if self._wants(symbol):
                # Its decimals are the exchange's to say: learning them is no reason to begin anew.
                wanted[symbol.exchange].add(msgspec.structs.replace(symbol, decimals=8, quantity_decimals=8))
        for exchange in wanted.keys() | self._wanted.keys():
            if wanted.get(exchange) != self._wanted.get(exchange):
                self._news[exchange].set()
        self._wanted = dict(wanted)

    async def _exchange(self, exchange: str) -> None:
        """Stay connected to one exchange; each failure in a row waits longer."""
        backoff = Backoff(first_s=self._reconnect_s, max_s=max(60.0, self._reconnect_s))
        try:
            while True:
                try:
                    async with aclosing(self._with.open_exchange(exchange)) as adapter:
                        markets = await adapter.load_markets()
                        backoff.reset()
                        await self._connected(exchange, markets)
                        await self._symbols(exchange, adapter, markets)
                except (ExchangeUnavailable, ExchangeRefused, ExchangeDenied) as error:
                    log.warning("exchange.away", kind=self._kind, exchange=exchange, error=error.message)
                    for symbol in self._wanted.get(exchange, ()):
                        self._gauge(symbol).failed(error.message)
                await asyncio.sleep(backoff.next_s())
        finally:
            for health in self._board.health():
                if health.feed.startswith(f"{exchange}:"):
                    self._board.drop(health.feed)

    async def _symbols(self, exchange: str, adapter: ExchangeAdapter, markets: dict[str, Market]) -> None:
        """Collect the wanted symbols through one connection; returns when a fresh one is due."""
        worn = asyncio.Event()
        link = Link(adapter, markets, worn, asyncio.Semaphore(HISTORY_MAX))
        end = time.monotonic() + RECYCLE_S

        async def collect(symbol: Symbol) -> None:
            gauge = self._gauge(symbol)
            try:
                await self._collect(symbol, link, gauge)
            except ExchangeDenied as denied:
                gauge.failed(denied.message)  # Trying again cannot help this one; the others go on.
                log.error("feed.denied", feed=gauge.name, error=denied.message)
            finally:
                if symbol.symbol not in {wanted.symbol for wanted in self._wanted.get(exchange, ())}:
                    self._board.drop(gauge.name)

        async with asyncio.TaskGroup() as tasks:
            roster = Roster(tasks, collect)
            while not worn.is_set() and time.monotonic() < end:
                await roster.want(self._wanted.get(exchange, ()))
                await pause(self._news[exchange], CATALOGUE_S)
            log.info("exchange.recycle", kind=self._kind, exchange=exchange, worn=worn.is_set())
            await roster.want(())

    def _gauge(self, symbol: Symbol) -> FeedGauge:
        return self._board.feed(f"{symbol.exchange}:{symbol.symbol}:{self._kind}")
