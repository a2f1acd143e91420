"""What the candle store takes and answers, beside the records of `model`."""

from __future__ import annotations

from enum import StrEnum

from fullon_master_api.model import Candle, CandleSource, MarketTrade, Record


class Fill(StrEnum):
    """What a read does with spans in which nothing was traded."""

    NONE = "NONE"
    PREVIOUS_CLOSE = "PREVIOUS_CLOSE"


class Refused(Record, frozen=True, kw_only=True):
    """A row that was not stored: its position in the call's list and why."""

    position: int
    reason: str


class Appended(Record, frozen=True, kw_only=True):
    """What a call of `append_trades` did: `trades` are the new ones, `candles` the 1m candles they changed, oldest first."""

    stored: int
    repeated: int
    refused: list[Refused]
    trades: list[MarketTrade]
    candles: list[Candle]


class Upserted(Record, frozen=True, kw_only=True):
    """What a call of `upsert_candles` did: `candles` are those that are new or changed, oldest first."""

    stored: int
    repeated: int
    refused: list[Refused]
    candles: list[Candle]


class Interval(Record, frozen=True, kw_only=True):
    """A span [start, end) about which everything is stored."""

    start_ns: int
    end_ns: int


class Origin(Record, frozen=True, kw_only=True):
    """Where one stored candle came from, and how often it was revised after it was final."""

    opened_ns: int
    source: CandleSource
    final: bool
    revision: int


class Series(Record, frozen=True, kw_only=True):
    """A symbol the store knows: how its numbers are kept (`…_exponent`) and shown (`…_decimals`)."""

    series_id: int
    price_exponent: int
    quantity_exponent: int
    price_decimals: int
    quantity_decimals: int
    candles_kept_s: int  # candles of 1m before this instant were pruned
    trades_kept_s: int  # and trades before this one
