"""Starts and stops `fullon demo` as a person would, as a process."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

READY_S = 200.0
STOP_S = 120.0
ANSWER_S = 60.0
PROTOCOL = Subprotocol("graphql-transport-ws")
PATIENT = {"SERVICE_WAIT_S": "25"}
"""A mutation waits for a service so long, which is less than an operation may take."""


def lines_of(process: subprocess.Popen[str]) -> queue.Queue[str]:
    """What a process prints, line by line as it comes; an empty one when it ends."""
    output, lines = process.stdout, queue.Queue[str]()
    assert output is not None

    def read() -> None:
        with output:
            for line in output:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return lines


class DemoProcess:
    """A demo that printed its ready line; `url` is where it answers, `log` what it wrote."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self._tokens: dict[str, str] = {}

    @classmethod
    def start(cls, folder: Path, *options: str) -> DemoProcess:
        log = folder / "demo.log"
        command = [sys.executable, "-m", "fullon_master_api", "demo", "--port", "0", "--data-dir", str(folder / "data"), *options]
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=PATIENT | os.environ)
        lines = lines_of(process)
        while True:
            try:
                line = lines.get(timeout=READY_S)
            except queue.Empty:
                process.kill()
                process.wait()
                raise RuntimeError(f"the demo was not ready after {READY_S:.0f} s: {log.read_text()[-3000:]}") from None
            if not line:
                raise RuntimeError(f"the demo ended with {process.wait()}: {log.read_text()[-3000:]}")
            if line.startswith("Ready: "):
                return cls(process, line.removeprefix("Ready: ").strip(), log)

    def stop(self) -> int:
        """End it as a process manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_S)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                self.process.wait()

    def token(self, mail: str) -> str:
        if mail not in self._tokens:
            answer = httpx.post(
                f"{self.url}/api/v1/auth/login", data={"username": mail, "password": "password"}, timeout=ANSWER_S
            )
            self._tokens[mail] = answer.json()["access_token"]
        return self._tokens[mail]

    def client(self, mail: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=ANSWER_S, headers={"Authorization": f"Bearer {self.token(mail)}"})


def socket_to(url: str) -> connect:
    """A connection to the sockets of GraphQL, to be awaited or entered."""
    return connect(url.replace("http", "ws", 1) + "/graphql", subprotocols=[PROTOCOL], open_timeout=ANSWER_S)


def ask(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    """The whole answer to a GraphQL operation."""
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    found = answer.json()
    assert isinstance(found, dict)
    return found


def data_of(client: httpx.Client, query: str, **variables: Any) -> Any:
    """The data of an operation that must not fail."""
    answer = ask(client, query, **variables)
    assert "errors" not in answer, answer
    return answer["data"]


def codes_of(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]
