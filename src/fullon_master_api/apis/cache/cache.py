"""The cache: all its stores, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fullon_master_api.apis.cache.accounts import Accounts
from fullon_master_api.apis.cache.bots import Bots
from fullon_master_api.apis.cache.candles import Candles
from fullon_master_api.apis.cache.orders import Orders
from fullon_master_api.apis.cache.processes import Processes
from fullon_master_api.apis.cache.redis_shelf import RedisLists, RedisShelf
from fullon_master_api.apis.cache.shelf import Fences, MemoryLists, MemoryShelf, R
from fullon_master_api.apis.cache.tickers import Tickers
from fullon_master_api.apis.cache.trades import KEPT_MAX, Trades
from fullon_master_api.bus import Bus, RedisOptions
from fullon_master_api.bus.connection import RedisLink, open_redis
from fullon_master_api.model import Balances, Block, BotStatus, Candle, MarketTrade, Order, Positions, Process, Ticker

REDIS_OPTIONS: Final = RedisOptions()


@dataclass(frozen=True, slots=True)
class Cache:
    """Latest state of everything that moves; each store says its own promises."""

    tickers: Tickers
    accounts: Accounts
    orders: Orders
    bots: Bots
    trades: Trades
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
        yield _on_redis(link, bus.prefix)
    finally:
        await link.redis.aclose()


def _in_memory(bus: Bus) -> Cache:
    fences = Fences()
    return Cache(
        tickers=Tickers(MemoryShelf(Ticker, bus, fences)),
        accounts=Accounts(MemoryShelf(Balances, bus, fences), MemoryShelf(Positions, bus, fences)),
        orders=Orders(MemoryShelf(Order, bus, fences)),
        bots=Bots(MemoryShelf(BotStatus, bus, fences), MemoryShelf(Block, bus, fences), MemoryShelf(Block, bus, fences)),
        trades=Trades(MemoryLists[MarketTrade](bus, fences, size_max=KEPT_MAX)),
        candles=Candles(MemoryShelf(Candle, bus, fences)),
        processes=Processes(MemoryShelf(Process, bus, fences)),
    )


def _on_redis(link: RedisLink, prefix: str) -> Cache:
    def shelf(kind: type[R], name: str, *, expires: bool) -> RedisShelf[R]:
        return RedisShelf(kind, link, name=name, prefix=prefix, expires=expires)

    return Cache(
        tickers=Tickers(shelf(Ticker, "tickers", expires=False)),
        accounts=Accounts(shelf(Balances, "balances", expires=False), shelf(Positions, "positions", expires=False)),
        orders=Orders(shelf(Order, "orders", expires=True)),
        bots=Bots(
            shelf(BotStatus, "bots", expires=True), shelf(Block, "blocks", expires=True), shelf(Block, "openings", expires=True)
        ),
        trades=Trades(RedisLists(MarketTrade, link, name="trades", prefix=prefix, size_max=KEPT_MAX)),
        candles=Candles(shelf(Candle, "candles", expires=True)),
        processes=Processes(shelf(Process, "processes", expires=True)),
    )
