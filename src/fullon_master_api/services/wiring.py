"""Which class runs which service, and everything that a process needs to run or command them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fullon_master_api.model import ServiceName
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.health import HealthMonitor
from fullon_master_api.services.library import begin_loading
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.resources import Resources
from fullon_master_api.services.runner import ServiceFactory
from fullon_master_api.services.supervisor import Supervisor
from fullon_master_api.services.ticker import TickerService


def service_factories(resources: Resources) -> Mapping[ServiceName, ServiceFactory]:
    """How each service is made for one run."""
    return {
        ServiceName.TICKER: partial(TickerService, resources),
        ServiceName.OHLCV: partial(OhlcvService, resources),
        ServiceName.ACCOUNT: partial(AccountService, resources),
        ServiceName.HEALTH_MONITOR: partial(HealthMonitor, resources, build_manager(resources)),
    }


def build_supervisor(resources: Resources) -> Supervisor:
    """For a process that runs services: `run()` it in a task group, `stop()` it to end.

    It imports ccxt when it begins to run, so that the first start of a service need not wait for that.
    """
    settings = resources.settings
    return Supervisor(
        resources.orm.services,
        resources.bus,
        service_factories(resources),
        ttl_s=settings.lease_ttl_s,
        memory_mb_max=settings.service_memory_mb_max,
        at_start=begin_loading,
    )


def build_manager(resources: Resources) -> ServiceManager:
    """For any process that commands them."""
    settings = resources.settings
    return ServiceManager(resources.orm.services, resources.bus, wait_s=settings.service_wait_s, ttl_s=settings.lease_ttl_s)
