"""Several processes on one socket, and the socket itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from fullon_master_api.transport.server import AddressInUse, bind_socket

WITHIN_S = 60.0


@contextmanager
def workers(work: str, count: int, *, grace_s: float = 30.0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "tests.transport.worker_stage", work, str(count), str(grace_s)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ask(port: int) -> int:
    """Process id of the worker that answers; waits until one does."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            answer = connection.recv(20)
            if answer:
                return int(answer)
        time.sleep(0.05)
    raise AssertionError("no worker answered")


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_dead_worker_is_replaced_and_a_stop_ends_all_with_0() -> None:
    with workers("answer_with_pid", 1) as (parent, port):
        first = ask(port)
        os.kill(first, signal.SIGKILL)
        second = ask(port)
        assert second != first
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(WITHIN_S) == 0
        assert not alive(second)


def test_a_worker_that_does_not_end_is_killed_and_the_exit_code_says_so() -> None:
    with workers("ignore_the_end", 1, grace_s=0.5) as (parent, port):
        pid = ask(port)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(WITHIN_S) == 1
        assert not alive(pid)


def test_a_worker_that_always_dies_ends_the_server_with_1() -> None:
    from fullon_master_api.transport import workers as module

    listener = bind_socket("127.0.0.1", 0)
    crew = module.Workers(print, listener, 1)
    crew._places[0].deaths = module.EARLY_DEATHS_MAX + 1
    assert crew.run() == 1
    listener.close()


def test_a_busy_port_is_a_clear_error() -> None:
    listener = bind_socket("127.0.0.1", 0)
    listener.listen()
    port = listener.getsockname()[1]
    with pytest.raises(AddressInUse, match=f"cannot listen on 127.0.0.1:{port} .*set PORT to a free port"):
        bind_socket("127.0.0.1", port)
    listener.close()
