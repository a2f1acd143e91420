"""The rules of every market that orders are placed on: the exchange's own, or what the catalogue knows while it is away."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import aclosing
from decimal import Decimal
from typing import Final

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, NotFound
from fullon_master_api.exchanges.adapter import Market
from fullon_master_api.logs import get_logger
from fullon_master_api.services.resources import Resources

log = get_logger(__name__)

FRESH_S: Final = 6 * 3600.0
RETRY_S: Final = 60.0
TAKER_FEE: Final = Decimal("0.004")
MAKER_FEE: Final = Decimal("0.0025")
"""Fees assumed while the exchange has not said its own: Kraken's of 2026 for the smallest volume."""


class MarketRules:
    """Rules by exchange and symbol. An exchange is asked once in six hours, with a public connection that is closed again."""

    def __init__(self, resources: Resources) -> None:
        self._with = resources
        self._known: dict[str, dict[str, Market]] = {}
        self._due: dict[str, float] = {}
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, exchange: str, symbol: str) -> Market:
        """Raises: NotFound for a symbol that neither the exchange nor the catalogue has."""
        async with self._asking[exchange]:
            if time.monotonic() >= self._due.get(exchange, 0.0):
                await self._ask(exchange)
        market = self._known.get(exchange, {}).get(symbol)
        return market if market is not None else await self._assumed(exchange, symbol)

    async def _ask(self, exchange: str) -> None:
        try:
            async with aclosing(self._with.open_exchange(exchange)) as adapter:
                self._known[exchange] = await adapter.load_markets()
            self._due[exchange] = time.monotonic() + FRESH_S
        except (ExchangeUnavailable, ExchangeRefused, ExchangeDenied) as error:
            log.warning("markets.away", exchange=exchange, error=error.message)
            self._due[exchange] = time.monotonic() + RETRY_S

    async def _assumed(self, exchange: str, symbol: str) -> Market:
        row = (await self._with.orm.symbols.by_names([(exchange, symbol)]))[0]
        if row is None:
            raise NotFound(f"no symbol {symbol!r} on {exchange!r}")
        return Market(
            symbol=symbol,
            base=row.base,
            quote=row.quote,
            price_step=Decimal(1).scaleb(-row.decimals),
            quantity_step=Decimal(1).scaleb(-row.quantity_decimals),
            quantity_min=Decimal(0),
            cost_min=Decimal(0),
            taker_fee=TAKER_FEE,
            maker_fee=MAKER_FEE,
            active=row.active,
        )
