"""The hostile half of `executor.py`: what 500 new documents a second do to the answers of a document that is known.

The server has our real schema, tokens and SQLite store. One process asks the known document at a steady rate and measures, from
the moment at which a request was due to its answer; another sends valid documents that nobody sent before, dear to read and cheap
to run. Both are other processes than the server. What the server has saved up for reading new documents is spent first, so
that what is measured could go on for ever.

    python benchmarks/executor_hostile.py flood PORT TOKEN SECONDS
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.executor_http import HERE, LONGEST_QUIET_S, Peer, running

KNOWN = "{ me { userId mail } }"
KNOWN_RATE = 100
FLOOD_RATE = 500
FIELDS, FIELDS_SPENDING = 20, 400
CONNECTIONS, FLOOD_CONNECTIONS = 8, 64
SAMPLES_MIN = 200


@dataclass
class Served:
    """Seconds from the moment a request was due to its answer, and what was answered: `ok` or the code of its error."""

    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

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


def new_document(turn: int, count: int = FIELDS) -> str:
    """Valid, and never sent before: its names are of this moment."""
    name = f"n{time.time_ns()}_{turn}"
    fields = " ".join(f"{name}_{number}: mail" for number in range(count))
    return f"query {name} {{ me {{ {fields} }} }}"


def compare_hostile(folder: Path, rounds: int, seconds: float) -> dict[str, object]:
    """The known document's p99 in milliseconds without and with the flood, by turns, and their ratio."""
    url = f"sqlite+aiosqlite:///{folder / 'fullon.db'}"
    command = [sys.executable, str(HERE / "executor_stores.py")]
    subprocess.run([*command, "fill", url], check=True)
    seconds = max(seconds, SAMPLES_MIN / KNOWN_RATE)
    quiet, flooded = Served(), Served()
    told: Counter[str] = Counter()
    rates: list[float] = []
    spent = True  # On a busy machine the server may never get the CPU that it would have to spend.
    with running([*command, "fullon", url]) as peer:
        asyncio.run(ask(peer, lambda _turn: KNOWN, KNOWN_RATE, 1.0))  # Warms up.
        for _ in range(rounds):
            for found, hostile in ((quiet, False), (flooded, True)):
                words = [sys.executable, __file__, "flood", str(peer.port), peer.token, str(seconds + 2)]
                flood = subprocess.Popen(words, stdout=subprocess.PIPE, text=True) if hostile else None
                if flood is not None and flood.stdout is not None:
                    flood.stdout.readline()  # It has begun.
                served = asyncio.run(ask(peer, lambda _turn: KNOWN, KNOWN_RATE, seconds))
                assert set(served.answers) == {"ok"}, served.answers
                found.seconds += served.seconds
                if flood is not None and flood.stdout is not None:
                    end = json.loads(flood.stdout.readline())
                    told.update(end["answers"])
                    rates.append(end["rate"])
                    spent = spent and end["spent"]
                    assert flood.wait(LONGEST_QUIET_S) == 0
    return {
        "p50_ms": round(median(quiet.seconds) * 1000, 3),
        "p99_ms": round(quiet.p99_ms, 3),
        "p50_flooded_ms": round(median(flooded.seconds) * 1000, 3),
        "p99_flooded_ms": round(flooded.p99_ms, 3),
        "p99_ratio": round(flooded.p99_ms / quiet.p99_ms, 3),
        "samples": len(quiet.seconds),
        "new_documents_a_second": round(median(rates)),
        "new_documents": dict(told),
        "savings_were_spent": spent,
    }


def flood(port: int, token: str, seconds: float) -> None:
    peer = Peer(port, 0, token)
    began, spent = time.perf_counter(), False
    while not spent and time.perf_counter() - began < LONGEST_QUIET_S:
        served = asyncio.run(ask(peer, lambda turn: new_document(turn, FIELDS_SPENDING), FLOOD_RATE, 0.1))
        spent = "RATE_LIMITED" in served.answers
    print("began", flush=True)
    began = time.perf_counter()
    served = asyncio.run(ask(peer, new_document, FLOOD_RATE, seconds, FLOOD_CONNECTIONS))
    rate = sum(served.answers.values()) / (time.perf_counter() - began)
    print(json.dumps({"answers": served.answers, "rate": rate, "spent": spent}), flush=True)


if __name__ == "__main__":
    assert sys.argv[1] == "flood"
    flood(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
