"""What the collecting services work with: the stores, the bus, the settings, and a way to reach an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fullon_master_api.apis.cache import Cache
from fullon_master_api.apis.ohlcv import OhlcvStore
from fullon_master_api.apis.orm import Orm
from fullon_master_api.bus import Bus
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.settings import Settings


class OpenExchange(Protocol):
    """Makes an adapter, not yet connected; `credentials` is (key, secret), None for public data only."""

    def __call__(self, name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter: ...


@dataclass(frozen=True, slots=True)
class Resources:
    """Opened and closed by whoever composes the process; the services only use them."""

    orm: Orm
    ohlcv: OhlcvStore
    cache: Cache
    bus: Bus
    settings: Settings
    open_exchange: OpenExchange


def exchange_opener(settings: Settings) -> OpenExchange:
    """Opens exchanges as the settings say: where each is, how long to wait, sandbox or not."""

    def open_named(name: str, credentials: tuple[str, str] | None = None) -> ExchangeAdapter:
        return open_exchange(
            name,
            base_url=settings.exchange_urls.get(name),
            credentials=credentials,
            timeout_s=settings.ccxt_timeout,
            stall_s=settings.feed_stalled_s,
            sandbox=settings.use_sandbox,
        )

    return open_named
