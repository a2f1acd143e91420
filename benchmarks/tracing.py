"""What spans cost: CPU time of one operation without a recorder, with one, and with the checks taken out."""

from __future__ import annotations

import asyncio
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from opentelemetry.sdk.trace import TracerProvider

from fullon_master_api import tracing
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.fields import batched, rooted

ROUNDS = 9
OPERATIONS = 2_000
QUERY = "{ rows { number double } }"


class Ctx:
    request_id = "benchmark"


class Record:
    def __init__(self, number: int) -> None:
        self.number = number


def doubles(rows: Sequence[Record], _ctx: Ctx) -> list[int]:
    return [2 * row.number for row in rows]


def ten(_ctx: Ctx) -> list[Record]:
    return [Record(number) for number in range(10)]


@strawberry.type
class Row:
    number: int
    double: int = batched(doubles, description="twice its number")


@strawberry.type
class Query:
    rows: list[Row] = rooted(ten, description="ten rows")


async def cpu_us(engine: Engine) -> float:
    """Microseconds of CPU of one operation."""
    prepared = engine.prepare(QUERY)
    began = time.process_time()
    for _ in range(OPERATIONS):
        await engine.execute(prepared, None, Ctx())
    return (time.process_time() - began) / OPERATIONS * 1e6


async def measure() -> None:
    engine = Engine(strawberry.Schema(Query))
    execute = Engine.execute

    async def bare(self: Engine, prepared: Any, variables: Any, context: Any) -> Any:
        return await self._run(prepared, variables, context, None)

    def off() -> None:
        tracing.record_with(None)
        Engine.execute = execute  # type: ignore[method-assign]

    def without_checks() -> None:
        off()
        Engine.execute = bare  # type: ignore[method-assign, assignment]

    def on() -> None:
        off()
        tracing.record_with(TracerProvider())

    variants: dict[str, Callable[[], None]] = {"without the checks": without_checks, "off": off, "recorded": on}
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, begin in variants.items():
            begin()
            found[name].append(await cpu_us(engine))
    off()
    base = statistics.median(found["without the checks"])
    print(f"{platform.machine()}, Python {platform.python_version()}, {ROUNDS} rounds of {OPERATIONS} operations")
    for name, times in found.items():
        print(f"{name:20} {statistics.median(times):8.1f} us of CPU an operation, ratio {statistics.median(times) / base:.3f}")


if __name__ == "__main__":
    asyncio.run(measure())
