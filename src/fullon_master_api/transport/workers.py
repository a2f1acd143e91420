"""Several server processes on one socket: started, replaced when they die, stopped together."""

from __future__ import annotations

import multiprocessing
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from types import FrameType
from typing import Final

from fullon_master_api.logs import get_logger

log = get_logger(__name__)

POLL_S: Final = 0.2
RESTART_S: Final = 0.5
RESTART_S_MAX: Final = 10.0
SETTLED_S: Final = 30.0
"""A worker that lived this long was well: the next death of its place starts counting anew."""

EARLY_DEATHS_MAX: Final = 5

Work = Callable[[socket.socket, int], None]
"""What a worker does with the listening socket and its number; a function that can be imported by its name."""


@dataclass(slots=True)
class Place:
    """One worker's place: the process in it now, or when the next one starts."""

    number: int
    process: SpawnProcess | None = None
    started_s: float = 0.0
    start_at_s: float = 0.0
    deaths: int = 0


class Workers:
    """Runs `count` processes until SIGTERM or SIGINT. A dead one is replaced, later each time that it dies at once."""

    def __init__(self, work: Work, listener: socket.socket, count: int, *, grace_s: float = 10.0) -> None:
        self._work = work
        self._listener = listener
        self._grace_s = grace_s
        self._places = [Place(number) for number in range(count)]
        self._stopping = False
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> int:
        """The exit code: 0 after a stop that every worker obeyed, 1 where one had to be killed or cannot live."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopping:
                if any(place.deaths > EARLY_DEATHS_MAX for place in self._places):
                    log.error("workers.given_up", deaths=EARLY_DEATHS_MAX)
                    self._end()
                    return 1
                self._start_due()
                alive = [place.process.sentinel for place in self._places if place.process is not None]
                wait(alive, timeout=POLL_S)
                self._bury()
            return self._end()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start_due(self) -> None:
        now_s = monotonic()
        for place in self._places:
            if place.process is None and now_s >= place.start_at_s:
                place.process = self._context.Process(
                    target=self._work, args=(self._listener, place.number), name=f"worker-{place.number}"
                )
                place.process.start()
                place.started_s = now_s
                log.info("worker.started", number=place.number, pid=place.process.pid)

    def _bury(self) -> None:
        """Take note of the dead, and when their places are filled again."""
        now_s = monotonic()
        for place in self._places:
            if place.process is None or place.process.is_alive():
                continue
            code = place.process.exitcode
            place.process.close()
            place.process = None
            place.deaths = 1 if now_s - place.started_s > SETTLED_S else place.deaths + 1
            wait_s = min(RESTART_S_MAX, RESTART_S * 2 ** (place.deaths - 1))
            place.start_at_s = now_s + wait_s
            log.warning("worker.died", number=place.number, exit_code=code, restart_in_s=wait_s)

    def _end(self) -> int:
        """Ask all to end, wait, kill who does not."""
        living = [place.process for place in self._places if place.process is not None]
        for process in living:
            process.terminate()
        until_s, code = monotonic() + self._grace_s, 0
        for process in living:
            process.join(max(0.0, until_s - monotonic()))
            if process.is_alive():
                log.error("worker.killed", pid=process.pid, grace_s=self._grace_s)
                process.kill()
                process.join()
                code = 1
            elif process.exitcode not in (0, -signal.SIGTERM):  # SIGTERM itself ends one that is still starting.
                code = 1
        return code
