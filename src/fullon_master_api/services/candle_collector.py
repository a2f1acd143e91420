"""The exchange's own 1m candles of one symbol: live as they change, history where it is missing."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Candle, Timeframe
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.catalogue import Link
from fullon_master_api.services.spans import DAY_NS, MINUTE_NS, Span, chunks, holes, to_next_night_s
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming
from fullon_master_api.services.tape_writer import TapeWriter

log = get_logger(__name__)

OVERLAP: Final = 3
"""So many candles before the newest one are read again after each reconnect: the last word on them is the exchange's."""


class CandleCollector:
    """Stores every change of the open candle and its last word when the next one opens; reads over REST what a dead socket
    missed, and each day again the night after. Without a stream the REST reading every `poll_s` is all there is."""

    def __init__(
        self,
        writer: TapeWriter,
        link: Link,
        *,
        policy: StreamPolicy,
        poll_s: float,
        stream: bool,
        history: bool,
        limit: int,
    ) -> None:
        self._writer, self._link, self._policy, self._poll_s, self._limit = writer, link, policy, poll_s, limit
        self._streams = stream and link.adapter.capabilities.stream_candles
        self._fills = history
        self._newest_ns = time.time_ns() // MINUTE_NS * MINUTE_NS
        self._behind = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live() if self._streams else self._poll(), name=f"live:{self._writer.gauge.name}")
            if self._fills:
                tasks.create_task(self._history(), name=f"history:{self._writer.gauge.name}")

    async def _live(self) -> None:
        def behind() -> None:
            self._behind = True

        await keep_streaming(
            lambda: self._link.adapter.stream_candles(self._writer.symbol.symbol),
            self._take,
            gauge=self._writer.gauge,
            policy=self._policy,
            on_open=behind,
            on_broken=self._link.worn.set,
        )

    async def _take(self, candles: list[Candle]) -> None:
        if self._behind:
            await self._read(self._newest_ns - OVERLAP * MINUTE_NS, tell=True)
            self._behind = False
        if candles:
            await self._writer.upsert(candles, tell=True)
            self._newest_ns = max(self._newest_ns, candles[-1].opened_ns)

    async def _poll(self) -> None:
        retry = Backoff(first_s=1.0, max_s=60.0)
        while True:
            try:
                await self._read(self._newest_ns - OVERLAP * MINUTE_NS, tell=True)
                self._writer.gauge.received(time.time_ns())
                self._writer.gauge.works()
                retry.reset()
                await asyncio.sleep(self._poll_s)
            except (ExchangeUnavailable, ExchangeRefused) as error:
                self._writer.gauge.failed(error.message)
                await asyncio.sleep(retry.next_s())

    async def _read(self, since_ns: int, *, tell: bool, end_ns: int | None = None) -> int:
        """Store the exchange's candles from this instant on, page by page; the answer is how many were new or changed."""
        found = 0
        while True:
            page = await self._link.adapter.fetch_candles(
                self._writer.symbol.symbol, Timeframe.MINUTE_1, since_ns=max(0, since_ns), limit=self._limit
            )
            wanted = [candle for candle in page if end_ns is None or candle.opened_ns < end_ns]
            found += await self._writer.upsert(wanted, tell=tell)
            if not page:
                return found
            newest_ns = page[-1].opened_ns
            if tell:
                self._newest_ns = max(self._newest_ns, newest_ns)
            if newest_ns < since_ns + MINUTE_NS or (end_ns is not None and newest_ns >= end_ns):
                return found
            since_ns = newest_ns + MINUTE_NS

    async def _history(self) -> None:
        """Fill what the store lacks before now, newest first; then read each day again the night after."""
        now_ns = time.time_ns() // MINUTE_NS * MINUTE_NS
        start_ns = now_ns - self._writer.symbol.backtest * DAY_NS
        missing = holes(await self._writer.covered(Timeframe.MINUTE_1), start_ns, now_ns)
        for span in chunks(missing):
            await self._fill(span)
        while True:
            await asyncio.sleep(to_next_night_s(time.time_ns()))
            midnight_ns = time.time_ns() // DAY_NS * DAY_NS
            if found := await self._fill((midnight_ns - DAY_NS, midnight_ns)):
                self._writer.gauge.gaps += 1
                log.warning("history.repaired", feed=self._writer.gauge.name, count=found)

    async def _fill(self, span: Span) -> int:
        backoff = Backoff(first_s=1.0, max_s=60.0)
        while True:
            try:
                async with self._link.history:
                    found = await self._read(span[0], tell=False, end_ns=span[1])
                await self._writer.cover(span, Timeframe.MINUTE_1)
            except (ExchangeUnavailable, ExchangeRefused) as error:
                log.warning("history.away", feed=self._writer.gauge.name, error=error.message)
                await asyncio.sleep(backoff.next_s())
            else:
                return found
