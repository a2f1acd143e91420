"""SIGTERM: sockets are told, services stop, leases are free, the exit code is 0, within ten seconds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from websockets.exceptions import ConnectionClosedError

from tests.e2e.running import DemoProcess, socket_to
from tests.lived import lived


async def test_sigterm_drains_the_sockets_and_releases_the_leases(tmp_path: Path) -> None:
    demo = await asyncio.to_thread(DemoProcess.start, tmp_path)
    token = await asyncio.to_thread(demo.token, "trader@fullon")
    socket = await socket_to(demo.url)
    await socket.send(json.dumps({"type": "connection_init", "payload": {"token": token}}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last } }'
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
    while (kind := json.loads(await socket.recv())["type"]) == "ping":  # The server's heartbeat may come first.
        await socket.send(json.dumps({"type": "pong"}))
    assert kind == "next"

    told = []
    async with lived() as clock:
        stopping = asyncio.create_task(asyncio.to_thread(demo.stop))
        with suppress(ConnectionClosedError):  # How a close that is not code 1000 arrives; the code is looked at below.
            async for message in socket:
                told.append(json.loads(message))  # noqa: PERF401  a comprehension would lose them when the close arrives
        assert await stopping == 0
        assert clock.seconds < 10

    assert socket.close_code in (1001, 1012)
    errors = [message for message in told if message["type"] == "error"]
    assert [error["payload"][0]["extensions"]["code"] for error in errors] == ["SERVER_SHUTDOWN"]
    assert "Traceback" not in demo.log.read_text()
    with sqlite3.connect(tmp_path / "data" / "fullon.db") as store:
        assert store.execute("SELECT count(*) FROM leases WHERE owner IS NOT NULL AND owner != ''").fetchone() == (0,)


async def test_a_port_that_is_taken_is_a_clear_error(demo: DemoProcess, tmp_path: Path) -> None:
    port = demo.url.rsplit(":", 1)[1]

    second = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fullon_master_api",
        "demo",
        "--port",
        port,
        "--data-dir",
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await second.communicate()

    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in errors.decode()
    assert "Traceback" not in errors.decode()
