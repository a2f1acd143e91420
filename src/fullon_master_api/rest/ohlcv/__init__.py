"""The original's OHLCV routes: trades, candles, time series and the catalogue of what has them."""

from fullon_master_api.rest.ohlcv.gateway import FullonOhlcvGateway

__all__ = ["FullonOhlcvGateway"]
