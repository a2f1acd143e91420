"""What a service writes of an order: its change in the store, its state in the cache, a refusal with its reason."""

from __future__ import annotations

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.errors import CacheUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Fence, Order, OrderStatus
from fullon_master_api.services.resources import Resources

log = get_logger(__name__)


class OrderKeeper:
    """Keeps orders under the lease: the store first, whose event tells the owner, then the cache."""

    def __init__(self, resources: Resources, fence: Fence) -> None:
        self._with, self.fence = resources, fence

    async def change(self, order: Order, change: OrderChange) -> Order:
        """Raises: StaleEpoch, StoreUnavailable."""
        changed = await self._with.orm.orders.change(order.order_id, change, fence=self.fence)
        try:
            await self._with.cache.orders.set(changed, fence=self.fence)
        except CacheUnavailable as away:
            log.warning("order.uncached", order_id=order.order_id, error=away.message)
        return changed

    async def refuse(self, order: Order, reason: str) -> Order:
        """The order is rejected, before or by the exchange."""
        log.info("order.rejected", order_id=order.order_id, reason=reason)
        return await self.change(order, OrderChange(status=OrderStatus.REJECTED, reason=reason))
