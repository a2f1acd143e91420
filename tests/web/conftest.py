"""A running demo and a real browser for the tests of the pages; without Debian's Chromium they are skipped and say so."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.e2e.running import PATIENT, lines_of

AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WAIT_MS: Final = 60_000
READY_S: Final = 200.0
BROWSER: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# A browser without them asks its maker's hosts at every start; as root it cannot build its sandbox.
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",  # A container's /dev/shm may be too small for a page.
]
expect.set_options(timeout=WAIT_MS)  # Milliseconds a page may take to show what is asked: a limit, not a wait.


def start_demo(folder: Path, port: int = 0, *words: str, **settings: str) -> tuple[subprocess.Popen[str], str]:
    """A demo over this folder, with these options and variables in its environment, and its URL, once it is ready."""
    command = [sys.executable, "-m", "fullon_master_api", "demo", "--port", str(port), "--data-dir", str(folder), *words]
    log = (folder / "demo.log").open("a", encoding="utf-8")
    with log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=PATIENT | os.environ | settings)
    lines = lines_of(server)
    try:
        while line := lines.get(timeout=READY_S):
            if line.startswith("Ready: "):
                return server, line.removeprefix("Ready: ").strip()
    except queue.Empty:
        server.kill()
    raise RuntimeError(f"the demo ended with {server.wait()}: {(folder / 'demo.log').read_text(encoding='utf-8')[-2000:]}")


def stop_demo(server: subprocess.Popen[str]) -> int:
    """Tell it to end, and its exit code."""
    server.terminate()
    try:
        return server.wait(timeout=2 * WAIT_MS / 1000)
    finally:
        if server.returncode is None:
            server.kill()
            server.wait()


# Of a module, not of the session: as long as Playwright is open, this thread counts as one with a running event loop, and the
# asyncio tests of every later module would fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install Debian's `chromium` to run the browser tests")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS, timeout=3 * WAIT_MS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def demo_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a demo that the browser tests of a module share; each leaves the services as it found them."""
    server, url = start_demo(tmp_path_factory.mktemp("demo"))
    yield url
    assert stop_demo(server) == 0


class Watched:
    """Pages of one visitor, and what must never happen on them: a request to another host, a broken policy, a script error."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.faults: list[str] = []
        context.on("request", lambda request: self._check(request.url))

    def _check(self, address: str) -> None:
        socket = self.url.replace("http", "ws", 1)
        if not address.startswith((f"{self.url}/", f"{socket}/", f"blob:{self.url}/", "data:")):
            self.faults.append(f"request to {address}")

    def _console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            self.faults.append(message.text)

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(self.url + path)
        return page


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context in which every wait has the tests' own limit."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    return context


@contextmanager
def visiting(browser: Browser, url: str) -> Iterator[Watched]:
    """A visitor of that server, who must have met no fault when they leave."""
    context = new_context(browser, viewport={"width": 1400, "height": 860})
    watched = Watched(context, url)
    yield watched
    context.close()
    assert watched.faults == []


@pytest.fixture
def visitor(browser: Browser, demo_url: str) -> Iterator[Watched]:
    with visiting(browser, demo_url) as watched:
        yield watched


def serious_faults(page: Page) -> list[str]:
    """What axe calls serious or critical on the page as it is now, with the first place of each."""
    page.evaluate(AXE)
    result = page.evaluate("() => axe.run()")
    return [
        f"{violation['id']}: {violation['nodes'][0]['html']}"
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
