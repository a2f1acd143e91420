"""systemd hears when a server is ready and when it stops, over the socket that it names."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fullon_master_api.notify import READY, STOPPING, notify
from tests.e2e.running import DemoProcess

WITHIN_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="n-") as name:
        yield Path(name)


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on, named in the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(WITHIN_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        yield listening


def test_states_are_lines_of_one_datagram(manager: socket.socket) -> None:
    assert notify(READY, "STATUS=serving") is True
    assert manager.recv(1000) == b"READY=1\nSTATUS=serving"


def test_a_name_that_begins_with_an_at_sign_is_abstract(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{folder}")
        listening.settimeout(WITHIN_S)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{folder}")
        assert notify(STOPPING) is True
        assert listening.recv(1000) == b"STOPPING=1"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify(READY) is False


def test_a_server_tells_that_it_is_ready_and_that_it_stops(manager: socket.socket, tmp_path: Path) -> None:
    demo = DemoProcess.start(tmp_path)
    try:
        assert manager.recv(1000) == b"READY=1"
    finally:
        code = demo.stop()
    assert code == 0
    assert manager.recv(1000) == b"STOPPING=1"
