"""Every example runs, and fails when what it shows does not hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import PATIENT, DemoProcess

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("example_*.py"))


def run_example(path: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FULLON_URL": url}
    command = [sys.executable, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


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
        f"example_{name}"
        for name in (
            *("health_check", "start_server", "jwt_login", "authenticated_request", "swagger_docs", "orm_routes"),
            *("ohlcv_routes", "cache_websocket", "graphql_nested", "graphql_subscriptions", "graphql_services"),
            *("api_key_auth", "bot_management", "order_management", "trade_analytics", "strategy_management"),
            *("symbol_operations", "exchange_catalog", "dashboard_views", "service_control", "resume"),
        )
    }


@pytest.mark.slow
@pytest.mark.timeout(1500)  # Some twenty servers are started, two at a time.
def test_all_examples_run_with_servers_of_their_own_and_leave_nothing_behind(tmp_path: Path) -> None:
    environment = (
        {name: value for name, value in os.environ.items() if name != "FULLON_URL"} | PATIENT | {"TMPDIR": str(tmp_path)}
    )
    command = [sys.executable, str(EXAMPLES[0].parent / "run_all_examples.py")]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1400, check=False)

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert f"{len(EXAMPLES)} passed, 0 failed" in done.stdout
    assert list(tmp_path.iterdir()) == []
