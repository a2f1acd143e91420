"""Waiting for many things at once: what fails is kept as a value beside what succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any

from graphql.pyutils import is_awaitable


class Cancelled(Exception):
    """A resolver was cancelled while its operation was not."""


class OutOfTime(Exception):
    """Something took longer than it was given."""


def raise_if_cancelled() -> None:
    """Go on with a cancellation that is ours; one that only a resolver met is that resolver's error."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise  # noqa: PLE0704 - Called while the CancelledError is handled.


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What it gives, or the exception that it raises."""
    try:
        return await awaitable
    except asyncio.CancelledError:
        raise_if_cancelled()
        return Cancelled("a resolver was cancelled")
    except Exception as error:  # The caller places it: it is the error of one value.
        return error


async def outcomes(values: list[Any]) -> list[Any]:
    """The values with everything awaited, together."""
    waiting = [position for position, value in enumerate(values) if is_awaitable(value)]
    if not waiting:
        return values
    if len(waiting) == 1:
        found = {waiting[0]: await outcome(values[waiting[0]])}
    else:
        async with asyncio.TaskGroup() as group:
            tasks = {position: group.create_task(outcome(values[position])) for position in waiting}
        found = {position: task.result() for position, task in tasks.items()}
    return [found.get(position, value) for position, value in enumerate(values)]


async def within(seconds: float, running: Coroutine[Any, Any, Any]) -> Any:
    """What it gives, or OutOfTime after that long. One that never waits costs no timer: nothing could stop it."""
    try:
        first = running.send(None)
    except StopIteration as done:
        return done.value
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _rest(running, first)
    except TimeoutError:
        if not limit.expired():
            raise
        raise OutOfTime from None


@coroutine
def _rest(running: Coroutine[Any, Any, Any], waited: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that has begun, and waits for `waited`."""
    while True:
        try:
            try:
                told = yield waited
            except BaseException as error:  # Whatever the loop says is said to the coroutine.
                waited = running.throw(error)
            else:
                waited = running.send(told)
        except StopIteration as done:
            return done.value
