"""Scaled out: two serving processes and a worker of their own share a PostgreSQL and a Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import ANSWER_S, data_of, socket_to
from tests.e2e.scaled_out import command, prepare, token
from tests.servers import postgres_server, postgres_url, redis_server, redis_url

__all__ = ["postgres_server", "postgres_url", "redis_server", "redis_url"]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_servers_and_a_worker_are_one_platform(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    env = await prepare(postgres_url, redis_url, LEASE_TTL_S="3", DB_POOL_SIZE="5")
    with command("paper", env=env, log=tmp_path / "paper.log") as (_, paper):
        env["EXCHANGE_URLS"] = json.dumps({"kraken": paper})
        with (
            command("worker", env=env, log=tmp_path / "worker.log"),
            command("serve", "--port", "0", "--workers", "2", env=env, log=tmp_path / "serve.log") as (serving, url),
        ):
            await asyncio.to_thread(look, url)
            await watch(url)
            await disconnect(url)
            children = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(serving.pid)], capture_output=True, text=True, check=True
            )
            for child in children.stdout.split()[-1:]:
                os.kill(int(child), signal.SIGKILL)
            until = time.monotonic() + 60
            while "worker.died" not in (tmp_path / "serve.log").read_text():
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
            await watch(url)


def look(url: str) -> None:
    """Every process shows the same services, run by the one worker."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token(url)}"}, timeout=ANSWER_S) as admin:
        until = time.monotonic() + 60
        while True:
            ticker = data_of(admin, "{ service(name: TICKER) { state owner } }")["service"]
            if ticker["state"] == "RUNNING":
                break
            assert time.monotonic() < until, ticker
            time.sleep(0.2)


async def watch(url: str) -> None:
    """Whichever process takes the socket, ticks arrive."""
    bearer = await asyncio.to_thread(token, url)
    query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD", snapshot: false) { bid } }'
    for _ in range(4):
        async with socket_to(url) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"token": bearer}}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
            async with asyncio.timeout(ANSWER_S):
                while json.loads(await socket.recv())["type"] != "next":
                    pass


async def disconnect(url: str) -> None:
    """An admin's word closes every socket of a user, on whichever process it is and whichever was told."""
    bearer = await asyncio.to_thread(token, url, "trader@fullon")
    async with AsyncExitStack() as stack:
        sockets = []
        for _ in range(8):
            sockets.append(await stack.enter_async_context(socket_to(url)))
            await sockets[-1].send(json.dumps({"type": "connection_init", "payload": {"token": bearer}}))
            assert json.loads(await sockets[-1].recv())["type"] == "connection_ack"
        await sockets[0].send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "{ me { id } }"}}))
        uid = json.loads(await sockets[0].recv())["payload"]["data"]["me"]["id"]
        bearer_of_admin = await asyncio.to_thread(token, url)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {bearer_of_admin}"}, timeout=ANSWER_S) as admin:
            change = "mutation($id: ID!) { disconnectUser(input: { id: $id }) { userErrors { code } } }"
            told = await asyncio.to_thread(data_of, admin, change, id=uid)
        assert told["disconnectUser"]["userErrors"] == []
        async with asyncio.timeout(ANSWER_S):
            for socket in sockets:
                await socket.wait_closed()
        assert {socket.close_code for socket in sockets} == {4403}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [({}, "REDIS_URL"), ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "DATABASE_URL")],
)
def test_several_workers_without_their_servers_are_refused_with_the_reason(
    changed: dict[str, str], missing: str, tmp_path: Path
) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
    env |= {"JWT_SECRET_KEY": "x" * 48, "DATA_DIR": str(tmp_path)} | changed

    done = subprocess.run(
        [sys.executable, "-m", "fullon_master_api", "serve", "--workers", "2", "--port", "0"],
        env=env,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )

    assert done.returncode != 0
    assert missing in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(None, "is not set"), ("dev-secret-key-change-in-production", "published default"), ("short", "at least 32")],
)
def test_a_server_with_a_weak_secret_does_not_start(secret: str | None, reason: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "JWT_SECRET_KEY"} | {"DATA_DIR": str(tmp_path)}
    if secret is not None:
        env["JWT_SECRET_KEY"] = secret

    done = subprocess.run(
        [sys.executable, "-m", "fullon_master_api", "serve", "--port", "0"],
        env=env,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )

    assert done.returncode != 0
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []
