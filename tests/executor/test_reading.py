"""New documents beside the event loop: turns, limits, what is spent on them, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import strawberry
from graphql import FieldNode, Token

from fullon_master_api.errors import RateLimited, ServerShutdown
from fullon_master_api.executor.answers import DocumentError
from fullon_master_api.executor.engine import Engine
from fullon_master_api.executor.limits import Limits
from fullon_master_api.executor.reading import Budget, Reader

LONG_S = 60.0
PLENTY = 10.0**9


@strawberry.type
class Query:
    @strawberry.field
    def word(self) -> str:
        return "word"


def wide(name: str, count: int = 450) -> str:
    return "{ " + " ".join(f"{name}_{n}: word" for n in range(count)) + " }"


class Held:
    """A reader whose thread is kept busy until `go_on` is set; what is read after that is noted in its order."""

    def __init__(self, **limits: Any) -> None:
        self.reader: Reader[str] = Reader(Limits(reading_burst_s=PLENTY, **limits))
        self.go_on = threading.Event()
        self.read: list[str] = []
        self.tasks: list[asyncio.Task[str]] = []

    def ask(self, caller: str, name: str) -> asyncio.Task[str]:
        task = asyncio.create_task(self.reader.read(caller, name, self._reading(name)))
        self.tasks.append(task)
        return task

    def _reading(self, name: str) -> Callable[[], str]:
        def read() -> str:
            if name == "held":
                assert self.go_on.wait(LONG_S)
            self.read.append(name)
            return f"{name} was read"

        return read


@asynccontextmanager
async def held(**limits: Any) -> AsyncIterator[Held]:
    found = Held(**limits)
    first = found.ask("first", "held")
    await asyncio.sleep(0)
    try:
        yield found
    finally:
        found.go_on.set()
        async with asyncio.timeout(LONG_S):
            assert await first == "held was read"
            await asyncio.gather(*found.tasks, return_exceptions=True)
        found.reader.close()


async def test_a_known_document_never_waits_for_one_that_is_being_read() -> None:
    engine = Engine(strawberry.Schema(Query), Limits(reading_burst_s=PLENTY, root_fields_max=500))
    known = engine.prepare("{ word }")
    new = [asyncio.create_task(engine.prepare_in_turn(wide(f"a{n}"), None, "other")) for n in range(4)]
    await asyncio.sleep(0)
    found = await engine.prepare_in_turn("{ word }", None, "somebody")
    waiting = [task.done() for task in new]
    turns = 0
    async with asyncio.timeout(LONG_S):
        while not all(task.done() for task in new):
            await asyncio.sleep(0)
            turns += 1
    prepared = [task.result() for task in new]
    engine.close()

    assert found is known
    assert waiting == [False] * 4
    assert turns > 100, "the event loop went on while they were read"
    assert [each.text for each in prepared] == [wide(f"a{n}") for n in range(4)]


async def test_a_refused_document_is_refused_to_all_who_wait_for_it() -> None:
    engine = Engine(strawberry.Schema(Query), Limits(reading_burst_s=PLENTY))
    text = "{ wrod }"
    asked = [engine.prepare_in_turn(text, None, caller) for caller in ("one", "two", "one")]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    engine.close()

    assert [type(answer) for answer in answers] == [DocumentError] * 3
    assert {answer.codes for answer in answers if isinstance(answer, DocumentError)} == {("VALIDATION_FAILED",)}


async def test_callers_have_their_turns_one_after_the_other() -> None:
    async with held() as stage:
        flood = [stage.ask("flood", f"f{n}") for n in range(5)]
        await asyncio.sleep(0)
        stage.ask("one", "o0")
        stage.ask("two", "t0")
        stage.ask("one", "o1")
        await asyncio.sleep(0)
        stage.go_on.set()
        async with asyncio.timeout(LONG_S):
            assert await flood[-1] == "f4 was read"

    assert stage.read == ["held", "f0", "o0", "t0", "f1", "o1", "f2", "f3", "f4"]


async def test_what_waits_is_bounded_for_a_caller_and_for_all() -> None:
    async with held(reading_waiting_max=2, reading_waiting_all_max=5) as stage:
        taken = [stage.ask("flood", f"f{n}") for n in range(2)]
        refused = [stage.ask("flood", f"f{n}") for n in range(2, 40)]
        same = stage.ask("flood", "f0")
        others = [stage.ask("one", "o0"), stage.ask("two", "t0")]
        too_many = stage.ask("three", "x0")
        await asyncio.wait([*refused, too_many], timeout=LONG_S)
        assert not any(task.done() for task in (*taken, *others, same))

    errors = [task.exception() for task in (*refused, too_many)]
    assert all(isinstance(error, RateLimited) for error in errors)
    assert {(error.code, error.path, error.retry_after_s) for error in errors if isinstance(error, RateLimited)} == {
        ("RATE_LIMITED", ("query",), 1.0)
    }
    assert [task.result() for task in (*taken, same, *others)] == [f"{name} was read" for name in ("f0", "f1", "f0", "o0", "t0")]
    assert sorted(stage.read) == ["f0", "f1", "held", "o0", "t0"]


async def test_what_nobody_waits_for_any_more_is_not_read() -> None:
    async with held(reading_waiting_max=1) as stage:
        gone = stage.ask("one", "gone")
        await asyncio.sleep(0)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        stage.ask("one", "next")
        await asyncio.sleep(0)

    assert stage.read == ["held", "next"]


async def test_a_document_does_not_wait_for_ever() -> None:
    async with held(reading_wait_s=0.01) as stage:
        with pytest.raises(RateLimited, match="waited too long"):
            await stage.ask("one", "late")

    assert stage.read == ["held"], "the one that was being read was waited for"


async def test_those_that_wait_are_told_that_the_server_goes_away() -> None:
    async with held() as stage:
        waiting = stage.ask("one", "waiting")
        await asyncio.sleep(0)
        threading.Timer(0.05, stage.go_on.set).start()
        stage.reader.close()
        with pytest.raises(ServerShutdown):
            await waiting


def test_what_is_spent_comes_back_with_time() -> None:
    now = 0.0
    budget = Budget(0.25, 1.0, lambda: now)
    budget.spend(0.5)
    assert budget.wait_s() == 0, "half of what was saved up is left"
    budget.spend(1.5)
    assert budget.wait_s() == 4, "one second too much, at a quarter of a CPU"
    now = 3.0
    assert budget.wait_s() == 1
    now = 4.0
    assert budget.wait_s() == 0
    now = 1_000.0
    assert budget.wait_s() == 0
    budget.spend(3.0)
    assert budget.wait_s() == 8, "no more than a second is saved up, however long it was quiet"


async def test_one_document_after_another_is_read_with_nothing_saved_up() -> None:
    engine = Engine(strawberry.Schema(Query), Limits(reading_burst_s=0.0, reading_share=1.0, reading_wait_s=LONG_S))
    async with asyncio.timeout(LONG_S):
        found = [(await engine.prepare_in_turn(wide(f"a{n}", 20), None, "one")).text for n in range(10)]
    engine.close()

    assert found == [wide(f"a{n}", 20) for n in range(10)]


@pytest.mark.parametrize("first", ["word", "wrod", "word )"], ids=["valid", "invalid", "no document"])
def test_documents_that_are_forgotten_are_freed_without_a_collection(first: str) -> None:
    engine = Engine(strawberry.Schema(Query), Limits(documents_max=4, refusals_max=2))

    def flood(count: int) -> int:
        for number in range(count):
            with suppress(DocumentError):
                engine.prepare(f"{{ a{number}_{count}: {first} {wide('b', 20)[1:]}")
        return sum(isinstance(each, FieldNode | Token) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        few = flood(10)
        many = flood(100)
    finally:
        gc.enable()

    assert many <= few
