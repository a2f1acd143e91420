"""What the exchange said last of each order, by exchange account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.bus import order_states_topic
from fullon_master_api.model import OPEN_STATUSES, Fence, Order

OPEN_TTL_S: Final = 7 * 86_400.0
FINAL_TTL_S: Final = 3_600.0


class Orders:
    """Order states. Each has its own expiry: an hour after it is final it goes, alone; the SQL store keeps it."""

    def __init__(self, shelf: Shelf[Order]) -> None:
        self._shelf = shelf

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

    async def delete(self, ex_id: int, order_id: str) -> bool:
        return await self._shelf.delete([(str(ex_id), order_id)]) == 1


def order_key(order: Order) -> str:
    """The id under which an order is kept: the exchange's, before it has one our own."""
    return order.ex_order_id or str(order.order_id)
