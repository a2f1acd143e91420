"""The past of one symbol's trades: read page by page, kept where the store has holes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import MarketTrade
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.catalogue import Link
from fullon_master_api.services.spans import DAY_NS, Span, chunks, holes, to_next_night_s
from fullon_master_api.services.tape_writer import TapeWriter

log = get_logger(__name__)


class History:
    """Pages through the exchange's trades; fills the last `backtest` days, and reads each day again the night after."""

    def __init__(self, writer: TapeWriter, link: Link, *, limit: int) -> None:
        self._writer, self._link, self._limit = writer, link, limit

    async def run(self) -> None:
        """Fill what is missing before now, newest first; then, each night, what the day before still lacks."""
        now_ns = time.time_ns()
        start_ns = now_ns - self._writer.symbol.backtest * DAY_NS
        missing = holes(await self._writer.covered(), start_ns, now_ns)
        for span in chunks(missing):
            await self._fill(span)
        log.info("history.filled", feed=self._writer.gauge.name, holes=len(missing))
        while True:
            await asyncio.sleep(to_next_night_s(time.time_ns()))
            midnight_ns = time.time_ns() // DAY_NS * DAY_NS
            found = await self._fill((midnight_ns - DAY_NS, midnight_ns))
            if found:
                self._writer.gauge.gaps += 1
                log.error("history.repaired", feed=self._writer.gauge.name, count=found)

    async def pages(self, since_ns: int) -> AsyncGenerator[list[MarketTrade], None]:
        """Pages of trades from this instant on, oldest first, each beginning where the one before ended, until nothing is newer.

        Pages overlap by the trades of one instant, because an exchange may cut a page in the middle of it.
        Raises: ExchangeUnavailable, ExchangeRefused.
        """
        seen: set[str] = set()
        while True:
            page = await self._link.adapter.fetch_trades(
                self._writer.symbol.symbol, since_ns=max(0, since_ns - 1), limit=self._limit
            )
            if all(trade.trade_id in seen for trade in page):
                return
            seen = {trade.trade_id for trade in page}
            yield page
            since_ns = max([since_ns, *(trade.event_ns for trade in page)])

    async def _fill(self, span: Span) -> int:
        """Store the trades of a span and note it as complete, page by page; the answer is how many were new."""
        since_ns, end_ns = span
        found, backoff = 0, Backoff(first_s=1.0, max_s=60.0)
        while since_ns < end_ns:
            try:
                async with self._link.history, aclosing(self.pages(since_ns)) as pages:
                    async for page in pages:
                        newest_ns = max(trade.event_ns for trade in page)
                        inside = [trade for trade in page if trade.event_ns < end_ns]
                        until_ns = min(end_ns, newest_ns)
                        found += await self._writer.append(inside, (since_ns, until_ns), tell=False)
                        since_ns = max(since_ns, until_ns)
                        backoff.reset()
                        if newest_ns >= end_ns:
                            break
                await self._writer.append([], (since_ns, end_ns), tell=False)
                since_ns = end_ns
            except (ExchangeUnavailable, ExchangeRefused) as error:
                log.warning("history.away", feed=self._writer.gauge.name, error=error.message)
                await asyncio.sleep(backoff.next_s())
        return found
