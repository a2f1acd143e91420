"""Messages per server CPU second of one live ticker: our gateway against Strawberry's own handler and Node peers.

    python benchmarks/fanout.py [--quick] [--json] [--peers fullon,strawberry,…] [--cases speed,memory,stalled,http]

Every peer runs alone on one core, the load client on another, in the same run and with the same document; each
subscriber has an id of its own. CPU is read from the kernel's scheduler, so what else runs on the machine shifts wall
times but not the main figure. `bare` is no GraphQL server: it sends prebuilt frames with one `send` each, which is what the
kernel allows. The cases beside `speed` look at our gateway alone: `fanout_cases.py` says what each does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.fanout_cases import CASES  # noqa: E402  found by the line above, from wherever this is run
from benchmarks.fanout_client import Crowd  # noqa: E402
from benchmarks.fanout_peers import NODE_PEERS, SYMBOLS, Peer, closed_loop, install_node, query, running, warm  # noqa: E402

PEERS = ("fullon", "fullon_portable", "bare", "strawberry", "strawberry_leak_fixed", "graphql_ws", "mercurius")
COMPARED = ("strawberry", "strawberry_leak_fixed", "graphql_ws", "mercurius")


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
    queries = [query(symbol) for symbol in SYMBOLS[:topics]]
    crowd = Crowd(peer.url, peer.token)
    crowd.connect(connections // 2, queries)
    warm(peer, crowd, connections // 2 * topics, topics=topics)
    before = peer.rss_bytes()  # The first half has made the room that a burst needs for a moment; the second half stays.
    crowd.connect(connections - connections // 2, queries)
    warm(peer, crowd, connections * topics, topics=topics)
    added = connections - connections // 2
    run.bytes_per_subscription = (peer.rss_bytes() - before - run.bytes_per_connection * added) / (added * (topics - 1))
    run.windowed_per_cpu_s = closed_loop(peer, crowd, topics=topics, expected=connections * topics, seconds=seconds)
    crowd.close()


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
    """Peer to case to how many times better we are: more messages and connects per CPU second, less memory."""
    ours = next((run for run in runs if run.peer == "fullon"), None)
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        if ours is None or run.peer not in COMPARED:
            continue
        pairs = {
            "one_topic": (ours.messages_per_cpu_s, run.messages_per_cpu_s),
            "many_topics": (ours.windowed_per_cpu_s, run.windowed_per_cpu_s),
            "connects": (ours.connects_per_cpu_s, run.connects_per_cpu_s),
            "memory_per_connection": (run.bytes_per_connection, ours.bytes_per_connection),
        }
        found[run.peer] = {case: round(more / less, 2) for case, (more, less) in pairs.items() if more > 0 and less > 0}
    return found


def measure_peers(peers: Sequence[str], options: argparse.Namespace, seconds: float) -> list[Run]:
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
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a run under four minutes")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object with `ratios`")
    parser.add_argument("--peers", default=None, help="the server runs to compare, by default all")
    parser.add_argument("--cases", default="speed", help=f"of speed, {', '.join(CASES)}")
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--topics", type=int, default=50)
    options = parser.parse_args()
    cases = options.cases.split(",")
    peers = options.peers.split(",") if options.peers else [name for name in PEERS if not (options.quick and "_portable" in name)]
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})
    runs = measure_peers(peers, options, 3.0 if options.quick else 15.0) if "speed" in cases else []
    ratios = ratios_of(runs)
    if runs:
        report(runs, ratios, options)
    answer: dict[str, Any] = {"ratios": ratios, "runs": [asdict(run) for run in runs]}
    for name in [name for name in cases if name != "speed"]:
        print(f"{name} …", file=sys.stderr, flush=True)
        answer[name] = CASES[name](quick=options.quick)
        print(f"{name}: {json.dumps(answer[name])}", flush=True)
    if options.json:
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
