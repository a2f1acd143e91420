"""A running demo for the tests from end to end: one process for each worker, on a free port, with data that goes away."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.running import ANSWER_S, DemoProcess


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    process = DemoProcess.start(tmp_path_factory.mktemp("demo"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def admin(demo: DemoProcess) -> Iterator[httpx.Client]:
    with demo.client("admin@fullon") as client:
        yield client


@pytest.fixture
def trader(demo: DemoProcess) -> Iterator[httpx.Client]:
    with demo.client("trader@fullon") as client:
        yield client


@pytest.fixture
def stranger(demo: DemoProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=ANSWER_S) as client:
        yield client
