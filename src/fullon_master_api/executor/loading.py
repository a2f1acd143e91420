"""Batches under stock graphql-core: the rows that ask for one field meet here and are answered by one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import Any, Final

BatchResolver = Callable[..., Any]
"""`async def r(parents, ctx, *, arguments…) -> list[R | Exception]`, aligned with `parents`."""

IDLE_TURNS: Final = 4
"""Turns of the event loop without a new row before a batch is sent.

Rows of one level arrive up to a few turns apart: graphql-core awaits a list of one item without a task and a longer
one with tasks, and each task is one turn later.
"""


class WrongBatch(AssertionError):
    """A batch resolver broke its contract: our own mistake, never a client's."""


def check_batch(resolver: BatchResolver, answers: Any, count: int) -> list[Any]:
    """The answers of a batch resolver, as many as there were parents."""
    if type(answers) is not list and not isinstance(answers, (list, tuple)):
        raise WrongBatch(f"{resolver.__qualname__} returned a {type(answers).__name__}, must be a list aligned with its parents")
    if len(answers) != count:
        raise WrongBatch(f"{resolver.__qualname__} returned {len(answers)} answers for {count} parents")
    return list(answers)


class Batch:
    """The rows of one field that wait for one call; it owns the task that makes it and ends with its last reader.

    `on_closed` is called once: when the call is made, or when nobody waits for it any more. No row may come after that.
    """

    def __init__(self, resolver: BatchResolver, ctx: Any, arguments: Mapping[str, Any], on_closed: Callable[[], None]) -> None:
        self._resolver = resolver
        self._ctx = ctx
        self._arguments = arguments
        self._on_closed = on_closed
        self._is_closed = False
        self._parents: list[Any] = []
        self._readers: list[asyncio.Future[Any]] = []
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    async def load(self, parent: Any) -> Any:
        """The answer of this row: a value, or the row's own error as a value."""
        loop = asyncio.get_running_loop()
        reader: asyncio.Future[Any] = loop.create_future()
        self._parents.append(parent)
        self._readers.append(reader)
        self._waiting += 1
        if self._task is None:
            self._task = loop.create_task(self._send(), name=f"batch:{self._resolver.__qualname__}")
        try:
            # Each row waits on a future of its own, so a cancelled row takes no other row with it.
            return await reader
        finally:
            self._waiting -= 1
            if self._waiting == 0 and not self._task.done():
                self._close()
                self._task.cancel()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_closed()

    async def _assemble(self) -> None:
        """Until no row has come for some turns."""
        idle, seen = 0, 0
        while idle < IDLE_TURNS:
            idle = idle + 1 if len(self._parents) == seen else 0
            seen = len(self._parents)
            await asyncio.sleep(0)

    async def _send(self) -> None:
        try:
            await self._assemble()
            self._close()
            answers = self._resolver(self._parents, self._ctx, **self._arguments)
            if isawaitable(answers):
                answers = await answers
            answers = check_batch(self._resolver, answers, len(self._parents))
        except Exception as error:  # Given to every row below: each raises it at its own path.
            answers = [error] * len(self._parents)
        except asyncio.CancelledError:
            for reader in self._readers:
                reader.cancel()
            raise
        for reader, answer in zip(self._readers, answers, strict=True):
            if not reader.done():
                reader.set_result(answer)


async def load_batched(resolver: BatchResolver, parent: Any, ctx: Any, node: object, arguments: Mapping[str, Any]) -> Any:
    """Answer one row together with all rows that select the same field node in the same turns of the loop.

    `ctx.loaders` holds a batch only until it is sent or left by all: nothing is remembered between levels or events.
    """
    key = (resolver, id(node))
    loaders: dict[Any, Any] = ctx.loaders
    batch = loaders.get(key)
    if batch is None:
        batch = loaders[key] = Batch(resolver, ctx, arguments, lambda: loaders.pop(key, None))
    return await batch.load(parent)
