"""The candle store as a model in memory: Decimals and dictionaries, everything computed anew when asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from fullon_master_api.model import Candle, CandleSource, MarketTrade, Timeframe

NS = 10**9
MINUTES = {"m": 1, "h": 60, "d": 1440}


class Judged(NamedTuple):
    """A candle by value, so that two stores can be compared."""

    opened_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int | None
    final: bool

    @classmethod
    def of(cls, candle: Candle) -> Judged:
        prices = (Decimal(candle.open), Decimal(candle.high), Decimal(candle.low), Decimal(candle.close))
        return cls(candle.opened_ns, *prices, Decimal(candle.volume), candle.trades, candle.final)


class Judge:
    """One symbol's trades and candles."""

    def __init__(self) -> None:
        self._trades: dict[str, MarketTrade] = {}
        self._given: dict[Timeframe, dict[int, tuple[CandleSource, Judged]]] = {timeframe: {} for timeframe in Timeframe}
        self._closed_ns = 0

    def append_trades(self, trades: Iterable[MarketTrade]) -> None:
        for trade in trades:
            self._trades.setdefault(trade.trade_id, trade)

    def upsert_candles(self, timeframe: Timeframe, candles: Iterable[Candle], source: CandleSource) -> None:
        """Only final candles: which of two open ones counts depends on their order, and is tested by itself."""
        for candle in candles:
            row = Judged.of(candle)
            before = self._given[timeframe].get(row.opened_ns)
            if before is None or before[0] <= source:
                self._given[timeframe][row.opened_ns] = (source, row)

    def close_candles(self, until_ns: int) -> None:
        self._closed_ns = max(self._closed_ns, until_ns)

    def trades(self) -> list[MarketTrade]:
        return sorted(self._trades.values(), key=in_order)

    def candles(self, timeframe: Timeframe, zone: str = "UTC") -> list[Judged]:
        """All candles of a timeframe, oldest first."""
        if zone == "UTC" and timeframe is Timeframe.MINUTE_1:
            return self._minutes()
        if zone == "UTC" and timeframe is Timeframe.HOUR_1:
            return self._rolled(timeframe, self._minutes(), 60)
        if zone == "UTC" and timeframe is Timeframe.DAY_1:
            return self._rolled(timeframe, self.candles(Timeframe.HOUR_1), 3600)
        base, width_s = self._base(timeframe, zone)
        return self._added_up(self.candles(base), timeframe, zone, width_s)

    def _base(self, timeframe: Timeframe, zone: str) -> tuple[Timeframe, int]:
        if timeframe.value.endswith("m"):
            return Timeframe.MINUTE_1, 60
        if zone == "UTC":
            return (Timeframe.HOUR_1, 3600) if timeframe.value.endswith("h") else (Timeframe.DAY_1, 86400)
        return (Timeframe.MINUTE_1, 60) if zone in ("Asia/Kolkata", "Australia/Lord_Howe") else (Timeframe.HOUR_1, 3600)

    def _minutes(self) -> list[Judged]:
        by_minute: dict[int, list[MarketTrade]] = {}
        for trade in self.trades():
            by_minute.setdefault(trade.event_ns // (60 * NS) * 60 * NS, []).append(trade)
        newest_ns = max(by_minute, default=0)
        rows = {opened_ns: row for opened_ns, (_, row) in self._given[Timeframe.MINUTE_1].items()}
        for opened_ns, trades in by_minute.items():
            if opened_ns in rows:
                continue
            prices = [Decimal(trade.price) for trade in trades]
            rows[opened_ns] = Judged(
                opened_ns,
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                sum((Decimal(trade.quantity) for trade in trades), Decimal(0)),
                len(trades),
                opened_ns < newest_ns or opened_ns + 60 * NS <= self._closed_ns,
            )
        return [rows[opened_ns] for opened_ns in sorted(rows)]

    def _rolled(self, timeframe: Timeframe, base: list[Judged], base_s: int) -> list[Judged]:
        given = {opened_ns: row for opened_ns, (_, row) in self._given[timeframe].items()}
        built = {row.opened_ns: row for row in self._added_up(base, timeframe, "UTC", base_s)}
        rows = built | given
        return [
            row._replace(final=True) if end_of(row.opened_ns, timeframe, "UTC") <= self._closed_ns else row
            for _, row in sorted(rows.items())
        ]

    def _added_up(self, base: Sequence[Judged], timeframe: Timeframe, zone: str, base_s: int) -> list[Judged]:
        buckets: dict[int, list[Judged]] = {}
        for row in base:
            buckets.setdefault(start_of(row.opened_ns, timeframe, zone), []).append(row)
        clock_ns = base[-1].opened_ns + base[-1].final * base_s * NS if base else 0
        return [
            Judged(
                opened_ns,
                rows[0].open,
                max(row.high for row in rows),
                min(row.low for row in rows),
                rows[-1].close,
                sum((row.volume for row in rows), Decimal(0)),
                None if any(row.trades is None for row in rows) else sum(row.trades or 0 for row in rows),
                end_of(opened_ns, timeframe, zone) <= clock_ns,
            )
            for opened_ns, rows in buckets.items()
        ]


def in_order(trade: MarketTrade) -> tuple[int, bool, int, str]:
    """By time; at one instant numbers come first and by size, then other ids by length and letters."""
    number = trade.trade_id.isdecimal() and (trade.trade_id == "0" or trade.trade_id[0] != "0")
    return trade.event_ns, not number, len(trade.trade_id), trade.trade_id


def start_of(instant_ns: int, timeframe: Timeframe, zone: str) -> int:
    """By walking the zone's calendar, one day and one candle at a time."""
    tz = UTC if zone == "UTC" or timeframe.value.endswith("m") else ZoneInfo(zone)
    local = datetime.fromtimestamp(instant_ns // NS, tz)
    midnight = datetime(local.year, local.month, local.day, tzinfo=tz)
    number, unit = int(timeframe.value[:-1]), timeframe.value[-1]
    if unit in "mh":
        start_s, width_s = int(midnight.timestamp()), number * MINUTES[unit] * 60
        while start_s + width_s <= instant_ns // NS:
            start_s += width_s
        return start_s * NS
    if unit == "w":
        midnight -= timedelta(days=midnight.weekday())
    elif unit == "M":
        midnight = midnight.replace(day=1)
    else:
        while (midnight.replace(tzinfo=None) - datetime(1970, 1, 1)).days % number:  # noqa: DTZ001 - a day of the calendar
            midnight -= timedelta(days=1)
    return int(midnight.timestamp()) * NS


def end_of(start_ns: int, timeframe: Timeframe, zone: str) -> int:
    """The first minute that belongs to another candle; found by trying."""
    unit = timeframe.value[-1]
    step_s = 60 if unit == "m" else 1800
    number = int(timeframe.value[:-1])
    near_s = {"m": 60 * number - 60, "h": 1800, "d": 86400 * number - 7200, "w": 7 * 86400 - 7200, "M": 27 * 86400}[unit]
    instant_s = start_ns // NS + near_s
    while start_of(instant_s * NS, timeframe, zone) == start_ns:
        instant_s += step_s
    return instant_s * NS
