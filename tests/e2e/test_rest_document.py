"""The OpenAPI document of the whole gateway against a demo: schemathesis makes requests from it and judges the answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.running import DemoProcess
from tests.schemathesis_command import schemathesis

TIME_S = 600
ENDS_THE_SESSION = "password|logout"


@pytest.mark.slow
@pytest.mark.timeout(TIME_S + 120)
@pytest.mark.parametrize(("who", "phases"), [("trader", "coverage,fuzzing"), ("stranger", "fuzzing")])
def test_no_request_made_from_the_document_gets_an_answer_that_it_does_not_declare(
    who: str, phases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_PER_MINUTE_PER_USER", "REQUESTS_PER_MINUTE_PER_ADDRESS"):
        monkeypatch.setenv(name, "0")
    demo = DemoProcess.start(tmp_path)
    try:
        only = ("--exclude-path-regex", ENDS_THE_SESSION, "--phases", phases, "--max-examples", "5")
        command = schemathesis(demo.url, *only)
        if who == "trader":
            command += ["-H", f"Authorization: Bearer {demo.token('trader@fullon')}"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIME_S, check=False)
    finally:
        assert demo.stop() == 0
    assert run.returncode == 0, run.stdout[-4_000:]
    assert "passed" in run.stdout
