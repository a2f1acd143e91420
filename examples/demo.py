"""A demo server for one example, its own or the one at `--url`, and signed-in clients of it."""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from gql import Client
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

ADMIN = ("admin@fullon", "password")
TRADER = ("trader@fullon", "password")
READY_S = 150.0
STOP_S = 30.0


@contextmanager
def demo_server(description: str) -> Iterator[str]:
    """Base URL of a server that answers `GET /readyz` with 200: the one at `--url` or in FULLON_URL, else an own one.

    An own one takes a free port; its data goes away with it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", help="use this running server, as http://127.0.0.1:8000, instead of starting one")
    url = parser.parse_args().url or os.environ.get("FULLON_URL")
    if url:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory(prefix="fullon-example-") as folder:
        command = [sys.executable, "-m", "fullon_master_api", "demo", "--port", "0", "--data-dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield wait_for_ready(server)
        finally:
            server.terminate()
            code = server.wait(timeout=STOP_S)
            if server.stdout is not None:
                server.stdout.close()
        assert code == 0, f"the demo server ended with {code}, must be 0"


def wait_for_ready(server: subprocess.Popen[str]) -> str:
    """The URL of the line `Ready: http://…`, which a demo prints when it is ready and not before."""
    lines: queue.Queue[str] = queue.Queue()
    output = server.stdout
    assert output is not None

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    while True:
        line = lines.get(timeout=READY_S)
        assert line, f"the demo server ended with {server.wait()} before it was ready"
        if line.startswith("Ready: "):
            return line.removeprefix("Ready: ").strip()


def log_in(url: str, who: tuple[str, str] = ADMIN) -> str:
    """An access token."""
    mail, password = who
    answer = httpx.post(f"{url}/api/v1/auth/login", data={"username": mail, "password": password}, timeout=30)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert isinstance(token, str)
    return token


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def rest_client(url: str, who: tuple[str, str] = ADMIN) -> httpx.Client:
    """Somebody signed in, asking below `/api/v1`."""
    return httpx.Client(base_url=f"{url}/api/v1", headers=bearer(log_in(url, who)), timeout=30)


def graphql_client(url: str, who: tuple[str, str] = ADMIN) -> Client:
    """Somebody signed in, asking GraphQL over HTTP."""
    transport = HTTPXAsyncTransport(url=f"{url}/graphql", headers=bearer(log_in(url, who)), timeout=30)
    return Client(transport=transport, execute_timeout=30)


def graphql_socket(url: str, who: tuple[str, str] = ADMIN) -> Client:
    """Somebody signed in, asking GraphQL over a WebSocket, which carries subscriptions too."""
    hello = {"authorization": f"Bearer {log_in(url, who)}"}
    transport = WebsocketsTransport(
        url.replace("http", "ws", 1) + "/graphql", init_payload=hello, connect_timeout=30, ack_timeout=30
    )
    return Client(transport=transport, execute_timeout=30)


def answered(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that must have this status."""
    assert answer.status_code == status, (answer.request.method, str(answer.request.url), answer.status_code, answer.text)
    return answer.json()
