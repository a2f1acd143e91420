"""`fullon watch` and `fullon services` against a running demo, as a person and as a script uses them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from fullon_master_api.cli import cli
from tests.e2e.running import DemoProcess, data_of
from tests.servers import free_port

TRADER = "trader@fullon"
ADMIN = "admin@fullon"
PASSWORD = "password"
LINES_MAX = 100_000


def environment(url: str, mail: str) -> dict[str, str]:
    return {"FULLON_URL": url, "FULLON_MAIL": mail, "FULLON_PASSWORD": PASSWORD, "COLUMNS": "120", "TERM": "xterm"}


def fullon(url: str, mail: str, *words: str, **changed: str) -> Result:
    """The command in this process: `exit_code`, `stdout`, `stderr`."""
    return CliRunner(env=environment(url, mail) | {"NO_COLOR": "1"} | changed).invoke(cli, list(words))


@contextmanager
def started(url: str, mail: str, *words: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, ended at the end."""
    command = [sys.executable, "-m", "fullon_master_api", *words]
    with subprocess.Popen(
        command, env=os.environ | environment(url, mail), stdout=stdout, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def read_tick(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = output_of(process).readline()
    assert line, process.stderr.read() if process.stderr else ""
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def read_until(terminal: int, word: bytes, times: int) -> bytes:
    """What is drawn until a word came so many times. OSError once the last writer is gone; the last words where it takes long."""
    shown, until_s = b"", time.monotonic() + 90
    while shown.count(word) < times:
        ready = select.select([terminal], [], [], max(0.0, until_s - time.monotonic()))[0]
        assert ready, shown[-2000:].decode(errors="replace")
        shown += os.read(terminal, 65_536)
    return shown


def test_json_lines_are_ticks_of_the_symbols_that_were_asked(demo: DemoProcess) -> None:
    done = fullon(demo.url, TRADER, "watch", "kraken", "BTC/USD", "ETH/USD", "--json", "--count", "6")

    assert done.exit_code == 0, done.stderr
    ticks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ticks) == 6
    assert {tick["symbol"] for tick in ticks} <= {"BTC/USD", "ETH/USD"}
    for tick in ticks:
        assert tick["exchange"] == "kraken"
        assert float(tick["bid"]) < float(tick["ask"])
        assert tick["gap"] is False
    assert done.stderr == ""


def test_without_a_terminal_the_last_state_is_printed_as_a_table(demo: DemoProcess) -> None:
    done = fullon(demo.url, TRADER, "watch", "kraken", "BTC/USD", "ETH/USD", "--count", "4")

    assert done.exit_code == 0, done.stderr
    for word in ("kraken", "spread", "BTC/USD", "ETH/USD", f"live, {demo.url}"):
        assert word in done.stdout


def test_in_a_terminal_the_table_is_drawn_until_it_is_interrupted(demo: DemoProcess) -> None:
    ours, theirs = pty.openpty()
    with started(demo.url, TRADER, "watch", "kraken", "BTC/USD", stdout=theirs) as process:
        os.close(theirs)
        shown = read_until(ours, b"spread", 5)  # Drawn again and again, over itself.
        process.send_signal(signal.SIGINT)
        with pytest.raises(OSError, match="Input/output error"):  # How Linux ends a terminal whose last writer is gone.
            read_until(ours, b"nothing of this kind", 1)
        _, errors = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 130
    assert b"BTC/USD" in shown
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_ends_the_command_quietly(demo: DemoProcess) -> None:
    with started(demo.url, TRADER, "watch", "kraken", "BTC/USD", "--json") as process:
        read_tick(process)
        output_of(process).close()
        process.wait(timeout=60)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_closed_sockets_are_opened_again_with_a_new_login(demo: DemoProcess, admin: httpx.Client) -> None:
    user = data_of(admin, "{ users(first: 50) { nodes { id mail } } }")["users"]["nodes"]
    trader = next(row["id"] for row in user if row["mail"] == TRADER)
    with started(demo.url, TRADER, "watch", "kraken", "BTC/USD", "--json") as process:
        before = read_tick(process)
        closing = "mutation($id: ID!) { disconnectUser(input: { id: $id }) { userErrors { code } } }"
        assert data_of(admin, closing, id=trader)["disconnectUser"]["userErrors"] == []
        assert process.stderr is not None
        assert process.stderr.readline().startswith("lost: UNAUTHENTICATED")
        for _ in range(LINES_MAX):
            after = read_tick(process)
            if int(after["sequence"]) > int(before["sequence"]):
                break


@pytest.mark.slow
def test_watching_goes_on_after_the_server_came_back(tmp_path: Path) -> None:
    port = str(free_port())
    first = DemoProcess.start(tmp_path, "--port", port)
    with started(first.url, TRADER, "watch", "kraken", "BTC/USD", "--json") as process:
        read_tick(process)
        assert first.stop() == 0
        assert process.stderr is not None
        assert process.stderr.readline().startswith("lost: ")
        second = DemoProcess.start(tmp_path, "--port", port)
        try:
            returned = datetime.now(UTC).isoformat()
            for _ in range(LINES_MAX):
                if read_tick(process)["updatedAt"] > returned:
                    break
        finally:
            assert second.stop() == 0


def test_services_are_listed_stopped_and_started(demo: DemoProcess) -> None:
    listed = fullon(demo.url, ADMIN, "services")
    assert listed.exit_code == 0, listed.stderr
    for name in ("ticker", "ohlcv", "account", "health_monitor"):
        assert name in listed.stdout

    stopped = fullon(demo.url, ADMIN, "services", "stop", "ohlcv", "--json")
    assert [(row["name"], row["state"]) for row in json.loads(stopped.stdout)] == [("OHLCV", "STOPPED")]
    assert "STOPPED" in fullon(demo.url, ADMIN, "services", "list", "ohlcv").stdout
    started = fullon(demo.url, ADMIN, "services", "start", "ohlcv", "--json")
    assert [(row["name"], row["state"]) for row in json.loads(started.stdout)] == [("OHLCV", "RUNNING")]
    again = fullon(demo.url, ADMIN, "services", "restart", "ohlcv")
    assert (again.exit_code, "RUNNING" in again.stdout) == (0, True)


@pytest.mark.parametrize(
    ("mail", "words", "said"),
    [
        (TRADER, ("services", "stop", "ticker"), "FORBIDDEN"),
        (TRADER, ("watch", "kraken", "NOT/THERE"), "NOT_FOUND"),
        (TRADER, ("watch", "kraken", "BTC/USD", "--password", "wrong"), "UNAUTHENTICATED"),
        (TRADER, ("watch", "kraken", "BTC/USD", "--token", "wrong"), "UNAUTHENTICATED"),
        (TRADER, ("watch", "kraken", "BTC/USD", "--url", "http://127.0.0.1:9"), "no GraphQL at"),
        (TRADER, ("services", "--url", "http://127.0.0.1:9"), "no GraphQL at"),
        ("", ("watch", "kraken", "BTC/USD"), "Say who asks: --mail, --token or --api-key"),
    ],
)
def test_what_cannot_be_cured_ends_the_command_with_its_reason(
    demo: DemoProcess, mail: str, words: tuple[str, ...], said: str
) -> None:
    done = fullon(demo.url, mail, *words)

    assert done.exit_code == 1
    assert said in done.stderr
    assert "wrong" not in done.stderr


def test_a_change_needs_the_name_of_a_service(demo: DemoProcess) -> None:
    done = fullon(demo.url, ADMIN, "services", "start")

    assert done.exit_code == 2
    assert "ticker" in done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fullon services st", {"start", "stop"}),
        ("fullon services stop t", {"ticker"}),
        ("fullon watch kraken ETH", {"ETH/USD"}),
    ],
)
def test_a_shell_completes_actions_services_and_symbols(demo: DemoProcess, words: str, offered: set[str]) -> None:
    asked = {"_FULLON_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [Path(sys.executable).with_name("fullon")],
        env=os.environ | environment(demo.url, TRADER) | asked,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert set(done.stdout.split()) == offered, done.stderr
