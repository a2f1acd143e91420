"""The exchange library, imported beside the event loop and before it is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from fullon_master_api.logs import get_logger

log = get_logger(__name__)


def begin_loading() -> None:
    """Import ccxt in a thread, so that the first service to start finds it there; nobody waits for it."""

    def settle(error: Exception | None) -> None:
        if error is not None:
            log.warning("exchange_library.unloaded", error=str(error))  # The service that needs it will fail with the reason.

    _load(settle)


async def load_exchange_library() -> None:
    """Wait until ccxt is imported: it takes half a second, and seconds on a busy machine, in which no lease is renewed."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if loaded.done():  # Whoever waited has gone.
            return
        if error is None:
            loaded.set_result(None)
        else:
            loaded.set_exception(error)

    def tell(error: Exception | None) -> None:
        with suppress(RuntimeError):  # The loop was closed meanwhile: nobody waits.
            loop.call_soon_threadsafe(settle, error)

    _load(tell)
    await loaded


def _load(told: Callable[[Exception | None], None]) -> None:
    """Import in a thread and tell how it went. The thread is a daemon: a process that is told to stop does not wait for it."""

    def load() -> None:
        failed: Exception | None = None
        try:
            import_module("fullon_master_api.exchanges.opening")
        except ImportError as error:
            failed = error
        told(failed)

    threading.Thread(target=load, name="exchange-library", daemon=True).start()
