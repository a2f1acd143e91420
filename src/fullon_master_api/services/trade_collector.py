"""Market trades of one symbol: live without holes, history where it is missing, nothing twice."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Final

from fullon_master_api.errors import ExchangeRefused, ExchangeUnavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import MarketTrade
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.catalogue import Link
from fullon_master_api.services.history import History
from fullon_master_api.services.spans import DAY_NS
from fullon_master_api.services.streaming import StreamPolicy, keep_streaming, pause
from fullon_master_api.services.tape import Key, Tape, order_of
from fullon_master_api.services.tape_writer import TapeWriter

log = get_logger(__name__)

PENDING_MAX: Final = 200_000
"""Live trades kept while the store is away; beyond that they are dropped here and read again from the exchange."""

GROUP_S: Final = 0.05
GROUP_MAX: Final = 1000
"""Trades that come within so many seconds after a commit are stored together, in the next one, or as soon as there are so
many: a quiet market's trade is stored at once, and a busy one costs twenty commits a second."""

CATCH_UPS_MAX: Final = 5
"""How often the history is asked for trades that are missing before what follows them is taken without them."""

RESUME_NS: Final = DAY_NS
"""The live lane takes over where the store ends if that is not longer ago; `History` fills what is older."""


class TradeCollector:
    """The live lane of one symbol's trades.

    Each message is stored when it connects to the one before. After every (re)connect, after a jump in the exchange's
    numbering and after a silence the exchange's history is read from the last trade on, so a dead or lossy socket costs
    time and not trades. Where trades cannot be streamed, that reading every `poll_s` is all there is.
    """

    def __init__(
        self, writer: TapeWriter, link: Link, history: History, *, policy: StreamPolicy, poll_s: float, stream: bool
    ) -> None:
        self._writer, self._link, self._history, self._policy, self._poll_s = writer, link, history, policy, poll_s
        self._gauge = writer.gauge
        self._streams = stream and link.adapter.capabilities.stream_trades
        self._tape = Tape()
        self._pending: list[MarketTrade] = []
        self._wake, self._many = asyncio.Event(), asyncio.Event()
        self._start_ns = time.time_ns()
        self._complete_ns: int | None = None  # every trade from the start of this lane up to here is stored
        self._behind = False  # the history must be read before live trades connect again
        self._joint: Key | None = None  # the first live trade since then: the history need not be read beyond it
        self._tries = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._store(), name=f"store:{self._gauge.name}")
            if self._streams:
                tasks.create_task(self._read(), name=f"read:{self._gauge.name}")

    async def _read(self) -> None:
        await keep_streaming(
            lambda: self._link.adapter.stream_trades(self._writer.symbol.symbol),
            self._take,
            gauge=self._gauge,
            policy=self._policy,
            on_open=self._fall_behind,
            on_broken=self._link.worn.set,
        )

    def _fall_behind(self) -> None:
        self._behind, self._joint = True, None

    async def _take(self, trades: list[MarketTrade]) -> None:
        if not trades:
            return
        self._writer.clock.saw(max(trade.event_ns for trade in trades))
        self._gauge.lag_ms = self._writer.clock.lag_ms
        self._pending += trades
        if self._joint is None:
            self._joint = min(map(order_of, trades))
        if len(self._pending) > PENDING_MAX:
            log.warning("trades.dropped", feed=self._gauge.name, count=len(self._pending), reason="the store is away too long")
            self._pending.clear()
            self._fall_behind()
        self._wake.set()
        if len(self._pending) >= GROUP_MAX:
            self._many.set()

    async def _store(self) -> None:
        """Store what the reader brings, close quiet minutes, read the history when something may be missing."""
        silence, retry = Backoff(first_s=self._poll_s, max_s=max(900.0, self._poll_s)), Backoff(first_s=0.5, max_s=30.0)
        look_at = time.monotonic() + (self._poll_s if self._streams else 0.0)
        group_at = 0.0
        await self._writer.find_open()
        while True:
            came = await pause(self._wake, min(max(0.0, look_at - time.monotonic()), self._writer.close_in_s()))
            if came and (wait_s := group_at - time.monotonic()) > 0:
                await pause(self._many, wait_s)
            group_at = time.monotonic() + GROUP_S
            await self._writer.close_quiet()
            # Where the numbers prove nothing, the history is read on a period, whatever came.
            silent = time.monotonic() >= look_at and not (came and self._tape.numbered)
            if silent:
                self._fall_behind()
            try:
                await self._advance()
            except (ExchangeUnavailable, ExchangeRefused) as error:
                self._gauge.failed(error.message)
                await self._rest(retry.next_s())
                self._wake.set()
                continue
            if retry.failures:
                retry.reset()
                self._gauge.works()
            if came:
                silence.reset()
            if silent or (came and self._tape.numbered):
                look_at = time.monotonic() + (silence.next_s() if silent and self._streams else self._poll_s)

    async def _rest(self, seconds: float) -> None:
        """Wait, and close the minute that ends meanwhile: an exchange that does not answer is no reason to leave it open."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, self._writer.close_in_s()))
            await self._writer.close_quiet()

    async def _advance(self) -> None:
        """One step: what came is stored as far as it connects, and the history is asked for what does not."""
        if self._complete_ns is None and (self._pending or not self._streams or self._behind):
            self._complete_ns = await self._anchor()
            self._behind = True
        if self._behind:
            self._behind = False  # Before the reading: a reconnect in the middle of it asks for another one.
            try:
                await self._catch_up()
            except (ExchangeUnavailable, ExchangeRefused):
                self._behind = True
                raise
        pending, self._pending = self._pending, []
        self._many.clear()
        fresh = self._tape.live(pending)
        if fresh:
            await self._put(fresh, proven=self._tape.numbered)
        if self._tape.missing:
            await self._find_missing()
        self._gauge.gaps = self._tape.gaps

    async def _anchor(self) -> int:
        """Where this lane begins: where the store ends, if that is near, else with the oldest trade that came, or now."""
        start_ns = min([self._start_ns, *(trade.event_ns for trade in self._pending)])
        newest_ns = await self._writer.newest_ns()
        return newest_ns if newest_ns is not None and start_ns - RESUME_NS <= newest_ns < start_ns else start_ns

    async def _catch_up(self) -> None:
        """Read the history from the last complete instant until live trades connect to it, or it has nothing newer."""
        assert self._complete_ns is not None
        found = 0
        async with aclosing(self._history.pages(self._complete_ns)) as pages:
            async for page in pages:
                fresh = self._tape.history(page)
                found += len(fresh)
                await self._put(fresh, proven=True)
                if self._joined():
                    break  # A busy market has something newer at each reading, and this would never end.
        if found:
            log.info("trades.caught_up", feed=self._gauge.name, count=found)

    def _joined(self) -> bool:
        """What was given reaches the live trades, and nothing is missing among those that came since."""
        last = self._tape.last
        return last is not None and self._joint is not None and order_of(last) >= self._joint and not self._tape.missing

    async def _find_missing(self) -> None:
        """Ask for the trades before those that wait; an exchange that does not have them after some tries never will."""
        await self._catch_up()
        if not self._tape.missing:
            self._tries = 0
            return
        self._tries += 1
        if self._tries < CATCH_UPS_MAX:
            raise ExchangeUnavailable(f"trades are missing in {self._gauge.name} that the history does not have yet")
        self._tries = 0
        log.error("trades.missing", feed=self._gauge.name, held=self._tape.held)
        await self._put(self._tape.give_up(), proven=False)

    async def _put(self, fresh: list[MarketTrade], *, proven: bool) -> None:
        """Store trades of this lane; `proven`: nothing is missing between them and what was complete before."""
        assert self._complete_ns is not None
        if not fresh:
            return
        until_ns = max(self._complete_ns, fresh[-1].event_ns)
        await self._writer.append(fresh, (self._complete_ns, until_ns) if proven else None, tell=True)
        if proven:
            self._complete_ns = until_ns
