"""Where the candles of each timeframe begin and end, in UTC or in a zone's own days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Timeframe

NS: Final = 1_000_000_000
MINUTE, HOUR, DAY = 60, 3600, 86400
DAY_NS: Final = DAY * NS
WIDTH_S: Final = {
    Timeframe.MINUTE_1: MINUTE,
    Timeframe.MINUTE_3: 3 * MINUTE,
    Timeframe.MINUTE_5: 5 * MINUTE,
    Timeframe.MINUTE_15: 15 * MINUTE,
    Timeframe.MINUTE_30: 30 * MINUTE,
    Timeframe.HOUR_1: HOUR,
    Timeframe.HOUR_2: 2 * HOUR,
    Timeframe.HOUR_4: 4 * HOUR,
    Timeframe.HOUR_6: 6 * HOUR,
    Timeframe.HOUR_8: 8 * HOUR,
    Timeframe.HOUR_12: 12 * HOUR,
    Timeframe.DAY_1: DAY,
    Timeframe.DAY_3: 3 * DAY,
    Timeframe.WEEK_1: 7 * DAY,
    Timeframe.MONTH_1: 31 * DAY,
}
"""Length in seconds; of a month the longest."""
STORED: Final = (Timeframe.MINUTE_1, Timeframe.HOUR_1, Timeframe.DAY_1)
"""The timeframes that have rows; all others are aggregated from one of these when read."""
MONDAY_S: Final = -3 * DAY  # 1969-12-29, so that weeks begin on Monday (ISO 8601)
EPOCH: Final = date(1970, 1, 1)


class Frame:
    """A timeframe in a zone: which stored candles it is made of, and its boundaries in UTC seconds.

    Minutes are cut in UTC. Hours count from the zone's midnight, so a day with a clock change has a shorter or longer one;
    weeks begin on Monday, three-day candles count from 1970-01-01. Where a zone is not whole hours from UTC, `splits_hours`
    says that the hours in which a candle begins are read minute by minute.
    """

    def __init__(self, timeframe: Timeframe, zone: str = "UTC") -> None:
        self.timeframe = timeframe
        self.width_s = WIDTH_S[timeframe]
        self._zone = None if self.width_s < HOUR or zone == "UTC" else _zone(zone)
        self.fixed = self._zone is None and timeframe is not Timeframe.MONTH_1
        self.origin_s = MONDAY_S if timeframe is Timeframe.WEEK_1 else 0
        self.base = self._base()
        self.splits_hours = self._zone is not None and not _whole_hours(self._zone.key)
        self.ratio = self.width_s // WIDTH_S[self.base] + (0 if self._zone is None else 1)  # a day may have 25 hours

    def _base(self) -> Timeframe:
        if self.width_s < HOUR:
            return Timeframe.MINUTE_1
        return Timeframe.HOUR_1 if self.width_s < DAY or self._zone is not None else Timeframe.DAY_1

    @property
    def stored(self) -> bool:
        """Whether its candles are rows, so that a read aggregates nothing."""
        return self.fixed and self.timeframe is self.base

    def start(self, instant_s: int) -> int:
        """Beginning of the candle in which this instant lies."""
        if self.fixed:
            return instant_s - (instant_s - self.origin_s) % self.width_s
        local = datetime.fromtimestamp(instant_s, self._zone or UTC)
        if self.width_s < DAY:
            midnight = self._midnight(local.date())
            return midnight + (instant_s - midnight) // self.width_s * self.width_s
        return self._midnight(self._first_day(local.date()))

    def end(self, start_s: int) -> int:
        """End of the candle that begins here, which is where the next one begins."""
        if self.fixed:
            return start_s + self.width_s
        day = datetime.fromtimestamp(start_s, self._zone or UTC).date()
        if self.width_s < DAY:
            return min(start_s + self.width_s, self._midnight(day + timedelta(days=1)))
        if self.timeframe is Timeframe.MONTH_1:
            return self._midnight((day.replace(day=1) + timedelta(days=32)).replace(day=1))
        return self._midnight(day + timedelta(days=self.width_s // DAY))

    def ceil(self, instant_s: int) -> int:
        """Beginning of the first candle that begins at this instant or later."""
        start = self.start(instant_s)
        return start if start == instant_s else self.end(start)

    def _first_day(self, day: date) -> date:
        if self.timeframe is Timeframe.MONTH_1:
            return day.replace(day=1)
        if self.timeframe is Timeframe.WEEK_1:
            return day - timedelta(days=day.weekday())
        if self.timeframe is Timeframe.DAY_3:
            return day - timedelta(days=(day - EPOCH).days % 3)
        return day

    def _midnight(self, day: date) -> int:
        """First instant of the zone's day: where a clock change skips midnight, the first hour that exists."""
        local = datetime(day.year, day.month, day.day, tzinfo=self._zone or UTC)
        return int(local.timestamp())


@lru_cache(maxsize=1024)
def frame(timeframe: Timeframe, zone: str = "UTC") -> Frame:
    """Raises: BadUserInput for a zone that the IANA database does not have."""
    return Frame(timeframe, zone)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadUserInput(
            f"zone was {name!r}, must be a name of the IANA database as 'America/New_York'", path=["zone"]
        ) from None


@lru_cache(maxsize=256)
def _whole_hours(name: str) -> bool:
    """Whether the zone's days have begun on a full UTC hour ever since 1970, so that hours can be added up to days."""
    zone = _zone(name)
    months = (datetime(year, month, 1, tzinfo=zone) for year in range(1970, 2051) for month in range(1, 13))
    return all((month.utcoffset() or timedelta()) % timedelta(hours=1) == timedelta() for month in months)


def parse_timeframe(text: str) -> Timeframe:
    """`1m` … `1M` as the enum.

    Raises: BadUserInput with the original's text.
    """
    try:
        return Timeframe(text)
    except ValueError:
        known = ", ".join(timeframe.value for timeframe in Timeframe)
        raise BadUserInput(f"Invalid timeframe {text!r}, must be one of {known}") from None
