"""The hostile half of `executor.py`: what 500 new documents a second do to the answers of a document that is known.

The server has our real schema, tokens and SQLite store. One process asks the known document at a steady rate and measures, from
the moment at which a request was due to its answer. Another sends documents that nobody sent before: wide, deep, of fragments
that spread one another, about the schema, wrong, and past the limits. Of each round one half is without them; the p99 ratio is
the median of the rounds'. A third process is a newcomer: another user, who asks an honest document, new each time, and waits for
its answer. Those two give way to the one that measures, with which they share a core: what is measured is the server.

    python benchmarks/executor_hostile.py flood|newcomer PORT TOKEN SECONDS
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.executor_http import HERE, LONGEST_QUIET_S, SERVER_CORE, Peer, running
from benchmarks.executor_profile import profiling, shares_of
from benchmarks.executor_profile import told as told_shares

KNOWN = "{ me { userId mail } }"
KNOWN_RATE, FLOOD_RATE, NEWCOMER_RATE = 100, 500, 2
CONNECTIONS, FLOOD_CONNECTIONS = 8, 128
SAMPLES_MIN = 200
RATIO_MAX = 2.0
SETTLED_S = 1.5
"""The flood goes on so long before it is measured: the server then has nothing saved up for reading new documents."""


@dataclass
class Served:
    """Seconds from the moment a request was due to its answer, and what was answered: `ok` or the code of its error."""

    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    sent_s: float = 0.0
    """When the last of them was sent; those that wait for their turn are answered later."""

    @property
    def p99_ms(self) -> float:
        return quantiles(self.seconds, n=100)[98] * 1000


async def ask(peer: Peer, text: Callable[[int], str], rate: int, seconds: float, connections: int = CONNECTIONS) -> Served:
    """Requests at a steady rate over a few connections, whatever the answers take."""
    served = Served()
    began = time.perf_counter()
    turns = iter(range(int(rate * seconds)))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
        for turn in turns:
            due = began + turn / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = orjson.dumps({"query": text(turn)})
            head = (
                f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            )
            writer.write(f"{head}authorization: Bearer {peer.token}\r\n\r\n".encode() + body)
            served.sent_s = time.perf_counter() - began
            answer = orjson.loads(await read_answer(reader))
            served.seconds.append(time.perf_counter() - due)
            served.answers[answer["errors"][0]["extensions"]["code"] if "errors" in answer else "ok"] += 1
        writer.close()

    async with asyncio.timeout(seconds + LONGEST_QUIET_S), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
    return served


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return await reader.readexactly(int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))


# ---- documents ---------------------------------------------------------------------------------------------------------


def wide(name: str) -> str:
    return f"query {name} {{ me {{ " + " ".join(f"{name}_{n}: mail" for n in range(400)) + " } }"


def wide_of_objects(name: str) -> str:
    symbol = 'symbol(exchange: "kraken", symbol: "C7/USD") { symbol base quote priceDecimals ticker { bid ask last } }'
    return f"query {name} {{ " + " ".join(f"{name}_{n}: {symbol}" for n in range(60)) + " }"


def deep(name: str) -> str:
    below = "bots(first: 1) { nodes { user { "
    return f"query {name} {{ me {{ {below * 4}{name}: mail{' } } }' * 4} }} }}"


def spreading(name: str) -> str:
    links = "".join(
        f" fragment F{n} on Query {{ {' '.join(f'...F{m}' for m in range(n + 1, 25))} {name}_{n}: __typename }}"
        for n in range(25)
    )
    return f"query {name} {{ ...F0 }}{links}"


def repeating(name: str) -> str:
    return f"query {name} {{ " + "me { mail name } " * 40 + "}"


def wrong(name: str) -> str:
    return f"query {name} {{ me {{ " + " ".join(f"mial{name}{n}" for n in range(40)) + " } }"


def past_the_limits(name: str) -> str:
    return f"query {name} {{ " + " ".join(f"{name}_{n}: __typename" for n in range(1_200)) + " }"


def asking_the_schema(name: str) -> str:
    fields = "fields { name type { name kind ofType { name } } args { name } }"
    return f"query {name} {{ __schema {{ types {{ name {fields} }} }} }}"


HOSTILE = (wide, wide_of_objects, deep, spreading, repeating, wrong, past_the_limits, asking_the_schema)


def hostile(turn: int) -> str:
    return HOSTILE[turn % len(HOSTILE)](f"n{time.time_ns()}_{turn}")


def honest(turn: int) -> str:
    nodes = "nodes { symbol base quote ticker { bid ask last } }"
    return f"query n{time.time_ns()}_{turn} {{ symbols(first: 5) {{ {nodes} }} }}"


# ---- rounds ------------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What the other processes said at their end."""

    answers: Counter[str] = field(default_factory=Counter)
    rates: list[float] = field(default_factory=list)
    newcomer: Served = field(default_factory=Served)


@contextmanager
def beside_the_server() -> Iterator[None]:
    """Meanwhile this process, and those that it starts, stay on the core that the server does not run on."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {SERVER_CORE} or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def asked_by(kind: str, peer: Peer, seconds: float) -> Iterator[Callable[[], dict[str, Any]]]:
    """Another process that asks; the callable waits for its end and gives what it says."""
    words = [sys.executable, __file__, kind, str(peer.port), peer.token, str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    told = process.stdout
    assert told is not None

    def end() -> dict[str, Any]:
        said = told.readline()
        assert process.wait(LONGEST_QUIET_S) == 0
        return dict(json.loads(said))

    try:
        assert told.readline() == "began\n"
        yield end
    finally:
        process.kill()
        process.wait()
        told.close()


def flooded(peer: Peer, other: Peer, seconds: float, told: Told) -> Served:
    """The known document while the flood and the newcomer ask."""
    with ExitStack() as stack:
        flood = stack.enter_context(asked_by("flood", peer, seconds + SETTLED_S))
        time.sleep(SETTLED_S)
        newcomer = stack.enter_context(asked_by("newcomer", other, seconds))
        served = asyncio.run(ask(peer, lambda _turn: KNOWN, KNOWN_RATE, seconds))
        end, honest_end = flood(), newcomer()
    told.answers.update(end["answers"])
    told.rates.append(end["rate"])
    told.newcomer.answers.update(honest_end["answers"])
    told.newcomer.seconds += honest_end["seconds"]
    return served


def compare_hostile(folder: Path, rounds: int, seconds: float) -> dict[str, object]:
    """The known document's p99 in milliseconds without and with the flood, by turns, and the median of their ratios."""
    url = f"sqlite+aiosqlite:///{folder / 'fullon.db'}"
    command = [sys.executable, str(HERE / "executor_stores.py")]
    subprocess.run([*command, "fill", url], check=True)
    seconds = max(seconds, SAMPLES_MIN / KNOWN_RATE)
    pairs: list[tuple[Served, Served]] = []
    told = Told()
    with running([*command, "fullon", url]) as peer, beside_the_server():
        other = Peer(peer.port, peer.pid, peer.newcomer)
        asyncio.run(ask(peer, lambda _turn: KNOWN, KNOWN_RATE, 1.0))  # Warms up.
        for _ in range(rounds):
            quiet = asyncio.run(ask(peer, lambda _turn: KNOWN, KNOWN_RATE, seconds))
            pairs.append((quiet, flooded(peer, other, seconds, told)))
    assert all(set(served.answers) == {"ok"} for pair in pairs for served in pair), pairs
    ratios = [after.p99_ms / before.p99_ms for before, after in pairs]
    shares: dict[str, float] = {}
    if median(ratios) > RATIO_MAX:
        with profiling(folder / "profile"), running([*command, "fullon", url]) as peer, beside_the_server():
            flooded(peer, Peer(peer.port, peer.pid, peer.newcomer), seconds, Told())
        shares = shares_of(folder / "profile")
        print(f"p99 beside new documents: {median(ratios):.1f} times, aim {RATIO_MAX:g}")
        print(f"    of the event loop's thread, under a profiler: {told_shares(shares)}")
    return {
        "p50_ms": round(median(second for before, _ in pairs for second in before.seconds) * 1000, 3),
        "p99_ms": [round(before.p99_ms, 3) for before, _ in pairs],
        "p50_flooded_ms": round(median(second for _, after in pairs for second in after.seconds) * 1000, 3),
        "p99_flooded_ms": [round(after.p99_ms, 3) for _, after in pairs],
        "p99_ratio": round(median(ratios), 3),
        "aim": RATIO_MAX,
        "profile": shares,
        "samples": sum(len(before.seconds) for before, _ in pairs),
        "new_documents_a_second": round(median(told.rates)),
        "new_documents": dict(told.answers),
        "newcomer": dict(told.newcomer.answers),
        "newcomer_p50_ms": round(median(told.newcomer.seconds) * 1000, 3),
        "newcomer_max_ms": round(max(told.newcomer.seconds) * 1000, 3),
    }


def main(kind: str, port: int, token: str, seconds: float) -> None:
    os.nice(19)
    peer = Peer(port, 0, token)
    print("began", flush=True)
    if kind == "flood":
        served = asyncio.run(ask(peer, hostile, FLOOD_RATE, seconds, FLOOD_CONNECTIONS))
    else:
        served = asyncio.run(ask(peer, honest, NEWCOMER_RATE, seconds, 1))
    rate = served.answers.total() / served.sent_s
    print(json.dumps({"answers": served.answers, "rate": rate, "seconds": served.seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
