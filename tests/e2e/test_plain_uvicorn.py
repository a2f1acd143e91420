"""`uvicorn fullon_master_api.main:app` serves the same gateway, without our command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from fullon_master_api.auth.jwt import create_access_token
from fullon_master_api.settings import Settings
from tests.servers import free_port

SECRET = "a secret that is long enough to sign with"


def start(folder: Path, port: int, **env: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "fullon_master_api.main:app", "--port", str(port)]
    with (folder / "uvicorn.log").open("w") as log:
        return subprocess.Popen(command, env=os.environ | {"DATA_DIR": str(folder)} | env, stdout=log, stderr=log)


def test_plain_uvicorn_serves_and_stops(tmp_path: Path) -> None:
    port = free_port()
    off = {"SERVICE_AUTO_START_ENABLED": "false", "HEALTH_MONITOR_ENABLED": "false"}
    server = start(tmp_path, port, JWT_SECRET_KEY=SECRET, LOG_FORMAT="json", **off)
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                ready = httpx.get(f"{url}/readyz", timeout=60)
                break
            except httpx.TransportError:
                assert server.poll() is None, (tmp_path / "uvicorn.log").read_text()
                assert time.monotonic() < until
                time.sleep(0.1)
        assert ready.status_code == 200
        root = httpx.get(f"{url}/", headers={"Accept": "application/json"}, timeout=60).json()
        assert root["service"] == "fullon_master_api"
        token = create_access_token(5, settings=Settings(jwt_secret_key=SECRET))
        headers = {"Authorization": f"Bearer {token}"}
        stranger = httpx.post(f"{url}/graphql", json={"query": "{ me { mail } }"}, headers=headers, timeout=60)
        assert stranger.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"  # There is no user 5.
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
    assert code in (0, -signal.SIGTERM)  # uvicorn raises the signal again once it has stopped.
    told = (tmp_path / "uvicorn.log").read_text()
    assert "Traceback" not in told
    ours = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert any(event["event"] == "Application startup complete." for event in ours), told  # By LOG_FORMAT.


def test_plain_uvicorn_does_not_start_with_a_weak_secret_either(tmp_path: Path) -> None:
    server = start(tmp_path, free_port(), JWT_SECRET_KEY="short")

    assert server.wait(timeout=120) != 0
    assert "at least 32" in (tmp_path / "uvicorn.log").read_text()
