"""What a deployment needs: memory of each process, connections to its stores, disk for its market data.

    python benchmarks/sizing.py [--sockets 1000,5000] [--rows 500000] [--json]

Everything runs as it is deployed, as processes of the command `fullon`: the demo alone, then a server and a worker over a
PostgreSQL and a Redis of their own, with the demo's symbols collected from a paper exchange. Memory is VmRSS, connections are
counted by the stores, disk is what a million rows add. PostgreSQL's processes share most of their memory: theirs is Pss.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pyarrow as pa
import pyarrow.parquet
import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.fanout_client import Crowd  # noqa: E402  found by the line above, from wherever this is run
from benchmarks.fanout_peers import query  # noqa: E402
from tests.e2e.running import DemoProcess  # noqa: E402
from tests.e2e.scaled_out import command, prepare, token  # noqa: E402
from tests.servers import postgres_running, redis_running  # noqa: E402

SETTLE_S = 15.0
YEAR_MS = 1_700_000_000_000
LIMITS = {"SOCKET_CONNECTIONS_PER_USER_MAX": "20000", "SOCKET_CONNECTIONS_PER_ADDRESS_MAX": "20000"}
ASKED = (
    "{ symbols { nodes { symbol ticker { last } candles(timeframe: MINUTE_1, limit: 100) { close } } } bots { nodes { name } } }"
)


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def with_sockets(pid: int, url: str, counts: list[int]) -> dict[str, float]:
    """Memory of the server with so many sockets, each with one ticker; and what one of them takes."""
    crowd = Crowd(url.removeprefix("http://"), token(url))
    found = {"0": rss_mib(pid)}
    try:
        for count in counts:
            crowd.connect(count - len(crowd.readers), [query("BTC/USD")])
            crowd.receive(count * 3)
            found[str(count)] = rss_mib(pid)
    finally:
        crowd.close()
    found["kib_each"] = (found[str(counts[-1])] - found[str(counts[0])]) * 1024 / (counts[-1] - counts[0])
    return found


def embedded(folder: Path, sockets: list[int]) -> dict[str, Any]:
    os.environ.update(LIMITS)
    demo = DemoProcess.start(folder)
    try:
        time.sleep(SETTLE_S)
        return {"demo_mib": with_sockets(demo.process.pid, demo.url, sockets)}
    finally:
        demo.stop()


def ask_at_once(url: str, count: int) -> None:
    headers = {"Authorization": f"Bearer {token(url)}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client, ThreadPoolExecutor(32) as pool:
        for answer in pool.map(lambda _: client.post("/graphql", json={"query": ASKED}), range(count)):
            assert "errors" not in answer.json(), answer.text


async def ask_sql(database: str, query: str) -> int:
    connection = await asyncpg.connect(database.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


def count_sql(database: str) -> int:
    """Connections to the database, without the one that counts them."""
    return asyncio.run(ask_sql(database, "SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL")) - 1


def postgres_mib(database: str) -> float:
    """Memory of the server with all its processes, and what they keep of its files in their buffers."""
    oldest = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    status = Path(f"/proc/{asyncio.run(ask_sql(database, oldest))}/status").read_text(encoding="ascii")
    parent = int(status.split("PPid:")[1].split()[0])
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    kib = 0
    for pid in (parent, *children):
        with suppress(FileNotFoundError, ProcessLookupError):  # A connection of before that has just ended.
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            kib += int(rollup.split("\nPss:")[1].split()[0])
    return kib / 1024


def scaled_out(folder: Path, sockets: list[int], database: str, cache: str) -> dict[str, Any]:
    store = redis.Redis.from_url(cache)

    def connections() -> tuple[int, int]:
        return count_sql(database), len(store.client_list()) - 1

    env = asyncio.run(prepare(database, cache, **LIMITS))
    found: dict[str, Any] = {}
    with command("paper", env=env, log=folder / "paper.log") as (_, paper):
        env["EXCHANGE_URLS"] = json.dumps({"kraken": paper})
        with command("worker", env=env, log=folder / "worker.log") as (worker, _):
            time.sleep(SETTLE_S)
            sql, in_redis = connections()
            of_worker = postgres_mib(database)
            found["worker"] = {"mib": rss_mib(worker.pid), "sql": sql, "redis": in_redis}
            with command("serve", "--port", "0", env=env, log=folder / "serve.log") as (server, url):
                time.sleep(SETTLE_S)
                quiet = connections()
                ask_at_once(url, 300)
                busy = connections()
                found["postgres_mib"] = {"with a worker": of_worker, "after 32 at once": postgres_mib(database)}
                found["server"] = {
                    "sql": {"quiet": quiet[0] - sql, "after 32 at once": busy[0] - sql},
                    "redis": {"quiet": quiet[1] - in_redis, "after 32 at once": busy[1] - in_redis},
                    "mib": with_sockets(server.pid, url, sockets),
                }
            found["redis_mib"] = store.info("memory")["used_memory_rss"] / 2**20
    return found


def write_trades(path: Path, rows: int) -> None:
    chance, stamp, price = random.Random(2), YEAR_MS, 4_300_000
    stamps, prices = [], []
    for _ in range(rows):
        stamp += chance.randrange(1_200)
        price += chance.randrange(-30, 31)
        stamps.append(stamp)
        prices.append(f"{price // 100}.{price % 100:02d}")
    quantities = [f"0.{chance.randrange(1, 10**8):08d}" for _ in range(rows)]
    sides = ["buy" if number % 2 else "sell" for number in range(rows)]
    columns = {"ts_ms": stamps, "trade_id": range(rows), "price": prices, "quantity": quantities, "side": sides}
    pa.parquet.write_table(pa.table(columns), path)


def write_candles(path: Path, rows: int) -> None:
    chance, price = random.Random(3), 4_300_000
    columns: dict[str, list[Any]] = {name: [] for name in ("ts_ms", "open", "high", "low", "close", "volume")}
    for number in range(rows):
        step = chance.randrange(-500, 501)
        values = (price, max(price, price + step) + 7, min(price, price + step) - 7, price + step)
        price += step
        columns["ts_ms"].append(YEAR_MS // 60_000 * 60_000 + 60_000 * number)
        for name, value in zip(("open", "high", "low", "close"), values, strict=True):
            columns[name].append(f"{value // 100}.{value % 100:02d}")
        columns["volume"].append(f"{chance.randrange(50)}.{chance.randrange(10**8):08d}")
    pa.parquet.write_table(pa.table(columns), path)


@contextmanager
def grown(folder: Path, env: dict[str, str]) -> Iterator[dict[str, float]]:
    """MB that the candle store of these settings grew by meanwhile."""

    def size() -> int:
        if "OHLCV_DATABASE_URL" in env:
            return asyncio.run(ask_sql(env["OHLCV_DATABASE_URL"], "SELECT pg_database_size(current_database())"))
        return sum(path.stat().st_size for path in folder.glob("ohlcv.db*"))

    before, found = size(), dict[str, float]()
    yield found
    found["mb"] = (size() - before) / 1e6


def disk(folder: Path, rows: int, database: str) -> dict[str, Any]:
    """MB for a million rows of each kind in each store. Trades bring their candles with them."""
    write_trades(folder / "trades.parquet", rows)
    write_candles(folder / "candles.parquet", rows)
    found: dict[str, Any] = {}
    for store, more in (("sqlite", {}), ("postgres", {"OHLCV_DATABASE_URL": database})):
        for kind, words in (("trades", []), ("candles", ["--timeframe", "1m"])):
            data = folder / f"{store}-{kind}"
            env = os.environ | {"DATA_DIR": str(data)} | more
            fullon = [sys.executable, "-m", "fullon_master_api"]
            subprocess.run([*fullon, "migrate", "up"], env=env, check=True, capture_output=True)
            with grown(data, env) as size:
                named = ["--exchange", "kraken", "--symbol", "BTC/USD" if kind == "trades" else "ETH/USD"]
                file = str(folder / f"{kind}.parquet")
                subprocess.run([*fullon, "import", file, *named, *words], env=env, check=True, capture_output=True)
            found[f"{store}_{kind}_mb_per_million"] = size["mb"] / rows * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", default="1000,5000", help="how many sockets are opened, two or more numbers that rise")
    parser.add_argument("--rows", type=int, default=500_000, help="trades, and candles, that are stored")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sockets = [int(count) for count in given.sockets.split(",")]
    with tempfile.TemporaryDirectory(prefix="fullon-sizing-") as temporary, postgres_running() as database:
        folder = Path(temporary)
        found = embedded(folder, sockets)
        with redis_running() as cache:
            found |= scaled_out(folder, sockets, database, cache)
        found |= disk(folder, given.rows, database)
    rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 1))
    print(json.dumps(rounded, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
