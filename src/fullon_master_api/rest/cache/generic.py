"""The generic socket: the original's 24 operations, answered by what the typed sockets have."""

from __future__ import annotations

from fullon_master_api.model import Principal
from fullon_master_api.rest.cache import accounts, bots, candles, orders, processes, tickers, trades
from fullon_master_api.rest.cache.desk import Action, Desk, Endpoint, Json, Params, Stream


async def ping(_desk: Desk, _principal: Principal, _params: Params) -> Json:
    return {"status": "ok"}


async def health_check(desk: Desk, _principal: Principal, _params: Params) -> Json:
    """Whether the cache answers. Raises: CacheUnavailable"""
    await desk.cache.tickers.get_many([("", "")])
    bus = desk.bus.health()
    return {"websocket": {"status": "healthy"}, "cache": {"status": "healthy", "shape": bus.shape, "connected": bus.connected}}


TYPED = (tickers, orders, trades, accounts, bots, processes)

ENDPOINT = Endpoint(
    actions={
        "ping": Action(Params, ping),
        "health_check": Action(Params, health_check),
        **{name: action for module in TYPED for name, action in module.ENDPOINT.actions.items() if module is not accounts},
        "get_user_positions": Action(accounts.SomeAccounts, accounts.get_positions),
        "get_user_balances": Action(accounts.OneBalance, accounts.get_balance),
        "get_account_status": Action(accounts.SomeAccounts, accounts.get_account_status),
        "get_trade_status": Action(trades.StatusOf, trades.get_trade_status),
        "get_latest_ohlcv_bars": candles.ENDPOINT.actions["get_latest_ohlcv_bars"],
    },
    streams={
        "stream_tickers": tickers.ENDPOINT.streams["stream_tickers"],
        "stream_user_positions": accounts.ENDPOINT.streams["stream_positions"],
        "stream_user_balances": Stream(accounts.SomeAccounts, accounts.stream_balances, "balance_update"),
        "stream_order_queue": orders.ENDPOINT.streams["stream_order_queue"],
        "stream_bot_status": bots.ENDPOINT.streams["stream_bot_status"],
        "stream_trade_updates": trades.ENDPOINT.streams["stream_trade_updates"],
        "stream_ohlcv_updates": candles.ENDPOINT.streams["stream_ohlcv"],
        "stream_process_health": processes.ENDPOINT.streams["stream_process_health"],
    },
)
