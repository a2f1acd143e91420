"""What our gateway must also hold, measured on the server that `fanout.py` measures: one function a case.

`memory`: resident bytes over 1,000,000 delivered events, then over 10,000 sockets that are reset while they listen.
`stalled`: the latency of readers that keep up, alternating runs without and with 100 others that stopped reading.
`http`: the latency of `GET /livez` on a process that sends 45,000 events a second, and on the same process at rest.
"""

from __future__ import annotations

import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.fanout_client import Crowd
from benchmarks.fanout_peers import SYMBOLS, Peer, query, running, warm

BURST: Final = 200
"""Events published together: fewer than the number from which a feed keeps only the newest."""

RESET: Final = struct.pack("ii", 1, 0)
PROBES: Final = """
import http.client, json, sys, time
host, port = sys.argv[1].split(":")
late, until = [], time.monotonic() + float(sys.argv[2])
connection = http.client.HTTPConnection(host, int(port), timeout=30)
while time.monotonic() < until:
    began = time.perf_counter()
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    late.append((time.perf_counter() - began) * 1e3)
    time.sleep(0.01)
late.sort()
print(json.dumps([late[len(late) // 2], late[int(len(late) * 0.99)], len(late)]))
"""


def memory(*, quick: bool) -> dict[str, Any]:
    events, sockets = (100_000, 1_000) if quick else (1_000_000, 10_000)
    with running("fullon", None) as peer:
        crowd = Crowd(peer.url, peer.token)
        crowd.connect(1, [query(SYMBOLS[0])])
        warm(peer, crowd, 1)
        hear(peer, crowd, events // 10)
        by_event = [peer.rss_bytes()]
        for _ in range(5):
            hear(peer, crowd, events // 5)
            by_event.append(peer.rss_bytes())
            print(f"{len(by_event) - 1}/5 of the events: {by_event[-1]:,} bytes", file=sys.stderr, flush=True)
        reconnect(peer, crowd, sockets // 5)
        by_socket = [peer.rss_bytes()]
        for _ in range(5):
            reconnect(peer, crowd, sockets // 5)
            by_socket.append(peer.rss_bytes())
        crowd.close()
    return {
        "events": events,
        "rss_bytes_by_fifth_of_events": by_event,
        "bytes_per_event": (by_event[-1] - by_event[0]) / events,
        "reconnects": sockets,
        "rss_bytes_by_fifth_of_reconnects": by_socket,
        "bytes_per_reconnect": (by_socket[-1] - by_socket[0]) / sockets,
    }


def hear(peer: Peer, crowd: Crowd, events: int) -> None:
    """Publish so many, and see each arrive."""
    for _ in range(events // BURST):
        peer.tell(f"burst {BURST}")
        if crowd.receive(BURST, timeout_s=30.0) != BURST:
            raise SystemExit("events were lost")


def reconnect(peer: Peer, crowd: Crowd, count: int) -> None:
    """Clients that come, listen, and vanish with a reset, while events are sent."""
    for _ in range(count // 50):
        visitors = Crowd(peer.url, peer.token)
        visitors.connect(50, [query(SYMBOLS[0])])
        peer.tell("burst 5")
        for reader in visitors.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        visitors.close()
        crowd.receive(5, timeout_s=30.0)


def stalled(*, quick: bool) -> dict[str, Any]:
    """Five alternated pairs; in each, 20 readers of 100 events a second, which are 2,000 messages a second."""
    seconds, rounds = (4.0, 3) if quick else (10.0, 5)
    alone: list[float] = []
    beside: list[float] = []
    grown: list[int] = []
    with running("fullon", None) as peer:
        healthy = Crowd(peer.url, peer.token)
        healthy.connect(20, [query(SYMBOLS[0])])
        warm(peer, healthy, 20)
        paced(peer, healthy, rate=100, seconds=seconds)
        for _ in range(rounds):
            alone.append(paced(peer, healthy, rate=100, seconds=seconds))
            deaf = Crowd(peer.url, peer.token, receive_bytes=4_096)
            deaf.connect(100, [query(SYMBOLS[0])])
            paced(peer, healthy, rate=1_000, seconds=2.0)  # Fills the buffers of those who do not read.
            before = peer.rss_bytes()
            beside.append(paced(peer, healthy, rate=100, seconds=seconds))
            grown.append(peer.rss_bytes() - before)
            deaf.close()
            time.sleep(0.5)
        healthy.close()
    return {
        "p99_ms_alone": alone,
        "p99_ms_beside_100_stalled": beside,
        "ratio_of_medians": statistics.median(beside) / statistics.median(alone),
        "rss_bytes_grown": grown,
    }


def paced(peer: Peer, crowd: Crowd, *, rate: int, seconds: float) -> float:
    """p99 in ms of events published at a fixed rate."""
    crowd.latencies_ns.clear()
    peer.tell(f"rate {rate} {seconds}")
    assert peer.process.stdout is not None
    crowd.receive_until(peer.process.stdout.fileno(), stamped=True)
    peer.process.stdout.readline()
    return quantile(crowd.latencies_ns, 0.99) / 1e6


def quantile(values: Sequence[int], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def http(*, quick: bool) -> dict[str, Any]:
    seconds = 5.0 if quick else 15.0
    with running("fullon", None) as peer:
        crowd = Crowd(peer.url, peer.token)
        crowd.connect(1_000, [query(SYMBOLS[0])])
        warm(peer, crowd, 1_000)
        rest = probe(peer.url, seconds, lambda: None)
        cpu, began, seen = peer.cpu_s(), time.monotonic(), sum(reader.seen for reader in crowd.readers)
        peer.tell(f"rate 45 {seconds}")
        assert peer.process.stdout is not None
        done = peer.process.stdout.fileno()
        busy = probe(peer.url, seconds, lambda: crowd.receive_until(done, stamped=False))
        peer.process.stdout.readline()
        took = time.monotonic() - began
        heard = sum(reader.seen for reader in crowd.readers) - seen
        share = (peer.cpu_s() - cpu) / took
        crowd.close()
    return {
        "p50_p99_ms_at_rest": rest[:2],
        "p50_p99_ms_in_fan_out": busy[:2],
        "messages": heard,
        "seconds_published": seconds,
        "server_cpu_share": share,
    }


def probe(url: str, seconds: float, meanwhile: Callable[[], object]) -> list[float]:
    """Median and p99 in ms of requests from a process of their own."""
    import json

    process = subprocess.Popen([sys.executable, "-c", PROBES, url, str(seconds)], stdout=subprocess.PIPE, text=True)
    meanwhile()
    told, _ = process.communicate()
    found: list[float] = json.loads(told)
    return found


CASES: Final[dict[str, Callable[..., dict[str, Any]]]] = {"memory": memory, "stalled": stalled, "http": http}
