"""Telling systemd how far this process is: the protocol of sd_notify(3), one datagram to the socket it names."""

from __future__ import annotations

import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(*states: str) -> bool:
    """Send states, as `READY`, to the service manager. False where none started us, which names no socket.

    A socket name that begins with `@` is in Linux' abstract namespace.
    Raises: OSError where a socket is named and nobody reads it.
    """
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return False
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(address)
        manager.sendall("\n".join(states).encode())
    return True
