"""New documents waiting to be read: one at a time, in a thread beside the event loop, the callers by turns."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Final, Generic, TypeVar

from fullon_master_api.errors import RateLimited, ServerShutdown
from fullon_master_api.executor.limits import Limits

SWITCH_S: Final = 0.00005
"""How long the event loop waits for the interpreter while a document is read. Python's own 5 ms would be added to each step of a
request that is known: there are several in one answer."""

V = TypeVar("V")


class Budget:
    """Seconds of a CPU for documents that were never seen: a share of the time that passes, saved up to a limit.

    What one document takes is known only afterwards, so it may be overdrawn by one document.
    """

    def __init__(self, share: float, most_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._share = share
        self._most_s = most_s
        self._clock = clock
        self._left_s = most_s
        self._at_s = clock()

    def wait_s(self) -> float:
        """Seconds until there is something to spend; 0 now."""
        now_s = self._clock()
        self._left_s = min(self._most_s, self._left_s + (now_s - self._at_s) * self._share)
        self._at_s = now_s
        return max(0.0, -self._left_s / self._share)

    def spend(self, spent_s: float) -> None:
        self._left_s -= spent_s


@dataclass(slots=True, eq=False)
class Entry(Generic[V]):
    """A document that waits or is being read, with those who wait for it."""

    key: Hashable
    caller: Hashable
    read: Callable[[], V]
    done: asyncio.Future[V]
    readers: int = 0
    begun: bool = False


class Reader(Generic[V]):
    """Gives each caller's documents their turn. Those who ask for the same one wait for the same reading.

    `read` is called in the thread and gives what was found; what it raises is raised to all who wait.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = Budget(limits.reading_share, limits.reading_burst_s)
        self._thread: ThreadPoolExecutor | None = None
        self._entries: dict[Hashable, Entry[V]] = {}
        self._turns: OrderedDict[Hashable, deque[Entry[V]]] = OrderedDict()
        """Documents that wait, by caller; the first caller is the next."""
        self._busy = False
        self._refill: asyncio.TimerHandle | None = None

    async def read(self, caller: Hashable, key: Hashable, read: Callable[[], V]) -> V:
        """What `read` gives, after those that come before it. Raises RateLimited where too many wait, or it waits too long."""
        entry = self._entries.get(key) or self._enqueue(caller, key, read)
        entry.readers += 1
        try:
            await asyncio.wait([entry.done], timeout=self._limits.reading_wait_s)
            if not entry.begun and not entry.done.done():
                raise self._refused("the document waited too long for its turn to be read")
            return await asyncio.shield(entry.done)
        finally:
            entry.readers -= 1
            if not entry.readers and not entry.begun and not entry.done.done():
                self._leave(entry)

    def close(self) -> None:
        """Refuse those that wait, and end the thread after what it is reading."""
        for queue in self._turns.values():
            for entry in queue:
                del self._entries[entry.key]
                entry.done.set_exception(ServerShutdown("the server is going away: connect again"))
        self._turns.clear()
        self._stop_waiting()
        if self._thread is not None:
            self._thread.shutdown()

    def _refused(self, why: str) -> RateLimited:
        told = f"{why}: ask a document that was asked before, or wait"
        return RateLimited(told, retry_after_s=max(1.0, self._budget.wait_s()), path=("query",))

    def _enqueue(self, caller: Hashable, key: Hashable, read: Callable[[], V]) -> Entry[V]:
        queue = self._turns.get(caller)
        waiting = 0 if queue is None else len(queue)
        if waiting >= self._limits.reading_waiting_max or len(self._entries) >= self._limits.reading_waiting_all_max:
            raise self._refused(f"{max(waiting, len(self._entries))} new documents wait to be read already")
        entry = Entry(key, caller, read, asyncio.get_running_loop().create_future())
        self._entries[key] = entry
        self._turns.setdefault(caller, deque()).append(entry)
        self._advance()
        return entry

    def _leave(self, entry: Entry[V]) -> None:
        """Nobody waits for it any more."""
        del self._entries[entry.key]
        queue = self._turns[entry.caller]
        queue.remove(entry)
        if not queue:
            del self._turns[entry.caller]
        if not self._turns:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None

    def _advance(self) -> None:
        """Begin with the next document, if none is being read and there is time to spend."""
        if self._busy or self._refill is not None or not self._turns:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._budget.wait_s()
        if wait_s:
            self._refill = loop.call_later(wait_s, self._refilled)
            return
        caller, queue = self._turns.popitem(last=False)
        entry = queue.popleft()
        if queue:
            self._turns[caller] = queue  # Behind all others.
        entry.begun = self._busy = True
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "reader")
            sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        loop.run_in_executor(self._thread, _timed, entry.read).add_done_callback(lambda ended: self._end(entry, ended))

    def _refilled(self) -> None:
        self._refill = None
        self._advance()

    def _end(self, entry: Entry[V], ended: asyncio.Future[tuple[V, float]]) -> None:
        self._busy = False
        del self._entries[entry.key]
        error = ended.exception()
        if error is None:
            value, spent_s = ended.result()
            self._budget.spend(spent_s)
            entry.done.set_result(value)
        else:
            entry.done.set_exception(error)
        self._advance()


def _timed(read: Callable[[], V]) -> tuple[V, float]:
    began_s = thread_time()
    return read(), thread_time() - began_s
