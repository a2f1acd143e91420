"""How long market data is kept: trades and 1m candles have an end, hours and days stay."""

from __future__ import annotations

from functools import partial

from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.frames import DAY, MINUTE, NS
from fullon_master_api.apis.ohlcv.steps import DropPartitions, Run, Transaction
from fullon_master_api.apis.ohlcv.store import OhlcvStore
from fullon_master_api.apis.ohlcv.writing import TRADES_KIND, take_fence
from fullon_master_api.model import Fence, Record


class Retention(Record, frozen=True, kw_only=True):
    """Days to keep; None keeps all. Candles of 1h and 1d are never pruned, so a long chart stays."""

    trades_days: int | None = None
    minutes_days: int | None = None


async def prune(store: OhlcvStore, retention: Retention, *, now_ns: int, fence: Fence | None = None) -> None:
    """Delete what is older, by whole UTC days, one series at a time so that writers wait for no more than one.

    A pruned minute is not rebuilt from late trades, nor its hour from what is left. Raises: StaleEpoch, StoreUnavailable.
    """
    for exchange, symbol in await store.series():
        await store.driver.write(partial(_prune, exchange, symbol, retention, now_ns // NS, fence))
    if retention.trades_days is not None:
        await store.driver.write(partial(_drop, _before(now_ns // NS, retention.trades_days) * NS, fence))


def _before(now_s: int, days: int) -> int:
    return max(0, now_s - now_s % DAY - days * DAY)


def _prune(exchange: str, symbol: str, retention: Retention, now_s: int, fence: Fence | None) -> Transaction[None]:
    yield from take_fence(fence)
    series_id = (yield Run(sql.CHANGE_SERIES, (exchange, symbol)))[0][0]
    if retention.trades_days is not None:
        before_s = _before(now_s, retention.trades_days)
        yield Run(sql.KEEP_TRADES_FROM, (series_id, before_s))
        yield Run(sql.PRUNE_TRADES, (series_id, before_s * NS))
        yield from _cut(series_id, TRADES_KIND, before_s)
    if retention.minutes_days is not None:
        before_s = _before(now_s, retention.minutes_days)
        yield Run(sql.KEEP_CANDLES_FROM, (series_id, before_s))
        yield Run(sql.PRUNE_CANDLES, (series_id, before_s))
        yield from _cut(series_id, MINUTE, before_s)


def _cut(series_id: int, kind: int, before_s: int) -> Transaction[None]:
    for statement in sql.CUT_COVERAGE:
        yield Run(statement, (series_id, kind, before_s * NS))


def _drop(before_ns: int, fence: Fence | None) -> Transaction[None]:
    yield from take_fence(fence)
    yield DropPartitions(before_ns)
