"""A platform of several processes: its stores filled as the demo's, its settings, and its commands."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fullon_master_api.apis.orm import Secrets, open_orm
from fullon_master_api.apis.orm.demo import install_demo
from fullon_master_api.auth.passwords import open_passwords
from tests.e2e.running import ANSWER_S, STOP_S, lines_of

READY_S = 600.0


@contextmanager
def command(*words: str, env: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `fullon` command once it printed its ready line; what stood behind it. It must end with 0."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "fullon_master_api", *words], stdout=subprocess.PIPE, stderr=errors, text=True, env=env
        )
    lines = lines_of(process)
    try:
        line = lines.get(timeout=READY_S)
        assert line.startswith("Ready: "), log.read_text()[-3000:]
        yield process, line.removeprefix("Ready: ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=STOP_S)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
    assert code == 0, log.read_text()[-3000:]


async def prepare(database: str, redis: str, **settings: str) -> dict[str, str]:
    """Fill the database with the demo's people; the environment of every process of the platform."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    paper_key, paper_secret = secrets.token_hex(16), base64.b64encode(secrets.token_bytes(64)).decode()
    async with open_orm(database, credentials_key=key) as orm, open_passwords() as passwords:
        await install_demo(
            orm,
            password_hash=await passwords.hash("password"),
            trader_secrets=Secrets(key=paper_key, secret=paper_secret),
        )
    return os.environ | {
        "DATABASE_URL": database,
        "OHLCV_DATABASE_URL": database,
        "REDIS_URL": redis,
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "CREDENTIALS_KEY": key,
        "PAPER_KEY": paper_key,
        "PAPER_SECRET": paper_secret,
        **settings,
    }


def token(url: str, mail: str = "admin@fullon") -> str:
    answer = httpx.post(f"{url}/api/v1/auth/login", data={"username": mail, "password": "password"}, timeout=ANSWER_S)
    return str(answer.json()["access_token"])
