"""The clients that people use, from npm, against a running server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.npm import NODE, install_program
from tests.transport.stage import Stage, open_stage

HERE = Path(__file__).parent / "clients"


async def publish_for_ever(stage: Stage) -> None:
    number = 0
    while True:
        number += 1
        await stage.publish("BTC/USD", str(number))
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_every_client_queries_and_subscribes_and_the_audits_pass(tmp_path: Path) -> None:
    await install_program(HERE, tmp_path)
    async with open_stage() as stage, asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(publish_for_ever(stage))
        process = await asyncio.create_subprocess_exec(
            str(NODE), "clients.mjs", stage.url, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await asyncio.wait_for(process.communicate(), 250)
        publishing.cancel()
    lines = told.decode().splitlines()
    assert process.returncode == 0, "\n".join(lines)
    assert len(lines) == 8
