"""Seconds from `git clone` to the first query, subscription and service mutation of the README, as a transcript.

    python3 benchmarks/ten_minutes.py [--from URL-or-folder] [--keep-caches]

It runs the README's own commands and operations, read out of the clone, in an empty folder. Package caches are empty folders
too, so everything is fetched anew; `--keep-caches` uses those of the user. Nothing but Python's own library is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
READY_S = 1800.0
ANSWER_S = 60.0
ADMIN = {"mail": "admin@fullon", "password": "password"}
LOGIN = "mutation ($input: LoginInput!) { login(input: $input) { accessToken userErrors { message } } }"
SHOWN_MAX = 110


class Transcript:
    """What was done, when it began and how long it took. Its lines are printed as they come."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def total_s(self) -> float:
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def step(self, command: str) -> Iterator[list[str]]:
        """Gives a list for what there is to show of the answer."""
        began, told = self.total_s, list[str]()
        yield told
        print(f"{began:7.1f} s  $ {command}")
        for line in told:
            print(f"           {line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + '…'}")
        print(f"           ({self.total_s - began:.1f} s)", flush=True)


class Gateway:
    """The server's GraphQL, asked as whoever signed in."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}

    def sign_in(self) -> None:
        token = self.ask(LOGIN, {"input": ADMIN})["login"]["accessToken"]
        self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, operation: str, variables: dict[str, Any] | None = None) -> Any:
        with self._opened(operation, variables or {}, "application/json") as answer:
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]

    def events(self, operation: str, count: int) -> list[Any]:
        """The first events of a subscription, as server-sent events."""
        found: list[Any] = []
        with self._opened(operation, {}, "text/event-stream") as answer:
            for raw in answer:
                line = raw.decode().strip()
                if line.startswith("data:") and line != "data:":
                    found.append(json.loads(line.removeprefix("data:"))["data"])
                    if len(found) == count:
                        return found
        raise AssertionError(f"the stream ended after {len(found)} events")

    def _opened(self, operation: str, variables: dict[str, Any], accept: str) -> Any:
        body = json.dumps({"query": operation, "variables": variables}).encode()
        asked = urllib.request.Request(self._url, body, self._headers | {"Accept": accept})
        return urllib.request.urlopen(asked, timeout=ANSWER_S)


@contextlib.contextmanager
def demo(checkout: Path, command: str, environment: dict[str, str], said: list[str]) -> Iterator[str]:
    """The server of `make run`: its URL as soon as it says that it is ready; it is stopped as by Ctrl-C."""
    log = checkout.parent / "server.log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            command.split(),
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert server.stdout is not None
    late = threading.Timer(READY_S, server.kill)
    late.start()
    try:
        for line in server.stdout:
            said.append(line.rstrip())
            if line.startswith("Ready: "):
                break
        else:
            raise AssertionError(f"{command} ended with {server.wait()}: {log.read_text()[-2000:]}")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield said[-1].removeprefix("Ready: ").split()[0]
    finally:
        late.cancel()
        os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=ANSWER_S)


def priced(gateway: Gateway, query: str) -> Any:
    """The answer as soon as each symbol has a ticker: the services begin when the server is ready."""
    until = time.monotonic() + ANSWER_S
    while True:
        data = gateway.ask(query)
        if all(symbol["ticker"] for symbol in data["symbols"]["nodes"]):
            return data
        assert time.monotonic() < until, data
        time.sleep(0.2)


def operations(readme: str) -> list[str]:
    return re.findall(r"```graphql\n(.*?)```", readme, re.DOTALL)


def commands(readme: str) -> list[str]:
    """Each line of the fenced shell blocks, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]


def walk(source: str, folder: Path, environment: dict[str, str]) -> float:
    """The whole path; seconds from the clone to the answer of the mutation."""
    transcript = Transcript()
    checkout = folder / "fullon-master-api"
    with transcript.step(f"git clone … {checkout.name}"):
        subprocess.run(["git", "clone", "--quiet", source, str(checkout)], check=True)
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    query, subscription, mutation = operations(readme)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment["PORT"] = str(free.getsockname()[1])
    with contextlib.ExitStack() as running:
        with transcript.step("make run") as said:
            url = running.enter_context(demo(checkout, "make run", environment, said))
        gateway = Gateway(url)
        with transcript.step("open /graphql, sign in as admin@fullon") as said:
            page = urllib.request.Request(f"{url}/graphql", headers={"Accept": "text/html"})
            with urllib.request.urlopen(page, timeout=ANSWER_S) as answer:
                said.append(f"{answer.status} {answer.headers['Content-Type']}")
            gateway.sign_in()
        with transcript.step("first query, again until the market has told its prices") as said:
            said.append(json.dumps(priced(gateway, query)))
        with transcript.step("first subscription, two ticks") as said:
            said += [json.dumps(event) for event in gateway.events(subscription, 2)]
        with transcript.step("first service mutation") as said:
            said.append(json.dumps(gateway.ask(mutation)))
            whole = transcript.total_s
        gateway.ask(mutation.replace("stopService", "startService"))
        example = next(line for line in commands(readme) if "example_graphql_subscriptions.py" in line)
        with transcript.step(example) as said:
            words = example.replace("http://127.0.0.1:8000", url).split()
            done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
            said += done.stdout.splitlines()[-2:]
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(HERE.parent), help="what is cloned; this checkout by default")
    parser.add_argument("--keep-caches", action="store_true", help="use the package caches of this user")
    given = parser.parse_args()
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    print(f"{machine}, {commit.stdout.strip()}, package caches {'kept' if given.keep_caches else 'empty'}")
    with tempfile.TemporaryDirectory(prefix="fullon-ten-minutes-") as temporary:
        folder = Path(temporary)
        environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "DATA_DIR")}
        if not given.keep_caches:
            environment |= {name: str(folder / name) for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR", "npm_config_cache")}
        whole_s = walk(given.source, folder, environment)
    print(f"{whole_s:.0f} s from the clone to the first service mutation")


if __name__ == "__main__":
    main()
