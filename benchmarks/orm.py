"""What the ORM's reads and writes cost on SQLite and on PostgreSQL, one after another and from 50 writers at once.

    python benchmarks/orm.py [--quick]

Wall times in milliseconds. PostgreSQL is the wheel's server without fsync, so its commits cost less than on a disk that
remembers; SQLite commits with `synchronous=FULL` on the disk of the working folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import postgres_running

from fullon_master_api.apis.orm import Orm, open_orm
from fullon_master_api.apis.orm.demo import Demo, install_demo
from fullon_master_api.logs import configure_logs
from fullon_master_api.model import Principal, Role, Scope

BOTS = 50
ORDERS_OF_A_BOT = 20
Work = Callable[[], Awaitable[object]]


async def timed(work: Work, times: int) -> list[float]:
    """Milliseconds of each call, one after another."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        await work()
        found.append((time.perf_counter() - begun) * 1e3)
    return found


async def timed_at_once(work: Work, times: int, writers: int) -> list[float]:
    """Milliseconds of each call, as long as so many are under way all the time."""
    found: list[float] = []

    async def write() -> None:
        found.extend(await timed(work, times // writers))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(writers):
            tasks.create_task(write())
    return found


def show(name: str, found: list[float]) -> None:
    p99 = quantiles(found, n=100)[98]
    print(f"  {name:<58} n={len(found):<5} median={median(found):8.2f} ms  p99={p99:8.2f} ms")


async def grown(orm: Orm) -> tuple[Demo, Principal, list[int]]:
    """The demo, and 50 bots of its trader with 20 orders each."""
    demo = await install_demo(orm, password_hash="x")
    uid = demo.trader.uid
    trader = Principal(uid=uid, mail="", role=Role.USER, scopes=frozenset({Scope.READ, Scope.WRITE}))
    bot_ids = [(await orm.bots.add(trader, {"name": f"bot {number}"})).bot_id for number in range(BOTS)]
    for bot_id in bot_ids:
        for _ in range(ORDERS_OF_A_BOT):
            asked = {"bot_id": bot_id, "symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}
            await orm.orders.place(trader, asked, send=False)
    return demo, trader, bot_ids


async def measure(url: str, times: int) -> None:
    async with open_orm(url) as orm:
        demo, trader, bot_ids = await grown(orm)
        order_ids = [row.order_id for row in (await orm.orders.page(trader, first=500)).rows]
        market = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}

        async def page_of_bots() -> None:
            """Eight statements: what a nested query of 50 bots asks for."""
            bots = (await orm.bots.page(trader, first=BOTS)).rows
            ids = [bot.bot_id for bot in bots]
            strategies = await orm.strategies.of_bots(ids, trader)
            await orm.feeds.of_strategies([row.str_id for few in strategies for row in few], trader)
            await orm.orders.of_bots(ids, trader, first=10)
            await orm.trades.of_bots(ids, trader, first=10)
            await orm.dry_trades.of_bots(ids, trader, first=10)
            await orm.symbols.by_names([("kraken", "BTC/USD"), ("kraken", "ETH/USD")])
            await orm.accounts.of_users([trader.uid], trader)

        show("users.principal_facts, of 1", await timed(lambda: orm.users.principal_facts([trader.uid]), times))
        show("orders.get_many, 500 keys", await timed(lambda: orm.orders.get_many(order_ids, trader), times))
        show(
            "orders.of_bots, 10 newest of each of 50 bots",
            await timed(lambda: orm.orders.of_bots(bot_ids, trader, first=10), times),
        )
        show("a page of 50 bots with all that hangs on them", await timed(page_of_bots, times))
        show("statistics.of_bots, 50 bots", await timed(lambda: orm.statistics.of_bots(bot_ids, trader), times))
        show("orders.place with event and command", await timed(lambda: orm.orders.place(trader, market), times))
        place: Work = lambda: orm.orders.place(trader, market)  # noqa: E731
        show("orders.place, 50 at once", await timed_at_once(place, times * 2, 50))
        ex_id = demo.trader_account.ex_id
        show("events.append", await timed(lambda: orm.events.append(f"account:{ex_id}", "user", demo.trader), times))


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true")
    times = 100 if arguments.parse_args().quick else 500
    configure_logs(level="WARNING", json=False, colors=False)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit}")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        print("SQLite")
        await measure(f"sqlite+aiosqlite:///{folder}/orm.db", times)
    print("PostgreSQL")
    with postgres_running() as url:
        await measure(url, times)


if __name__ == "__main__":
    asyncio.run(main())
