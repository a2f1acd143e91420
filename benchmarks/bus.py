"""What a message and a ticker cost: publish to callback, and the cache's writes and reads, in one process and on Redis.

    python benchmarks/bus.py [--quick] [--json]

`broadcaster` is the library alone with one subscriber; `bus` is ours over it. Times are of this process's CPU for each message
or call, the median of five rounds; those on Redis are wall time of one call after another and of 50 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

from broadcaster import Broadcast

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import redis_running

from fullon_master_api.apis.cache import Cache, open_cache
from fullon_master_api.bus import open_bus, ticker_topic
from fullon_master_api.logs import configure_logs
from fullon_master_api.model import Ticker

ROUNDS = 5
TOPIC = ticker_topic("kraken", "BTC/USD")


def tick(number: int, symbol: str = "BTC/USD") -> Ticker:
    return Ticker(exchange="kraken", symbol=symbol, last="64123.1", bid="64123.0", ask="64123.2", received_ns=number)


async def of_broadcaster(count: int) -> float:
    """CPU microseconds a message."""
    async with Broadcast("memory://") as broadcast, broadcast.subscribe(TOPIC) as subscriber:

        async def read() -> None:
            for _ in range(count):
                await subscriber.get()

        message, begun = tick(1), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            for _ in range(count):
                await broadcast.publish(TOPIC, message)
        return (time.process_time() - begun) / count * 1e6


async def of_bus(url: str, count: int) -> float:
    """CPU microseconds a message, from publish to the callback."""
    async with open_bus(url) as bus:
        got, done = 0, asyncio.Event()

        def receive(_topic: str, _message: object) -> None:
            nonlocal got
            got += 1
            if got == count:
                done.set()

        with bus.listen(TOPIC, receive):
            message, begun = tick(1), time.process_time()
            if bus.shape == "memory":
                for _ in range(count):
                    await bus.publish(TOPIC, message)
            else:
                for _ in range(count // 500):
                    await asyncio.gather(*(bus.publish(TOPIC, message) for _ in range(500)))
            await done.wait()
            return (time.process_time() - begun) / count * 1e6


async def timed(call: Callable[[int], Awaitable[object]], count: int) -> list[float]:
    """Wall microseconds of each call, one after another."""
    taken = []
    for number in range(count):
        begun = time.perf_counter()
        await call(number)
        taken.append((time.perf_counter() - begun) * 1e6)
    return taken


async def of_cache(url: str, count: int) -> dict[str, float]:
    async with open_bus(url) as bus, open_cache(bus, url) as cache:
        keys = [("kraken", f"S{number}/USD") for number in range(1000)]
        await asyncio.gather(*(cache.tickers.set(tick(1, symbol)) for _exchange, symbol in keys))
        set_one = await timed(lambda number: cache.tickers.set(tick(10 + number)), count)
        get_many = await timed(lambda _number: cache.tickers.get_many(keys), max(count // 50, 20))
        begun = time.perf_counter()
        await asyncio.gather(*(_set_in_turn(cache, worker, count // 50) for worker in range(50)))
        each = (time.perf_counter() - begun) / (count // 50 * 50) * 1e6
    return {
        "set_median_us": round(median(set_one), 1),
        "set_p99_us": round(quantiles(set_one, n=100)[98], 1),
        "set_of_50_at_once_us": round(each, 1),
        "get_1000_median_us": round(median(get_many), 1),
    }


async def _set_in_turn(cache: Cache, worker: int, count: int) -> None:
    for number in range(count):
        await cache.tickers.set(tick(10**9 + number, f"W{worker}/USD"))


async def measure(redis_url: str, *, count: int) -> dict[str, object]:
    found: dict[str, object] = {}
    found["broadcaster_us"] = round(median([await of_broadcaster(count) for _ in range(ROUNDS)]), 2)
    found["bus_memory_us"] = round(median([await of_bus("memory://", count) for _ in range(ROUNDS)]), 2)
    found["bus_redis_us"] = round(median([await of_bus(redis_url, count) for _ in range(ROUNDS)]), 2)
    found["cache_memory"] = await of_cache("memory://", count)
    found["cache_redis"] = await of_cache(redis_url, count)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 messages instead of 20,000")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    options = parser.parse_args()
    count = 2_000 if options.quick else 20_000
    configure_logs(level="ERROR", json=False, colors=False)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with redis_running() as redis_url:
        found = asyncio.run(measure(redis_url, count=count))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    if options.json:
        print(json.dumps({"machine": machine, "commit": commit, "n": count, **found}))
        return
    print(f"{machine}, commit {commit}, n {count}")
    for name, value in found.items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
