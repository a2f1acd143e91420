"""What the exchange said last of each order, by exchange account, with the ids it gave to orders of ours."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Final

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.apis.cache.waiting import wait_for
from fullon_master_api.bus import Bus, order_states_topic, placed_order_topic
from fullon_master_api.model import OPEN_STATUSES, Fence, Order, PlacedOrder

OPEN_TTL_S: Final = 7 * 86_400.0
FINAL_TTL_S: Final = 3_600.0
PLACED_TTL_S: Final = 3_600.0
GROUP: Final = "all"


class Orders:
    """Order states. Each has its own expiry: an hour after it is final it goes, alone; the SQL store keeps it."""

    def __init__(self, shelf: Shelf[Order], placed: Shelf[PlacedOrder], bus: Bus) -> None:
        self._shelf, self._placed, self._bus = shelf, placed, bus

    async def set(self, order: Order, fence: Fence | None = None) -> bool:
        """Keep an order's state; False if what is kept is as new. Raises: StaleEpoch, CacheUnavailable"""
        kept = await self._shelf.put(
            (str(order.ex_id), order_key(order)),
            order,
            version=int(order.updated_at.timestamp() * 1_000_000),
            ttl_s=OPEN_TTL_S if order.status in OPEN_STATUSES else FINAL_TTL_S,
            topic=order_states_topic(order.ex_id),
            fence=fence,
        )
        return kept is not None

    async def get_many(self, keys: Sequence[tuple[int, str]]) -> list[Order | None]:
        """The order of each (ex_id, order id), in the order asked. The id is the exchange's, else our own."""
        return await self._shelf.get_many([(str(ex_id), order_id) for ex_id, order_id in keys])

    async def all(self, ex_ids: Sequence[int]) -> list[list[Order]]:
        """Every kept order of each account."""
        return await self._shelf.get_groups([str(ex_id) for ex_id in ex_ids])

    async def get_open_counts(self, ex_ids: Sequence[int]) -> list[int]:
        """How many orders of each account wait at the exchange: the queue length."""
        return [sum(order.status in OPEN_STATUSES for order in orders) for orders in await self.all(ex_ids)]

    async def announce(self, local_id: str, ex_order_id: str) -> None:
        """Say which id the exchange gave to an order of ours; known for an hour to whoever asks. Raises: CacheUnavailable"""
        placed = PlacedOrder(local_id=local_id, ex_order_id=ex_order_id, placed_ns=time_ns())
        key, topic = (GROUP, local_id), placed_order_topic(local_id)
        await self._placed.put(key, placed, version=placed.placed_ns, ttl_s=PLACED_TTL_S, topic=topic)

    async def wait_announced(self, local_id: str, *, timeout_s: float = 1.0) -> str | None:
        """The exchange's id of an order of ours, as soon as it is announced; None after `timeout_s`. Raises: CacheUnavailable"""

        async def read() -> str | None:
            placed = (await self._placed.get_many([(GROUP, local_id)]))[0]
            return None if placed is None else placed.ex_order_id

        return await wait_for(self._bus, placed_order_topic(local_id), read, timeout_s)

    async def delete(self, ex_id: int, order_id: str) -> bool:
        return await self._shelf.delete([(str(ex_id), order_id)]) == 1


def order_key(order: Order) -> str:
    """The id under which an order is kept: the exchange's, before it has one our own."""
    return order.ex_order_id or str(order.order_id)
