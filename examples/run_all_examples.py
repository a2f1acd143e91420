"""Run every example, each with a server of its own, and end with a failure if one of them failed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 120.0


def main() -> int:
    failed = []
    for example in sorted(HERE.glob("example_*.py")):
        began = time.monotonic()
        print(f"== {example.stem}", flush=True)
        code = subprocess.run([sys.executable, str(example), *sys.argv[1:]], timeout=LIMIT_S, check=False).returncode
        print(f"   {'passed' if code == 0 else f'failed with {code}'} after {time.monotonic() - began:.1f} s", flush=True)
        if code != 0:
            failed.append(example.stem)
    print(f"{len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
