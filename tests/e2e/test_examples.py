"""Every example runs, and fails when what it shows does not hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import DemoProcess

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("example_*.py"))


def run_example(path: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FULLON_URL": url}
    command = [sys.executable, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_shows_what_it_says(path: Path, demo: DemoProcess) -> None:
    done = run_example(path, demo.url)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.strip()


def test_an_example_fails_where_there_is_no_server() -> None:
    done = run_example(EXAMPLES[0].parent / "example_health_check.py", "http://127.0.0.1:9")

    assert done.returncode != 0


def test_the_original_eight_and_ours_are_there() -> None:
    names = {path.stem for path in EXAMPLES}

    assert names >= {
        "example_health_check",
        "example_start_server",
        "example_jwt_login",
        "example_authenticated_request",
        "example_swagger_docs",
        "example_orm_routes",
        "example_ohlcv_routes",
        "example_cache_websocket",
        "example_graphql_nested",
        "example_watch_ticker",
        "example_dry_run_order",
        "example_graphql_services",
    }
