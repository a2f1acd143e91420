"""Several processes that serve one address: started together, replaced when one dies, ended together."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from fullon_master_api.logs import get_logger
from fullon_master_api.settings import Settings

log = get_logger(__name__)

STOP_S: Final = 10.0
STEADY_S: Final = 30.0
BACKOFF_S_MAX: Final = 30.0

Work = Callable[[Settings, socket.socket, Connection], None]
"""What one process does: serve on the socket, and send one word over the connection when it is ready."""


@dataclass(slots=True)
class Worker:
    """One place among the processes; `failures` in a row make the wait before its next start longer."""

    number: int
    process: SpawnProcess | None = None
    told: Connection | None = None
    started_s: float = 0.0
    start_at_s: float = 0.0
    failures: int = 0


class Workers:
    """`count` processes. A dead one is started again, after a wait that doubles while it keeps dying."""

    def __init__(self, work: Work, settings: Settings, listener: socket.socket, *, count: int) -> None:
        self._work, self._settings, self._listener = work, settings, listener
        self._context = multiprocessing.get_context("spawn")
        self._workers = [Worker(number) for number in range(count)]
        self._stopping = False

    def run(self, on_ready: Callable[[], None]) -> int:
        """Until SIGTERM or SIGINT; the exit code. `on_ready` is called once, when every process serves."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        waiting = {worker.number for worker in self._workers}
        while not self._stopping:
            now = time.monotonic()
            for worker in self._workers:
                if worker.process is None and worker.start_at_s <= now:
                    self._start(worker)
            heard = [worker.told for worker in self._workers if worker.told is not None and worker.number in waiting]
            ended = [worker.process.sentinel for worker in self._workers if worker.process is not None]
            wait([*heard, *ended], timeout=0.5)
            for worker in self._workers:
                if worker.number in waiting and worker.told is not None and worker.told.poll():
                    waiting.discard(worker.number)
                    if not waiting:
                        on_ready()
                self._replace(worker)
        return self._end()

    def _start(self, worker: Worker) -> None:
        told, tell = self._context.Pipe(duplex=False)
        worker.told, worker.started_s = told, time.monotonic()
        worker.process = self._context.Process(
            target=self._work, args=(self._settings, self._listener, tell), name=f"worker-{worker.number}"
        )
        worker.process.start()
        tell.close()

    def _replace(self, worker: Worker) -> None:
        """Forget a process that ended, and say when the next one may start."""
        if worker.process is None or worker.process.is_alive():
            return
        lived_s = time.monotonic() - worker.started_s
        worker.failures = 0 if lived_s > STEADY_S else worker.failures + 1
        wait_s = min(BACKOFF_S_MAX, 0.5 * 2**worker.failures) if worker.failures else 0.0
        log.error("worker.died", worker=worker.number, code=worker.process.exitcode, lived_s=round(lived_s, 1), wait_s=wait_s)
        worker.process.close()
        worker.process, worker.start_at_s = None, time.monotonic() + wait_s

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> int:
        """Ask all to end and wait; who does not end in time is killed, and the exit code says so."""
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            process.terminate()
        until = time.monotonic() + STOP_S
        code = 0
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            code = code or abs(process.exitcode or 0)
        return code
