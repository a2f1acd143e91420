"""Market trades and candles: kept in SQL of their own."""

from fullon_master_api.apis.ohlcv.records import Appended, Fill, Interval, Origin, Refused, Upserted
from fullon_master_api.apis.ohlcv.store import OhlcvStore, open_ohlcv

__all__ = ["Appended", "Fill", "Interval", "OhlcvStore", "Origin", "Refused", "Upserted", "open_ohlcv"]
