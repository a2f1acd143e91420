"""Run every example, each with a server of its own, and end with a failure if one of them failed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 200.0


def run(example: Path, options: list[str]) -> tuple[bool, str]:
    """(whether it passed, what it printed and how long it took)."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(example), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"== {example.stem}\n   failed: not done after {LIMIT_S:.0f} s"
    told = "passed" if done.returncode == 0 else f"failed with {done.returncode}"
    return done.returncode == 0, f"== {example.stem}\n{done.stdout}   {told} after {time.monotonic() - began:.1f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 1), help="how many examples run at once")
    parser.add_argument("--url", help="use this running server for all, as http://127.0.0.1:8000, one example after the other")
    given = parser.parse_args()
    options = ["--url", given.url] if given.url else []
    examples = sorted(HERE.glob("example_*.py"))
    failed: list[str] = []
    began = time.monotonic()
    with ThreadPoolExecutor(1 if given.url else given.jobs) as pool:
        for example, (passed, told) in zip(examples, pool.map(lambda path: run(path, options), examples), strict=True):
            print(told, flush=True)
            if not passed:
                failed.append(example.stem)
    names = f": {', '.join(failed)}" if failed else ""
    print(f"{len(examples) - len(failed)} passed, {len(failed)} failed{names}, after {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
