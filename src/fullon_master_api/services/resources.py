"""What the collecting services work with: the stores, the bus, the settings, and a way to reach an exchange."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
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


async def load_exchange_library() -> None:
    """Import ccxt beside the event loop: it takes half a second, and seconds on a busy machine, in which no lease is renewed.

    The thread is a daemon: a process that is told to stop meanwhile does not wait for the import to end.
    """
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if loaded.done():  # Whoever waited has gone.
            return
        if error is None:
            loaded.set_result(None)
        else:
            loaded.set_exception(error)

    def load() -> None:
        failed: Exception | None = None
        try:
            import_module("fullon_master_api.exchanges.opening")
        except ImportError as error:
            failed = error
        with suppress(RuntimeError):  # The loop was closed meanwhile: nobody waits.
            loop.call_soon_threadsafe(settle, failed)

    threading.Thread(target=load, name="exchange-library", daemon=True).start()
    await loaded


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
