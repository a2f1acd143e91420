"""Ticker updates a second over Kraken's wire on one core: our adapter, plain ccxt, and only parsing the JSON.

    python benchmarks/exchanges.py [--updates 20000] [--repeats 5] [--json]

A paper exchange in a process of its own sends as fast as its reader takes. Every reader runs in the same run, by turns, over
the same generated market. A rate is updates in a second of the reader's own CPU time, so that the sender and whatever
else runs on the machine do not count. `orjson` reads the socket with aiohttp and parses each message, and no more; `ccxt` is an
unmodified `ccxt.pro.kraken` whose `watch_tickers` is called again and again; `adapter` is `stream_tickers`. ccxt tells its
waiter of the newest state only, so its updates are those that it parsed, whether or not they were told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import platform
import subprocess
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import aiohttp
import ccxt.pro
import orjson

from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.opening import kraken_urls
from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, open_paper

SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "BTC/USDT")
SOURCE = GeneratedSource(seed=1, symbols=SYMBOLS, history_hours=0.1, updates_per_s=50.0, speed=None)


@dataclass
class Run:
    """One reader's rates over all repeats, in updates a second of its CPU time, and the wall rate of the median repeat."""

    reader: str
    updates: int
    repeats: int
    median_per_cpu_s: float
    worst_per_cpu_s: float
    median_per_wall_s: float

    @property
    def microseconds(self) -> float:
        return 1e6 / self.median_per_cpu_s


def serve(pipe: Connection) -> None:
    """The process of the paper exchange: tells its URL, and ends when it is told anything."""

    async def main() -> None:
        async with open_paper(PaperOptions(source=SOURCE)) as paper:
            pipe.send(paper.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


async def read_orjson(url: str, updates: int) -> int:
    """Messages parsed: one ticker each."""
    seen = 0
    async with aiohttp.ClientSession() as session, session.ws_connect(url + "/ws/v2") as socket:
        params = {"channel": "ticker", "symbol": list(SYMBOLS), "event_trigger": "bbo"}
        await socket.send_json({"method": "subscribe", "params": params, "req_id": 1})
        while seen < updates:
            message = orjson.loads((await socket.receive()).data)
            seen += message.get("channel") == "ticker"
    return seen


class CountingKraken(ccxt.pro.kraken):  # type: ignore[misc]
    """Stock ccxt that counts the tickers it parsed."""

    parsed = 0

    def handle_ticker(self, client: Any, message: dict[str, Any]) -> None:
        self.parsed += 1
        super().handle_ticker(client, message)


async def read_ccxt(url: str, updates: int) -> int:
    exchange = CountingKraken({"enableRateLimit": False, "urls": {"api": kraken_urls(url)}})
    try:
        while exchange.parsed < updates:
            await exchange.watch_tickers(list(SYMBOLS), {"event_trigger": "bbo"})
        return exchange.parsed
    finally:
        await exchange.close()


async def read_adapter(url: str, updates: int) -> int:
    """Messages read by the adapter; those of one symbol that arrived together are told as one ticker."""
    adapter = open_exchange("kraken", base_url=url)
    wire = adapter.wire  # type: ignore[attr-defined]
    parsed, deliver = 0, wire._deliver

    def counted(channel: str, message: dict[str, Any]) -> None:
        nonlocal parsed
        parsed += channel == "ticker"
        deliver(channel, message)

    wire._deliver = counted
    try:
        async with aclosing(adapter.stream_tickers(SYMBOLS)) as batches:
            async for _ in batches:
                if parsed >= updates:
                    return parsed
        raise AssertionError("the stream ended")
    finally:
        await adapter.aclose()


READERS: dict[str, Callable[[str, int], Coroutine[Any, Any, int]]] = {
    "orjson": read_orjson,
    "ccxt": read_ccxt,
    "adapter": read_adapter,
}


def measure(url: str, updates: int, repeats: int) -> list[Run]:
    """All readers by turns, so that what slows the machine slows them alike."""
    rates: dict[str, list[tuple[float, float]]] = {reader: [] for reader in READERS}
    for _ in range(repeats):
        for reader, read in READERS.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            seen = asyncio.run(read(url, updates))
            rates[reader].append((seen / (time.process_time() - cpu_s), seen / (time.perf_counter() - wall_s)))
    return [
        Run(
            reader=reader,
            updates=updates,
            repeats=repeats,
            median_per_cpu_s=median(cpu for cpu, _ in pairs),
            worst_per_cpu_s=min(cpu for cpu, _ in pairs),
            median_per_wall_s=median(wall for _, wall in pairs),
        )
        for reader, pairs in rates.items()
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--updates", type=int, default=20_000)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    try:
        runs = measure(ours.recv(), chosen.updates, chosen.repeats)
    finally:
        ours.send("end")
        server.join(10)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    machine = (
        f"{platform.machine()}, {multiprocessing.cpu_count()} cores, Python {platform.python_version()}, ccxt {ccxt.__version__}"
    )
    if chosen.json:
        print(json.dumps({"machine": machine, "commit": commit, "runs": [asdict(run) for run in runs]}))
        return
    print(f"{machine}; commit {commit}; {chosen.repeats} repeats of {chosen.updates} updates of {len(SYMBOLS)} symbols")
    print(f"{'reader':<10}{'updates/CPU s':>15}{'worst':>10}{'us each':>10}{'updates/wall s':>16}")
    for run in runs:
        rates = f"{run.median_per_cpu_s:>15,.0f}{run.worst_per_cpu_s:>10,.0f}{run.microseconds:>10.1f}"
        print(f"{run.reader:<10}{rates}{run.median_per_wall_s:>16,.0f}")


if __name__ == "__main__":
    main()
