"""The cache: all its stores, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from fullon_master_api.apis.cache.accounts import Accounts
from fullon_master_api.apis.cache.bots import Bots
from fullon_master_api.apis.cache.candles import Candles
from fullon_master_api.apis.cache.collected import Collected
from fullon_master_api.apis.cache.orders import Orders
from fullon_master_api.apis.cache.processes import Processes
from fullon_master_api.apis.cache.redis_shelf import RedisLists, RedisShelf
from fullon_master_api.apis.cache.shelf import Fences, Lists, MemoryLists, MemoryShelf, R, Shelf
from fullon_master_api.apis.cache.tickers import Tickers
from fullon_master_api.apis.cache.trades import KEPT_MAX, Trades
from fullon_master_api.apis.cache.user_trades import UserTrades
from fullon_master_api.bus import Bus, RedisOptions
from fullon_master_api.bus.connection import RedisLink, open_redis
from fullon_master_api.model import (
    Balances,
    Block,
    BotStatus,
    Broadcast,
    Candle,
    Freshness,
    MarketTrade,
    Order,
    PlacedOrder,
    Positions,
    Process,
    Ticker,
    Trade,
)
from fullon_master_api.tracing import with_spans

REDIS_OPTIONS: Final = RedisOptions()
READ, WRITE = "cache read", "cache write"
SHELF_SPANS: Final = {"get_many": READ, "get_groups": READ, "put": WRITE, "delete": WRITE, "hold": WRITE, "release": WRITE}
LISTS_SPANS: Final = {"get_last": READ, "append": WRITE}


class MakeShelf(Protocol):
    """Makes the shelf of a kind of record, under a name of its own."""

    def __call__(self, kind: type[R], name: str, *, expires: bool) -> Shelf[R]: ...


@dataclass(frozen=True, slots=True)
class Cache:
    """Latest state of everything that moves; each store says its own promises."""

    tickers: Tickers
    accounts: Accounts
    orders: Orders
    bots: Bots
    trades: Trades
    user_trades: UserTrades
    candles: Candles
    processes: Processes


@asynccontextmanager
async def open_cache(bus: Bus, url: str, *, options: RedisOptions = REDIS_OPTIONS) -> AsyncIterator[Cache]:
    """The cache: of this process (`memory://`) or on Redis, where all processes with the bus's prefix share it.

    Its news goes out over `bus`, which must have the same shape.
    """
    if url.startswith("memory"):
        assert bus.shape == "memory", "the bus must be in this process too"
        yield _in_memory(bus)
        return
    assert bus.shape == "redis", "the bus must be on Redis too"
    link = open_redis(url, options)
    try:
        yield _on_redis(link, bus)
    finally:
        await link.redis.aclose()


def _in_memory(bus: Bus) -> Cache:
    fences = Fences()

    def shelf(kind: type[R], name: str, *, expires: bool) -> Shelf[R]:
        return with_spans(MemoryShelf(kind, bus, fences), SHELF_SPANS)

    return _compose(shelf, MemoryLists[MarketTrade](bus, fences, size_max=KEPT_MAX), bus)


def _on_redis(link: RedisLink, bus: Bus) -> Cache:
    def shelf(kind: type[R], name: str, *, expires: bool) -> Shelf[R]:
        return with_spans(RedisShelf(kind, link, name=name, prefix=bus.prefix, expires=expires), SHELF_SPANS)

    return _compose(shelf, RedisLists(MarketTrade, link, name="trades", prefix=bus.prefix, size_max=KEPT_MAX), bus)


def _compose(shelf: MakeShelf, tape: Lists[MarketTrade], bus: Bus) -> Cache:
    """The stores. What `expires` has an end of its own for each entry; the rest stays until it is replaced."""
    collected = shelf(Freshness, "collected", expires=True)
    return Cache(
        tickers=Tickers(shelf(Ticker, "tickers", expires=False), bus),
        accounts=Accounts(shelf(Balances, "balances", expires=False), shelf(Positions, "positions", expires=False)),
        orders=Orders(shelf(Order, "orders", expires=True), shelf(PlacedOrder, "placed", expires=True), bus),
        bots=Bots(
            shelf(BotStatus, "bots", expires=True), shelf(Block, "blocks", expires=True), shelf(Block, "openings", expires=True)
        ),
        trades=Trades(with_spans(tape, LISTS_SPANS), Collected(collected, "tape")),
        user_trades=UserTrades(shelf(Trade, "user_trades", expires=True), Collected(collected, "fills"), bus),
        candles=Candles(shelf(Candle, "candles", expires=True)),
        processes=Processes(shelf(Process, "processes", expires=True), shelf(Broadcast, "broadcasts", expires=True)),
    )
