"""The deep look of an admin: how quick each store is, how full its pools and queues, how old the market data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fullon_master_api.apis.cache import compute_age_s
from fullon_master_api.errors import GatewayError
from fullon_master_api.model import Symbol, Timeframe
from fullon_master_api.services.health_checks import PROBE_S
from fullon_master_api.services.manager import ServiceManager
from fullon_master_api.services.resources import Resources

STALE_S: Final = 60.0
LISTED_MAX: Final = 50


async def look_deep(resources: Resources, manager: ServiceManager, live: Callable[[], dict[str, int]]) -> dict[str, Any]:
    """Everything at once; a part whose store is away is None and its store says so.

    `live` tells how many events wait for the readers of this process.
    """
    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "orm": resources.orm.ping,
        "ohlcv": lambda: resources.ohlcv.last_candles([("", "")], Timeframe.MINUTE_1),
        "cache": lambda: resources.cache.tickers.get_many([("", "")]),
    }
    timed = await asyncio.gather(*(_timed(probe) for probe in probes.values()))
    symbols = await _known(resources.orm.symbols.active)
    services = await _known(manager.get_all)
    return {
        "stores": dict(zip(probes, timed, strict=True)),
        "pools": [
            {"size": engine.pool.size(), "in_use": engine.pool.checkedout()}  # type: ignore[attr-defined]
            for engine in resources.orm.database.engines
        ],
        "bus": msgspec.to_builtins(resources.bus.health()),
        "queues": {
            "bus": msgspec.to_builtins(resources.bus.queues()),
            "commands": await _known(lambda: waiting_commands(resources)),
            "live": live(),
        },
        "tickers": None if symbols is None else await _known(lambda: ticker_ages(resources, symbols)),
        "candles": None if symbols is None else await _known(lambda: candle_lags(resources, symbols)),
        "services": None if services is None else [msgspec.to_builtins(row) for row in services],
    }


async def waiting_commands(resources: Resources) -> dict[str, Any]:
    """Orders that the account service has not carried out yet, and for how many seconds the oldest one waits."""
    count, since = await resources.orm.commands.waiting()
    return {"waiting": count, "oldest_s": None if since is None else (datetime.now(UTC) - since).total_seconds()}


async def ticker_ages(resources: Resources, symbols: list[Symbol]) -> dict[str, Any]:
    """Age of the newest ticker of each active symbol, in seconds; `stale` lists the oldest ones, None for never seen."""
    keys = [(symbol.exchange, symbol.symbol) for symbol in symbols]
    found = await resources.cache.tickers.get_many(keys)
    now_ns = time.time_ns()
    ages = [None if ticker is None else compute_age_s(ticker, now_ns) for ticker in found]
    return _summary(keys, ages)


async def candle_lags(resources: Resources, symbols: list[Symbol]) -> dict[str, Any]:
    """Seconds between now and the open of the newest 1m candle of each symbol that is collected."""
    keys = [(symbol.exchange, symbol.symbol) for symbol in symbols if not symbol.only_ticker]
    found = await resources.ohlcv.last_candles(keys, Timeframe.MINUTE_1)
    now_ns = time.time_ns()
    return _summary(keys, [None if candle is None else (now_ns - candle.opened_ns) / 1e9 for candle in found])


def _summary(keys: list[tuple[str, str]], ages_s: list[float | None]) -> dict[str, Any]:
    known = [age_s for age_s in ages_s if age_s is not None]
    late = [(key, age_s) for key, age_s in zip(keys, ages_s, strict=True) if age_s is None or age_s > 2 * STALE_S]
    late.sort(key=lambda pair: -(pair[1] if pair[1] is not None else float("inf")))
    return {
        "count": len(keys),
        "newest_s": min(known, default=None),
        "oldest_s": max(known, default=None),
        "stale": [{"exchange": key[0], "symbol": key[1], "age_s": age_s} for key, age_s in late[:LISTED_MAX]],
    }


async def _timed(probe: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    began = time.perf_counter()
    answered = await _known(probe, nothing=True) is not None
    return {"ok": answered, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


async def _known(read: Callable[[], Awaitable[Any]], *, nothing: bool = False) -> Any:
    """What a store answers within two seconds, None when it does not; with `nothing`, True for an answer of None."""
    try:
        async with asyncio.timeout(PROBE_S):
            answer = await read()
    except (GatewayError, TimeoutError):
        return None
    return True if nothing and answer is None else answer
