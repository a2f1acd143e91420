"""Fills of users' orders that wait to be stored, by user and exchange."""

from __future__ import annotations

from typing import Final

from fullon_master_api.apis.cache.collected import Collected
from fullon_master_api.apis.cache.shelf import Key, Shelf
from fullon_master_api.apis.cache.waiting import wait_for
from fullon_master_api.bus import Bus, user_trades_topic
from fullon_master_api.model import Fence, Trade

TTL_S: Final = 86_400.0


class UserTrades:
    """Each fill waits for a day until somebody says that it is stored: a reader that dies in between takes nothing with it.

    `collected` tells by `{ex_id}-{exchange}` when the fills of an account were last read.
    """

    def __init__(self, shelf: Shelf[Trade], collected: Collected, bus: Bus) -> None:
        self._shelf, self.collected, self._bus = shelf, collected, bus

    async def push(self, uid: int, exchange: str, trade: Trade, fence: Fence | None = None) -> bool:
        """Let a fill wait; False if it waits already, as after a reconnect that repeats it.

        Raises: StaleEpoch, CacheUnavailable
        """
        key, topic = _key(uid, exchange, trade), user_trades_topic(uid, exchange)
        return await self._shelf.put(key, trade, version=0, ttl_s=TTL_S, topic=topic, fence=fence) is not None

    async def waiting(self, uid: int, exchange: str) -> list[Trade]:
        """The fills that wait, oldest first; reading takes none away. Raises: CacheUnavailable"""
        return (await self._shelf.get_groups([_group(uid, exchange)]))[0]

    async def wait_first(self, uid: int, exchange: str, *, timeout_s: float) -> Trade | None:
        """The oldest fill that waits, as soon as there is one; None after `timeout_s`. Raises: CacheUnavailable"""

        async def read() -> Trade | None:
            return next(iter(await self.waiting(uid, exchange)), None)

        return await wait_for(self._bus, user_trades_topic(uid, exchange), read, timeout_s)

    async def done(self, uid: int, exchange: str, trade: Trade) -> bool:
        """Say that a fill is stored. Of several who say so one hears True. Raises: CacheUnavailable"""
        return await self._shelf.delete([_key(uid, exchange, trade)]) == 1


def _group(uid: int, exchange: str) -> str:
    return f"{uid}:{exchange}"


def _key(uid: int, exchange: str, trade: Trade) -> Key:
    return _group(uid, exchange), f"{int(trade.time.timestamp() * 1_000_000):020d}:{trade.ex_trade_id}"
