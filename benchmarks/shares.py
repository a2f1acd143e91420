"""Where the time of a service goes: the processor time of this process, by the part of the code that spent it."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from fullon_master_api.apis.ohlcv.sqlite import SqliteDriver

PLACES: Final = (
    ("ccxt", "/ccxt/"),
    ("adapter", "/exchanges/"),
    ("services", "/fullon_master_api/services/"),
    ("cache", "/apis/cache/"),
    ("bus", "/fullon_master_api/bus/"),
    ("bus", "/broadcaster/"),
    ("store", "/apis/ohlcv/"),
    ("store", "/apis/orm/"),
    ("store", "/sqlalchemy/"),
    ("socket", "/aiohttp/"),
    ("asyncio", "/asyncio/"),
)
WAITS: Final = ("poll", "select", "readline")
OWNERS_MAX: Final = 3  # so far up the callers it is looked for the part that called a builtin or the standard library


class StoreThreads:
    """Seconds of processor time that the candle store's own threads have spent since this was made."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        for name in ("_write", "_read"):
            setattr(SqliteDriver, name, self._timed(getattr(SqliteDriver, name)))

    def _timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*arguments)
            finally:
                self.spent_s += time.thread_time() - began

        return timed


def loop_shares(profile: cProfile.Profile) -> dict[str, float]:
    """Own time on the event loop's thread by part, as fractions of one; what a builtin took is its caller's."""
    stats: Mapping[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent: defaultdict[str, float] = defaultdict(float)
    for function, (_calls, _primitive, own_s, _total_s, callers) in stats.items():
        if any(wait in function[2] for wait in WAITS):
            continue
        place = _place(function)
        if place is not None or not callers:
            spent[place or "the rest"] += own_s
            continue
        for caller, (_, _, caller_own_s, _) in callers.items():
            spent[_owner(caller, stats, OWNERS_MAX)] += caller_own_s
    whole = sum(spent.values()) or 1.0
    return {place: own_s / whole for place, own_s in spent.items()}


def _place(function: tuple[str, int, str]) -> str | None:
    return next((label for label, part in PLACES if part in function[0]), None)


def _owner(function: tuple[str, int, str], stats: Mapping[Any, Any], more: int) -> str:
    """The part this function belongs to, or the one that calls it most."""
    place = _place(function)
    if place is not None:
        return place
    callers = stats[function][4] if function in stats else {}
    if not callers or not more:
        return "the rest"
    return _owner(max(callers, key=lambda caller: callers[caller][3]), stats, more - 1)


def describe(loop: dict[str, float], *, loop_s: float, store_s: float) -> str:
    """Percent of all processor time by part: the loop's shares, and what the store's threads took besides."""
    whole = loop_s + store_s
    parts = {place: share * loop_s / whole for place, share in loop.items()}
    parts["store"] = parts.get("store", 0.0) + store_s / whole
    return ", ".join(
        f"{place} {100 * share:.0f} %" for place, share in sorted(parts.items(), key=lambda part: -part[1]) if share >= 0.005
    )
