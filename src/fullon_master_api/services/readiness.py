"""Whether this process can do its work: its stores answer, and the services that should run do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fullon_master_api.errors import GatewayError
from fullon_master_api.model import DesiredState, Record, ServiceState, Timeframe
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources

CHECK_S: Final = 2.0
UP: Final = (ServiceState.RUNNING, ServiceState.DEGRADED)


class Readiness(Record, frozen=True, kw_only=True):
    """`stores`: whether each store answers. `waiting`: services that should run and are still on their way."""

    stores: dict[str, bool]
    waiting: list[str]

    @property
    def ready(self) -> bool:
        """Whether requests can be answered: a service that failed is shown as failed and keeps nobody from asking."""
        return all(self.stores.values())

    @property
    def settled(self) -> bool:
        """Whether it is ready and no service is on its way any more."""
        return self.ready and not self.waiting


async def check_readiness(resources: Resources, manager: ServiceManager) -> Readiness:
    """Ask every store at once, each for at most two seconds."""
    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "orm": resources.orm.ping,
        "ohlcv": lambda: resources.ohlcv.last_candles([("", "")], Timeframe.MINUTE_1),
        "cache": lambda: resources.cache.tickers.get_many([("", "")]),
    }
    answers = await asyncio.gather(*(_answers(probe) for probe in probes.values()))
    stores = dict(zip(probes, answers, strict=True))
    waiting: list[str] = []
    if stores["orm"]:
        for service in await manager.get_all():
            failed = service.state in (ServiceState.FAILED, ServiceState.CRASH_LOOP) and service.owner is not None
            if service.desired is DesiredState.RUNNING and service.state not in UP and not failed:
                waiting.append(service.name.value)
    return Readiness(stores=stores, waiting=waiting)


async def _answers(probe: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_S):
            await probe()
    except (GatewayError, TimeoutError):
        return False
    return True
