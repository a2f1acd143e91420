"""Shell blocks of the documents, run as they stand there: the way without the demo, the secrets, Compose's `.env`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import httpx
import pytest

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.apis.orm.vault import Vault
from fullon_master_api.settings import Settings

ROOT: Final = Path(__file__).parents[2]
READY_S: Final = 300.0
STOP_S: Final = 60.0


def block(name: str, with_text: str) -> str:
    """The one fenced shell block of a document that holds this text."""
    found = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [text for text in found if with_text in text]
    return str(text)


def environment(**more: str) -> dict[str, str]:
    """That of somebody who just logged in: no setting of ours, and the commands of this environment first."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    ours = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PATH": path} | more


@pytest.mark.slow
@pytest.mark.timeout(600)  # Three commands start one after the other, each with all that it imports.
def test_the_readmes_way_without_the_demo_ends_in_a_server_that_knows_the_admin(tmp_path: Path) -> None:
    install, *lines = block("README.md", "fullon migrate up").splitlines()
    assert install == "pip install ."  # What tests/test_deployment.py does, into an environment of its own.
    assert lines[-1] == "fullon serve"
    log = tmp_path / "server.log"
    with log.open("w") as errors:
        shell = subprocess.Popen(
            ["bash", "-euc", "\n".join(lines)],
            cwd=tmp_path,
            env=environment(PORT="0"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    late = threading.Timer(READY_S, shell.kill)
    late.start()
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        with shell.stdin as keyboard:
            keyboard.write("a good password\na good password\n")
        ready = next((line for line in shell.stdout if line.startswith("Ready: ")), None)
        assert ready is not None, log.read_text()[-3000:]
        form = {"username": "admin@fullon", "password": "a good password"}
        answer = httpx.post(f"{ready.split()[1]}/api/v1/auth/login", data=form, timeout=60)
        assert answer.status_code == 200, answer.text
    finally:
        late.cancel()
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(timeout=STOP_S)
        with shell.stdout:
            shell.stdout.read()  # Ends when the server has, which may be after its shell.
    assert "server.stopped" in log.read_text()


def test_the_secrets_that_the_documents_make_are_taken() -> None:
    made = subprocess.run(
        ["bash", "-euc", block("docs/DEPLOYMENT.md", "# CREDENTIALS_KEY")],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    jwt_secret_key, credentials_key = made.stdout.split()

    assert len(jwt_secret_key) >= 48
    vault = Vault(credentials_key)
    key_id, sealed = vault.seal(7, Secrets("key", "secret"))
    assert vault.open(7, key_id, sealed) == Secrets("key", "secret")


def test_the_settings_that_are_written_for_compose_are_all_that_it_asks_for(tmp_path: Path) -> None:
    text = block("docs/DEPLOYMENT.md", "docker compose up --detach --wait")
    subprocess.run(["bash", "-euc", text[: text.index("docker ")]], cwd=tmp_path, env=environment(), check=True, timeout=250)
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text(encoding="utf-8").splitlines())

    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert asked <= written.keys()
    assert all(len(written[name]) >= 40 for name in asked if name != "SITE")
