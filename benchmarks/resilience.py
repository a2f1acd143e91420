"""Live streams while Redis stops, hangs and loses its connections: how soon each goes on, and what is lost.

    python benchmarks/resilience.py [--quick] [--json]

Four API processes serve the cache's sockets over one Redis and follow order and account streams in one PostgreSQL. One more
publishes tickers, trades and candles, another one commits events, both all the time. This process holds the sockets: half of
them stream tickers, a quarter trades, a quarter candles. After each fault the time is taken from the moment Redis can answer
again until each stream has news, and how long that news was under way, since a busy machine also delays who publishes it.
Streams of trades and candles must have been told of exactly one gap for each restart, and of none for the rest. Every
follower leaves and resumes its stream after one to five events, and what it saw is compared with the store. Servers come
from the wheels that the tests use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter, time
from typing import Any

import orjson
from redis.asyncio import Redis
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.resilience_parts import EXCHANGE, TICK_S, account_process, api_process, collector_process, symbols
from tests.bus.redis_server import RedisServer
from tests.servers import postgres_running

from fullon_master_api.apis.orm import open_orm
from fullon_master_api.bus.topics import PARTITIONS
from fullon_master_api.logs import configure_logs

PROCESSES = 4
TOPICS = 20
WITHIN_S = 2.0


KINDS = ("tickers", "trades", "tickers", "ohlcv")
SYMBOLS = 50
ASKED: dict[str, dict[str, Any]] = {
    "tickers": {"action": "subscribe"},
    "trades": {"action": "stream_trade_updates"},
    "ohlcv": {"action": "stream_ohlcv", "timeframe": "1m"},
}


class Streams:
    """Sockets that each stream one symbol; remembers when each last had news, and how often it was told of a gap."""

    def __init__(self) -> None:
        self.last_s: list[float] = []
        self.way_s: list[float] = []  # from publishing to arrival, of the message of last_s
        self.gaps: dict[int, int] = {}
        self.received = 0
        self.pause_s_max = 0.0

    async def watch_pauses(self) -> None:
        """How long this process itself was kept from running: a busy machine must not pass for a slow bus."""
        while True:
            begun_s = perf_counter()
            await asyncio.sleep(0.02)
            self.pause_s_max = max(self.pause_s_max, perf_counter() - begun_s - 0.02)

    async def read(self, number: int, port: int) -> None:
        kind, place = KINDS[number // SYMBOLS % len(KINDS)], number % SYMBOLS
        symbol = symbols(SYMBOLS)[place if kind == "tickers" else place // 2 * 2 + (kind == "ohlcv")]
        named = {"exchange": EXCHANGE, "symbol": symbol}
        if kind != "tickers":
            self.gaps[number] = 0
        url = f"ws://127.0.0.1:{port}/api/v1/cache/ws/{kind}/{number}"
        async with connect(url, open_timeout=None, ping_interval=None, max_queue=None) as stream:
            await stream.send(orjson.dumps({**ASKED[kind], **named, "params": {**ASKED[kind], **named}}).decode())
            async for text in stream:
                message = orjson.loads(text)
                if message.get("action") == "gap":
                    self.gaps[number] += 1
                elif kind == "tickers" or "result" in message:
                    news = message.get("result", message)
                    assert news.get("symbol") == symbol, message
                    published_s = news["bar"][5] / 1e9 if kind == "ohlcv" else news["timestamp"]
                    self.last_s[number], self.way_s[number] = perf_counter(), time() - published_s
                    self.received += 1
                else:
                    assert message["success"] is True, message

    async def wait_for_news(self, since_s: float, *, at_most_s: float = 120.0) -> tuple[list[float], list[float]]:
        """Seconds from `since_s` until each stream had news, and how long each of these was under way; both sorted."""
        delays = [-1.0] * len(self.last_s)
        ways = [0.0] * len(self.last_s)
        async with asyncio.timeout(at_most_s):
            while min(delays) < 0:
                for number, last_s in enumerate(self.last_s):
                    if delays[number] < 0 and last_s > since_s:
                        delays[number], ways[number] = last_s - since_s, self.way_s[number]
                await asyncio.sleep(0.005)
        return sorted(delays), sorted(ways)


async def inject(
    name: str, server: RedisServer, streams: Streams, act: Callable[[RedisServer], Awaitable[None]]
) -> dict[str, Any]:
    await act(server)
    streams.pause_s_max = 0.0
    delays, ways = await streams.wait_for_news(perf_counter())
    await asyncio.sleep(2 * TICK_S)
    row = {
        "fault": name,
        "median_s": round(median(delays), 3),
        "p99_s": round(delays[int(len(delays) * 0.99)], 3),
        "max_s": round(delays[-1], 3),
        "way_median_s": round(median(ways), 3),
        "way_p99_s": round(ways[int(len(ways) * 0.99)], 3),
        "own_pause_s": round(streams.pause_s_max, 3),
    }
    figures = f"median {row['median_s']:6.3f} s  p99 {row['p99_s']:6.3f} s  max {row['max_s']:6.3f} s"
    way = f"{row['way_median_s']:.3f} to {row['way_p99_s']:.3f} s"
    print(f"{name:24} goes on after  {figures}  (under way {way}, own longest pause {row['own_pause_s']:.3f} s)", flush=True)
    return row


def stopped_for(outage_s: float) -> Callable[[RedisServer], Awaitable[None]]:
    async def act(server: RedisServer) -> None:
        server.stop()
        await asyncio.sleep(outage_s)
        await asyncio.to_thread(server.start)

    return act


async def hang(server: RedisServer) -> None:
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(3)
    server.signal(signal.SIGCONT)


async def kill_connections(server: RedisServer) -> None:
    async with Redis.from_url(server.url) as redis:
        for _ in range(3):
            await redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.1)


async def measure(redis: RedisServer, sql_url: str, *, sockets: int, resumes: int, quick: bool) -> dict[str, Any]:
    async with open_orm(sql_url):
        pass  # The schema.
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for number in range(PROCESSES + 2):
        here, there = spawn.Pipe()
        topics = range(number % 2, TOPICS, 2)
        child = [
            spawn.Process(target=api_process, args=(there, redis.url, sql_url, topics, resumes // PROCESSES // len(topics))),
            spawn.Process(target=collector_process, args=(there, redis.url, SYMBOLS)),
            spawn.Process(target=account_process, args=(there, redis.url, sql_url, TOPICS)),
        ][max(0, number - PROCESSES + 1)]
        child.daemon = True
        child.start()
        pipes.append(here)
        children.append(child)
    ports = [await asyncio.to_thread(pipe.recv) for pipe in pipes][:PROCESSES]
    streams = Streams()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        begun_s = perf_counter()
        reading = [tasks.create_task(streams.watch_pauses())]
        for number in range(sockets):
            streams.last_s.append(0.0)
            streams.way_s.append(0.0)
            reading.append(tasks.create_task(streams.read(number, ports[number % PROCESSES])))
            if number % 50 == 49:
                await streams.wait_for_news(begun_s)
        print(f"{sockets} sockets on {PROCESSES} processes stream after {perf_counter() - begun_s:.1f} s", flush=True)
        for pipe in pipes[:PROCESSES]:
            pipe.send("follow")
        plan = {f"stopped for {outage_s:g} s": stopped_for(outage_s) for outage_s in ((0.3, 3.0) if quick else (0.3, 3.0, 15.0))}
        plan |= {"hangs for 3 s": hang, "all connections killed": kill_connections}
        faults = [await inject(name, redis, streams, act) for name, act in plan.items()]
        followed = [await asyncio.to_thread(pipe.recv) for pipe in pipes[:PROCESSES]]
        for task in reading:
            task.cancel()
    for pipe in pipes:
        pipe.send("stop")
    ended = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
    for child in children:
        child.join(20)
    return {
        "faults": faults,
        "sockets": sockets,
        "messages": streams.received,
        "gaps_told": sorted(set(streams.gaps.values())),
        "followed": {name: sum(row[name] for row in followed) for name in followed[0]},
        "processes": ended[:PROCESSES],
        "fed": ended[PROCESSES:],
    }


def judge(found: dict[str, Any]) -> list[str]:
    """What does not hold."""
    wrong = [f"{row['fault']}: {row['max_s']} s" for row in found["faults"] if row["max_s"] > WITHIN_S]
    restarts = sum(row["fault"].startswith("stopped") for row in found["faults"])
    possible = restarts * len(PARTITIONS)
    gaps = [process["gaps"] for process in found["processes"]]
    wrong += [f"{count} gaps were marked, {possible} were possible" for count in gaps if count != possible]
    if found["gaps_told"] != [restarts]:
        wrong.append(f"streams were told of {found['gaps_told']} gaps, each should have been of {restarts}")
    if found["followed"]["lost"] or found["followed"]["doubled"]:
        wrong.append(f"lost or doubled: {found['followed']}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 sockets, 400 resumes, no stop of 15 s")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    configure_logs(level="ERROR", json=False, colors=False)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    print(f"{machine}, commit {commit}", flush=True)
    sockets, resumes = (200, 400) if options.quick else (1000, 2000)
    with tempfile.TemporaryDirectory() as folder, postgres_running() as sql_url:
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            found = asyncio.run(measure(redis, sql_url, sockets=sockets, resumes=resumes, quick=options.quick))
        finally:
            redis.stop()
    followed = found["followed"]
    print(
        f"order and account streams: {followed['resumes']} resumes, {followed['events']} events, "
        f"{followed['lost']} lost, {followed['doubled']} doubled"
    )
    print(f"each stream of trades and candles was told of {found['gaps_told']} gaps")
    for process in found["processes"]:
        print(
            f"process: {process['gaps']} gaps marked, {process['reconnects']} reconnects, "
            f"{process['memory_mb']} MB, {process['cpu_s']} s of CPU"
        )
    print(f"fed: {found['fed']}; {found['messages']} messages reached the sockets")
    wrong = judge(found)
    for line in wrong:
        print(f"DOES NOT HOLD: {line}")
    if options.json:
        print(json.dumps(found))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
