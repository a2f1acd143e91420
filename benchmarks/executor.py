"""The executor against its peers: text of an operation to bytes of its answer, in process and over HTTP.

    python benchmarks/executor.py [--quick] [--json] [--cases in-process,memory,stores,hostile]

The same rows answer all of them (`executor_data.py`). In process: `strawberry` is Strawberry's own execution with one DataLoader
per field, `strawberry_batched` is Strawberry's own execution of the very schema that the executor runs, `graphql_core` is
graphql-core alone over finished dicts, `ariadne` is Ariadne over the same, `orjson` is `orjson.dumps` of the finished answer;
ratios are the peer's CPU time over the executor's. Over HTTP, 16 connections: Strawberry's router, Mercurius with its compiler,
plain and with loaders, and finished bytes over plain ASGI; then our real schema, tokens and stores on PostgreSQL beside
PostGraphile on the same server, and on SQLite. Ratios are our requests a second over the peer's. `hostile` is told apart: the p99
of a known document while 500 new ones come each second, over its p99 without them (`executor_hostile.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import orjson
import structlog
from graphql import ExecutionResult, build_schema, parse, validate
from graphql.execution import execute as execute_core

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.executor_data import FAULTS, LIMIT, QUERIES, Ctx, schemas
from benchmarks.executor_hostile import compare_hostile
from benchmarks.executor_http import Load, compare_memory, compare_stores, http_ratios, install_node
from benchmarks.executor_profile import profiled, profiling, shares_of, told

from fullon_master_api.executor.engine import Engine


@dataclass
class Times:
    """CPU microseconds of one way to answer one query."""

    samples: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.samples)

    def line(self) -> str:
        p99 = quantiles(self.samples, n=100)[98] if len(self.samples) > 1 else self.samples[0]
        return f"min {self.best:10.1f}  median {median(self.samples):10.1f}  p99 {p99:10.1f}  n {len(self.samples)}"


async def measure(run: Callable[[], Awaitable[Any]], times: Times, budget_s: float) -> None:
    """CPU time per call of one alternated round, in slices of at least a millisecond."""
    began = time.perf_counter()
    repeat = 1
    gc.collect()
    while not times.samples or time.perf_counter() - began < budget_s:
        start = time.process_time_ns()
        for _ in range(repeat):
            await run()
        spent = (time.process_time_ns() - start) / 1000
        if spent < 1000:
            repeat *= 2
            continue
        times.samples.append(spent / repeat)


def install_ariadne(folder: Path) -> Any:
    """The module, from a folder of its own; None where it cannot be had."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "ariadne>=1,<2"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    sys.path.append(str(folder))
    return import_module("ariadne")


async def compare(rounds: int, budget_s: float, ariadne: Any) -> dict[str, dict[str, Times]]:
    ours, theirs = schemas()
    engine = Engine(ours)
    bare = build_schema(ours.as_str())
    executable = ariadne.make_executable_schema(ours.as_str()) if ariadne else None
    results: dict[str, dict[str, Times]] = {}
    runs: list[tuple[str, str, Callable[[], Awaitable[Any]]]] = []
    for name, text in QUERIES.items():
        default_text = text.replace(LIMIT, "")
        prepared = engine.prepare(text)
        expected = (await engine.execute(prepared, None, Ctx())).body
        finished = orjson.loads(expected)

        async def executor(text: str = text) -> bytes:
            return (await engine.execute(engine.prepare(text), None, Ctx())).body

        async def strawberry_default(text: str = default_text) -> bytes:
            result = await theirs.execute(text, context_value=Ctx())
            assert not result.errors, result.errors
            return orjson.dumps({"data": result.data})

        async def strawberry_batched(text: str = text) -> bytes:
            result = await ours.execute(text, context_value=Ctx())
            assert not result.errors, result.errors
            return orjson.dumps({"data": result.data})

        async def graphql_core(text: str = text, finished: Any = finished) -> bytes:
            document = parse(text)
            assert not validate(bare, document)
            result = execute_core(bare, document, finished["data"])
            assert isinstance(result, ExecutionResult)
            return orjson.dumps({"data": result.data})

        async def by_ariadne(text: str = text, finished: Any = finished) -> bytes:
            _good, result = await ariadne.graphql(executable, {"query": text}, root_value=finished["data"])
            return orjson.dumps(result)

        async def dumps(finished: Any = finished) -> bytes:
            return orjson.dumps(finished)

        peers: dict[str, Callable[[], Awaitable[Any]]] = {
            "executor": executor,
            "strawberry": strawberry_default,
            "strawberry_batched": strawberry_batched,
            "graphql_core": graphql_core,
            "orjson": dumps,
        }
        if ariadne:
            peers["ariadne"] = by_ariadne
        for peer, run in peers.items():
            assert await run() == orjson.dumps(finished), (name, peer)
            results.setdefault(name, {})[peer] = Times()
            runs.append((name, peer, run))
    for _ in range(rounds):
        for name, peer, run in runs:
            await measure(run, results[name][peer], budget_s)
    return results


async def compare_faults(rounds: int, budget_s: float) -> dict[str, float]:
    """Time with one failing field of a thousand rows over the time without it."""
    engine = Engine(schemas()[0])
    ratios = {}
    for name, (whole, spoilt) in FAULTS.items():
        times = {text: Times() for text in (whole, spoilt)}
        assert len((await engine.execute(engine.prepare(spoilt), None, Ctx())).codes) == 1

        async def run(text: str) -> bytes:
            return (await engine.execute(engine.prepare(text), None, Ctx())).body

        for _ in range(rounds):
            for text, samples in times.items():
                await measure(partial(run, text), samples, budget_s)
        ratios[name] = round(times[spoilt].best / times[whole].best, 3)
    return ratios


def report(results: dict[str, dict[str, Times]], faults: dict[str, float]) -> dict[str, dict[str, float]]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"machine {machine}, commit {commit}")
    print("CPU microseconds per operation, text in, bytes out")
    ratios: dict[str, dict[str, float]] = {}
    for name, peers in results.items():
        for peer, times in peers.items():
            ratio = times.best / peers["executor"].best
            ratios.setdefault(peer, {})[name] = round(ratio, 3)
            print(f"{name} {peer:20} {times.line()}  ratio {ratio:8.2f}")
    for name, ratio in faults.items():
        print(f"one failing field of 1,000 rows ({name}): {ratio:.2f} times the same operation without it")
    del ratios["executor"]
    return ratios


AIMS: Final = {
    "strawberry": {"Q1": 30.0, "Q2": 30.0, "Q3": 30.0, "Q4": 12.0},
    "orjson": {"Q1": 1.0, "Q2": 0.125, "Q3": 0.125},
}
"""The peer's CPU time over the executor's."""


def below_aims(ratios: dict[str, dict[str, float]], folder: Path) -> dict[str, Any]:
    """Each ratio in process that is below its aim, with where the executor's time goes."""
    below: dict[str, Any] = {}
    for peer, aims in AIMS.items():
        for query, aim in aims.items():
            reached = ratios[peer][query]
            if reached < aim:
                shares = asyncio.run(profile_query(QUERIES[query], folder / "profile"))
                below[f"{query} {peer}"] = {"reached": reached, "aim": aim, "profile": shares}
                print(f"{query}: {peer} takes {reached} times the executor's time, aim {aim}; under a profiler: {told(shares)}")
    return below


async def profile_query(text: str, target: Path) -> dict[str, float]:
    engine = Engine(schemas()[0])
    with profiling(target), profiled():
        for _ in range(PROFILED):
            await engine.execute(engine.prepare(text), None, Ctx())
    return shares_of(target)


def report_http(title: str, results: dict[str, dict[str, Load]]) -> None:
    print(f"over HTTP, {title}, 16 connections: requests a second (median), CPU microseconds of the server per request (least)")
    for query, peers in results.items():
        for name, found in peers.items():
            stored = f"  and {found.parts()['database_us']:6.0f} us of its database" if any(found.database_us) else ""
            print(f"{query} {name:20} {median(found.rates):10.0f} /s  {min(found.cpu_us):10.1f} us{stored}")


PROFILED: Final = 300
CASES = ("in-process", "memory", "stores", "hostile")


class Parts:
    """What the parts of a run say, and how long each took."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {"benchmark": "executor", "notes": [], "ratios": {}, "seconds": {}}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        self.said["seconds"][name] = round(took, 1)
        print(f"{name} took {took:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under four minutes instead of fifteen")
    parser.add_argument("--json", action="store_true", help="ratios as JSON in the last line")
    parser.add_argument("--cases", default=",".join(CASES[:3]), help=f"some of {','.join(CASES)}; by default all but the last")
    options = parser.parse_args()
    cases = options.cases.split(",")
    if unknown := set(cases) - set(CASES):
        parser.error(f"--cases was {','.join(sorted(unknown))}, must be some of {','.join(CASES)}")
    rounds, budget_s, seconds = (2, 0.15, 0.5) if options.quick else (8, 1.0, 3.0)
    http_rounds = 1 if options.quick else rounds
    logging.disable()
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    parts = Parts()
    said = parts.said
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "in-process" in cases:
            with parts.part("in-process"):
                ariadne = install_ariadne(folder / "ariadne")
                if ariadne is None:
                    said["notes"].append("Ariadne cannot be installed")
                results = asyncio.run(compare(rounds, budget_s, ariadne))
                said["faults"] = asyncio.run(compare_faults(rounds, budget_s))
                said["ratios"] |= report(results, said["faults"])
                said["below_aims_in_process"] = below_aims(said["ratios"], folder)
        missing = ""
        if {"memory", "stores"} & set(cases):
            with parts.part("installing what runs on Node"):
                missing = install_node(folder)
                if missing:
                    said["notes"].append(missing)
        if "memory" in cases:
            with parts.part("memory"):
                memory, said["below_aims_memory"] = asyncio.run(
                    compare_memory(folder, http_rounds, seconds, with_node=not missing)
                )
                report_http("rows in memory", memory)
                rates, said["cpu_ratios_http"] = http_ratios(memory)
                said["strawberry_http"] = rates.pop("strawberry")
                said["ratios"] |= rates
        if "stores" in cases:
            with parts.part("stores"):
                compared = compare_stores(folder, http_rounds, seconds, with_node=not missing)
                postgres, said["below_aims_postgres"], sqlite = asyncio.run(compared)
                report_http("PostgreSQL", postgres)
                report_http("SQLite", sqlite)
                rates, said["cpu_ratios_postgres"] = http_ratios(postgres)
                said["strawberry_postgres"] = rates.pop("strawberry")
                said["ratios"] |= rates
                said["strawberry_sqlite"] = http_ratios(sqlite)[0]["strawberry"]
    if "hostile" in cases:
        with parts.part("hostile"), tempfile.TemporaryDirectory() as name:
            said["hostile"] = compare_hostile(Path(name), 3 if options.quick else 5, 4.0 if options.quick else 12.0)
            print(f"a known document among new ones: {said['hostile']}")
    for note in said["notes"]:
        print(f"left out: {note}")
    if options.json:
        print(json.dumps(said))


if __name__ == "__main__":
    main()
