"""ccxt is imported before the first service needs it, and nothing waits for the import: neither the loop nor a stop."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN_S = 200.0
SCRIPT = """
import asyncio, sys, threading
from pathlib import Path
from fullon_master_api.services.wiring import build_supervisor
from tests.services.stage import open_platform

OPENING = "fullon_master_api.exchanges.opening"

async def main(folder, waits):
    async with open_platform(folder) as resources, asyncio.TaskGroup() as tasks:
        supervisor = build_supervisor(resources)
        assert "ccxt" not in sys.modules
        tasks.create_task(supervisor.run())
        turns = 0
        while OPENING not in sys.modules and "exchange-library" not in {thread.name for thread in threading.enumerate()}:
            await asyncio.sleep(0.001)
        while waits and OPENING not in sys.modules or not supervisor.held:
            await asyncio.sleep(0.001)
            turns += 1
        supervisor.stop()
    print("turns", turns)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "loaded"))
"""


@pytest.mark.parametrize("when", ["loaded", "loading"])
async def test_a_supervisor_imports_the_exchange_library_beside_its_loop(tmp_path: Path, when: str) -> None:
    """Nobody starts a service; the loop goes on turning while it is imported, and a stop in the middle ends the process well."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        str(tmp_path),
        when,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 0, said.decode()
    turns = int(said.decode().rpartition("turns ")[2])
    assert when == "loading" or turns >= 10
