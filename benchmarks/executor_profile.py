"""Where the CPU time of a request goes, by room and by library: what `executor.py` shows beside a ratio that is below its aim.

A server of the benchmark is started once more with `PROFILE_TO` in its environment, and loaded with one query under Python's own
profiler. That makes Python code dearer than C code, so the shares say where to look and not what would be won.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROFILE_TO = "BENCHMARK_PROFILE_TO"
OURS = "fullon_master_api"
SHOWN_MIN = 0.01
LOOP = "event loop and kernel"

Function = tuple[str, int, str]


@contextmanager
def profiled() -> Iterator[None]:
    """In a server: what its event loop does meanwhile is profiled, if somebody asked for it."""
    target = os.environ.get(PROFILE_TO)
    if not target:
        yield
        return
    profile, began_s = cProfile.Profile(time.thread_time), time.thread_time()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(target)
        Path(f"{target}.cpu").write_text(str(time.thread_time() - began_s), encoding="ascii")


def room_of(path: str) -> str:
    """`executor`, `apis.orm`, `transport` for ours, the package for a library, empty for what C does for its caller."""
    parts = Path(path).parts
    if OURS in parts:
        below = parts[parts.index(OURS) + 1 : -1]
        return ".".join(below[:2]) or OURS
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    if path.startswith("<level "):  # What the executor generates.
        return "executor"
    return "" if path == "~" else "standard library"


def shares_of(target: Path) -> dict[str, float]:
    """Share of the CPU time of each room and library; what C functions take counts for those who call them."""
    spent: defaultdict[str, float] = defaultdict(float)
    stats: dict[Function, tuple[int, int, float, float, dict[Function, tuple[int, int, float, float]]]]
    stats = pstats.Stats(str(target)).stats  # type: ignore[attr-defined]
    for (path, _line, _name), (_calls, _primitive, own_s, _whole, callers) in stats.items():
        room = room_of(path)
        if room:
            spent[room] += own_s
            continue
        for (caller, _, _), (_, _, part_s, _) in callers.items():
            spent[room_of(caller) or LOOP] += part_s
    whole_s = max(float(Path(f"{target}.cpu").read_text(encoding="ascii")), 1e-9)
    spent[LOOP] = max(0.0, whole_s - sum(taken for room, taken in spent.items() if room != LOOP))
    return {room: round(taken / whole_s, 3) for room, taken in spent.items() if taken / whole_s >= SHOWN_MIN}


def told(shares: dict[str, float]) -> str:
    """The shares in one line, the largest first."""
    return ", ".join(f"{room} {share:.0%}" for room, share in sorted(shares.items(), key=lambda pair: -pair[1]))


@contextmanager
def profiling(target: Path) -> Iterator[None]:
    """Servers started meanwhile are profiled."""
    os.environ[PROFILE_TO] = str(target)
    try:
        yield
    finally:
        del os.environ[PROFILE_TO]
