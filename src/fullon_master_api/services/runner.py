"""One service under one lease: its task, its observed state, its crashes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

from fullon_master_api.errors import ExchangeDenied, StaleEpoch, Unavailable
from fullon_master_api.logs import get_logger
from fullon_master_api.model import DesiredState, Fence, Record, Service, ServiceName, ServiceState
from fullon_master_api.services.backoff import Backoff
from fullon_master_api.services.board import ERROR_LENGTH_MAX, FeedBoard
from fullon_master_api.services.lease import ServiceStore

log = get_logger(__name__)


class CollectingService(Protocol):
    """A service: `run` works until it is cancelled, and cleans up then; its end by itself is a failure."""

    async def run(self) -> None: ...


class ServiceFactory(Protocol):
    """Makes a service for one run: every write goes under `fence`, everything worth telling goes to `board`."""

    def __call__(self, fence: Fence, board: FeedBoard) -> CollectingService: ...


class CrashPolicy(Record, frozen=True, kw_only=True):
    """How often a crashed service is tried again; waits in seconds, `failures_max` within `window_s` is a CRASH_LOOP."""

    first_s: float = 1.0
    max_s: float = 60.0
    failures_max: int = 5
    window_s: float = 600.0
    stop_s: float = 5.0  # a service that was cancelled has so long to end
    heartbeat_s: float = 3.0


class Runner:
    """Brings one service to its desired state and writes down what it observes.

    It holds the epoch of one lease; a `StaleEpoch` from any write means that the lease is another's, sets `lost` and
    ends the service. What it does is serialised by one lock, so a stop never meets a start half way.
    """

    def __init__(
        self, name: ServiceName, epoch: int, *, store: ServiceStore, factory: ServiceFactory, policy: CrashPolicy
    ) -> None:
        self.name, self.fence = name, Fence(service=name.value, epoch=epoch)
        self.lost = False
        self._store, self._factory, self._policy = store, factory, policy
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._service: asyncio.Task[None] | None = None
        self._generation = 0
        self._state: ServiceState | None = None
        self._untold: str | None = None  # an error that the store has not heard of
        self._written = False  # The store has heard of the state; it may be away for a while.
        self._restarts = 0
        self._recycled = False
        self._wake = asyncio.Event()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which the service itself runs now; None when it does not."""
        return self._service

    @property
    def busy(self) -> bool:
        """It runs, or waits to run again."""
        return self._keeper is not None and not self._keeper.done()

    async def reconcile(self, row: Service) -> None:
        """One step towards what the row asks; a generation that was seen already asks for nothing new."""
        async with self._lock:
            if self._keeper is not None and not self.busy:
                await self._end()  # Raises what our own keeper died of: that is a fault of this process, not of the service.
            if self.lost:
                return
            if row.generation == self._generation and self._state is not None:
                if not self._written and not self.busy:
                    await self._observe(self._state)
                return
            if self._state is None:
                self._restarts = row.restarts
            if self.busy:
                await self._observe(ServiceState.STOPPING)
            await self._end()
            self._generation = row.generation
            if row.desired is DesiredState.RUNNING:
                log.info("service.start", service=self.name.value, epoch=self.fence.epoch, generation=row.generation)
                await self._observe(ServiceState.STARTING)
                if not self.lost:
                    self._keeper = asyncio.create_task(self._keep(), name=f"keeper:{self.name.value}")
            else:
                log.info("service.stopped", service=self.name.value, epoch=self.fence.epoch, generation=row.generation)
                await self._observe(ServiceState.STOPPED)

    def abandon(self) -> None:
        """The lease is another's: end the service now, whatever else waits for a store, and write nothing more."""
        self.lost = True
        for task in (self._service, self._keeper):  # The keeper may be waiting for the store, and would be slow to pass it on.
            if task is not None:
                task.cancel()

    async def aclose(self, *, write: bool = True) -> None:
        """End the service; with `write`, leave STOPPED behind, which is the truth once this process lets go of it."""
        async with self._lock:
            busy = self.busy
            if write and busy:
                await self._observe(ServiceState.STOPPING)
            await self._end()
            if write and busy:
                await self._observe(ServiceState.STOPPED)

    def recycle(self, reason: str) -> bool:
        """Start the service anew, with fresh connections; this is no failure of it. False if it does not run."""
        if self._service is None or self._service.done():
            return False
        log.warning("service.recycle", service=self.name.value, reason=reason)
        self._recycled = True
        return self._service.cancel()

    async def _end(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait({keeper})
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            raise error

    async def _keep(self) -> None:
        """Run the service, again after each crash, until it is in a crash loop or must not be tried again."""
        backoff = Backoff(first_s=self._policy.first_s, max_s=self._policy.max_s)
        failures: deque[float] = deque(maxlen=self._policy.failures_max)
        while not self.lost:
            started = time.monotonic()
            error = await self._run_once()
            if self.lost:
                return
            if self._recycled:
                self._recycled = False
                self._restarts += 1
                continue
            now = time.monotonic()
            if now - started >= self._policy.window_s:
                backoff.reset()
            failures.append(now)
            log.error("service.failed", service=self.name.value, error=describe(error), exc_info=error)
            looping = len(failures) == failures.maxlen and now - failures[0] <= self._policy.window_s
            await self._observe(ServiceState.CRASH_LOOP if looping else ServiceState.FAILED, error=describe(error))
            if looping:
                return
            if has(error, ExchangeDenied):
                return
            await self._wait(backoff.next_s())
            self._restarts += 1

    async def _run_once(self) -> BaseException | None:
        """One life of the service: STARTING, RUNNING or DEGRADED as its board says. The answer is what ended it."""
        self._wake.clear()
        board = FeedBoard(on_change=self._wake.set)
        service = self._service = asyncio.create_task(self._live(board), name=f"service:{self.name.value}")
        service.add_done_callback(lambda _task: self._wake.set())
        try:
            while not service.done() and not self.lost:
                await self._observe(board.state(), board)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._policy.heartbeat_s):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._service = None
            if not service.done():
                service.cancel()
                _, pending = await asyncio.wait({service}, timeout=self._policy.stop_s)
                if pending:
                    log.error("service.stuck", service=self.name.value, stop_s=self._policy.stop_s)
        if not service.done() or service.cancelled():
            return asyncio.CancelledError("its task was cancelled")
        error = service.exception()
        if has(error, StaleEpoch):
            self.lost = True
        return error

    async def _live(self, board: FeedBoard) -> None:
        """Make the service and run it: what keeps it from being made is its failure too."""
        await self._factory(self.fence, board).run()

    async def _wait(self, seconds: float) -> None:
        """Wait without looking dead: the heartbeat of a FAILED service goes on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.lost:
            await asyncio.sleep(min(left, self._policy.heartbeat_s))
            await self._observe(ServiceState.FAILED)

    async def _observe(self, state: ServiceState, board: FeedBoard | None = None, error: str | None = None) -> None:
        """Write the state down. A store that is away is not the service's fault: the lease's own clock decides."""
        if self.lost:
            return
        self._state, self._written = state, False
        self._untold = error or self._untold
        try:
            await self._store.observe(
                self.fence,
                state=state,
                observed_generation=self._generation,
                last_error=self._untold,
                restarts=self._restarts,
                feeds=board.health() if board is not None else [],
            )
            self._written, self._untold = True, None
        except StaleEpoch:
            log.warning("lease.stale", service=self.name.value, epoch=self.fence.epoch)
            self.lost = True
        except Unavailable as away:
            log.warning("service.unobserved", service=self.name.value, state=state.value, error=away.message)


def describe(error: BaseException | None) -> str:
    """What an admin reads as `lastError`: the innermost single error of a group, its kind and its text."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "it ended by itself"
    if isinstance(error, asyncio.CancelledError):
        return "its task was cancelled from outside"
    return f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]


def has(error: BaseException | None, kind: type[BaseException]) -> bool:
    """True for an error of this kind, also somewhere inside a group."""
    if isinstance(error, BaseExceptionGroup):
        return any(has(inner, kind) for inner in error.exceptions)
    return isinstance(error, kind)
