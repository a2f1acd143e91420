"""Which rows a read wants: a bounded span of one timeframe, for distinct keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from fullon_master_api.apis.ohlcv import reading
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.frames import NS, WIDTH_S, Frame, frame
from fullon_master_api.apis.ohlcv.reading import Row
from fullon_master_api.apis.ohlcv.records import Fill
from fullon_master_api.errors import BadUserInput, TooLarge
from fullon_master_api.model import Timeframe

T = TypeVar("T")
Key = tuple[str, str]
"""(exchange, symbol)"""
LIMIT_MAX: Final = 5_000
ANSWER_ROWS_MAX: Final = 500_000
BASE_ROWS_MAX: Final = 400_000
TIME_MAX_S: Final = 8_000_000_000  # the year 2223, past which nanoseconds would leave 64 bits


class Span:
    """Which candles a read wants, as the arguments of its statement."""

    def __init__(
        self, timeframe: Timeframe, *, start_ns: int | None, end_ns: int | None, limit: int, zone: str, newest: bool | None
    ) -> None:
        self.limit = limit
        self.frame: Frame = frame(timeframe, zone)
        self.newest = start_ns is None if newest is None else newest
        self._ranged = start_ns is not None
        self._bounded = end_ns is not None
        self._low_s = 0 if start_ns is None else self.frame.ceil(-(-start_ns // NS))
        self._high_s = TIME_MAX_S if end_ns is None else self.frame.ceil(-(-end_ns // NS))
        self._base_s = WIDTH_S[self.frame.base]
        wanted = limit * self.frame.ratio
        if wanted > BASE_ROWS_MAX:
            raise TooLarge(
                f"limit was {limit}: at {timeframe.value} in {zone} at most {BASE_ROWS_MAX // self.frame.ratio} candles"
            )
        hour_s = self._low_s - self._low_s % self._base_s  # a candle may begin within an hour that is read as a whole
        self.args: tuple[int, ...] = (self._base_s, hour_s, self._high_s, wanted)
        if self.frame.stored:
            self.statement = sql.READ_NEWEST if self.newest else sql.READ_OLDEST
        elif self.frame.fixed:
            self.statement = sql.READ_AGGREGATED_NEWEST if self.newest else sql.READ_AGGREGATED_OLDEST
            self.args = (*self.args, self.frame.origin_s, self.frame.width_s)
        else:
            self.statement = sql.READ_CLOCKED_NEWEST if self.newest else sql.READ_CLOCKED_OLDEST

    @property
    def edges(self) -> tuple[int, int, int]:
        """What to look up beside the range: (stored timeframe, its start, its end)."""
        return self._base_s, self._low_s, self._high_s

    def shaped(self, rows: list[Row], fill: Fill, neighbours: Row | None) -> list[Row]:
        """The rows of one key as the candles that were asked for."""
        if self.frame.splits_hours:
            rows = [row for row in rows if self._low_s <= row[2] < self._high_s]
        if not self.frame.fixed:
            rows = reading.aggregate(rows, self.frame)
        rows = rows[-self.limit :] if self.newest else rows[: self.limit]
        if fill is Fill.PREVIOUS_CLOSE and neighbours is not None:
            scale, close, follows = neighbours
            gaps = reading.Gaps(
                self.frame,
                self.limit,
                start_s=self._low_s if self._ranged else None,
                before=None if close is None else (scale, close),
                end_s=self._high_s if self._bounded and follows is not None else None,
            )
            rows = gaps.filled_newest(rows) if self.newest else gaps.filled_oldest(rows)
        return rows


def check_range(start_ns: int | None, end_ns: int | None, limit: int, limit_max: int) -> None:
    if not 1 <= limit <= limit_max:
        raise BadUserInput(f"limit was {limit}, must be 1 to {limit_max}", path=["limit"])
    for name, instant in (("start", start_ns), ("end", end_ns)):
        if instant is not None and not 0 <= instant <= TIME_MAX_S * NS:
            raise BadUserInput(f"{name} was {instant}, must be nanoseconds from 1970 to 2223", path=[name])
    if start_ns is not None and end_ns is not None and end_ns < start_ns:
        raise BadUserInput("the end of the range must not lie before its start", path=["end"])


def distinct_keys(keys: Sequence[Key], limit: int) -> list[Key]:
    distinct = [key for key in dict.fromkeys(keys) if "".join(key).isprintable()]  # no series has another name
    if len(distinct) * limit > ANSWER_ROWS_MAX:
        raise TooLarge(f"{len(distinct)} symbols with a limit of {limit} are more than {ANSWER_ROWS_MAX} rows")
    return distinct


def aligned(keys: Sequence[Key], distinct: Sequence[Key], found: dict[int, T], nothing: T) -> list[T]:
    position = {key: number for number, key in enumerate(distinct)}
    return [found.get(position.get(key, -1), nothing) for key in keys]
