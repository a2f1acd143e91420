"""Workers that answer every connection with their process id, for `test_workers.py`."""

from __future__ import annotations

import os
import signal
import socket
import sys

from fullon_master_api.transport.server import bind_socket
from fullon_master_api.transport.workers import Workers


def answer_with_pid(listener: socket.socket, number: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    answer(listener)


def answer(listener: socket.socket) -> None:
    listener.listen()
    while True:
        connection, _ = listener.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()


def ignore_the_end(listener: socket.socket, number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(listener)


KINDS = {"answer_with_pid": answer_with_pid, "ignore_the_end": ignore_the_end}


if __name__ == "__main__":
    bound = bind_socket("127.0.0.1", 0)
    print(bound.getsockname()[1], flush=True)
    sys.exit(Workers(KINDS[sys.argv[1]], bound, int(sys.argv[2]), grace_s=float(sys.argv[3])).run())
