"""Latest state: tickers, orders, balances, positions, bots, processes."""

from fullon_master_api.apis.cache.cache import Cache, open_cache
from fullon_master_api.apis.cache.tickers import TickerKey, compute_age_s

__all__ = ["Cache", "TickerKey", "compute_age_s", "open_cache"]
