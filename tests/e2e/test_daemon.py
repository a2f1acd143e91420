"""`fullon serve` under a process manager: exit codes, health, restart; and who is the admin there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port

pytestmark = pytest.mark.slow  # Each starts servers and commands as processes of their own.

WAIT_S = 120.0
PASSWORD = "a password of this test"


class Daemon:
    """What a process manager knows of the server: how to start it, its health, its log, its exit code."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "server.log"
        self.env = os.environ | {
            "DATA_DIR": str(folder / "data"),
            "JWT_SECRET_KEY": "a secret of this test, which is long enough",
            "PORT": self.url.rsplit(":", 1)[1],
            "SERVICE_AUTO_START_ENABLED": "false",
            **settings,
        }

    def fullon(self, *words: str) -> None:
        subprocess.run([sys.executable, "-m", "fullon_master_api", *words], env=self.env, check=True, capture_output=True)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "fullon_master_api", "serve"], env=self.env, stdout=log, stderr=log)

    def wait_healthy(self, server: subprocess.Popen[bytes]) -> httpx.Response:
        end = time.monotonic() + WAIT_S
        while True:
            assert server.poll() is None, self.log.read_text()[-3000:]
            try:
                answer = httpx.get(f"{self.url}/health", timeout=WAIT_S)
            except httpx.ConnectError:
                assert time.monotonic() < end, self.log.read_text()[-3000:]
                time.sleep(0.1)
                continue
            return answer

    def stop(self, server: subprocess.Popen[bytes]) -> int:
        server.terminate()
        try:
            return server.wait(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def test_e19_start_status_logs_restart_and_stop(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    for _round in range(2):
        server = daemon.start()
        try:
            assert daemon.wait_healthy(server).status_code == 200
            second = daemon.start()
            assert second.wait(timeout=WAIT_S) == 1
            assert "cannot listen" in daemon.log.read_text()
            assert httpx.get(f"{daemon.url}/health", timeout=WAIT_S).status_code == 200
        finally:
            code = daemon.stop(server)
        assert code == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{daemon.url}/health", timeout=WAIT_S)
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.parametrize(("admin_mail", "status"), [("root@desk", 200), ("Root@desk", 403)])
def test_t10_the_admin_is_who_has_exactly_the_mail_that_is_set(tmp_path: Path, admin_mail: str, status: int) -> None:
    daemon = Daemon(tmp_path, ADMIN_MAIL=admin_mail)
    for mail in ("root@desk", "admin@fullon"):
        daemon.fullon("user", "add", mail, "--password", PASSWORD)
    server = daemon.start()
    try:
        daemon.wait_healthy(server)
        with httpx.Client(base_url=daemon.url, timeout=WAIT_S) as client:
            found = [client.get("/api/v1/services").status_code]
            for mail in ("root@desk", "admin@fullon"):
                login = client.post("/api/v1/auth/login", data={"username": mail, "password": PASSWORD}).json()
                headers = {"Authorization": f"Bearer {login['access_token']}"}
                found.append(client.get("/api/v1/services", headers=headers).status_code)
    finally:
        code = daemon.stop(server)
    assert (found, code) == ([401, status, 403], 0)
