"""All OHLCV routers behind the one callable that the original offered."""

from __future__ import annotations

from fastapi import APIRouter

from fullon_master_api.rest.ohlcv import candles, catalogue, plan, socket, timeseries, trades


class FullonOhlcvGateway:
    """`get_routers()` is what the gateway mounts under `/api/v1/ohlcv`."""

    def get_routers(self) -> list[APIRouter]:
        return [trades.router, candles.router, timeseries.router, catalogue.router, plan.router, socket.router]
