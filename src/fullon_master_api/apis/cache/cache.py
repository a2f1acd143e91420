"""The cache: all its stores, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fullon_master_api.apis.cache.accounts import Accounts
from fullon_master_api.apis.cache.bots import Bots
from fullon_master_api.apis.cache.candles import Candles
from fullon_master_api.apis.cache.orders import Orders
from fullon_master_api.apis.cache.processes import Processes
from fullon_master_api.apis.cache.shelf import Fences, MemoryLists, MemoryShelf
from fullon_master_api.apis.cache.tickers import Tickers
from fullon_master_api.apis.cache.trades import KEPT_MAX, Trades
from fullon_master_api.bus import Bus
from fullon_master_api.model import Balances, Block, BotStatus, Candle, MarketTrade, Order, Positions, Process, Ticker


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
async def open_cache(bus: Bus, url: str) -> AsyncIterator[Cache]:
    """The cache of this process (`memory://`). Its news goes out over `bus`."""
    fences = Fences()
    yield Cache(
        tickers=Tickers(MemoryShelf(Ticker, bus, fences)),
        accounts=Accounts(MemoryShelf(Balances, bus, fences), MemoryShelf(Positions, bus, fences)),
        orders=Orders(MemoryShelf(Order, bus, fences)),
        bots=Bots(MemoryShelf(BotStatus, bus, fences), MemoryShelf(Block, bus, fences), MemoryShelf(Block, bus, fences)),
        trades=Trades(MemoryLists[MarketTrade](bus, fences, size_max=KEPT_MAX)),
        candles=Candles(MemoryShelf(Candle, bus, fences)),
        processes=Processes(MemoryShelf(Process, bus, fences)),
    )
