"""Reads that are shared answer each caller as if it had read alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fullon_master_api.apis.cache.sharing import SharedReads
from fullon_master_api.errors import CacheUnavailable


class Store:
    """Doubles numbers; counts its reads; can be held up or be away."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def read(self, keys: Sequence[int]) -> list[int]:
        self.reads.append(list(keys))
        await self.open.wait()
        if self.away:
            raise CacheUnavailable("away")
        return [2 * key for key in keys]


async def test_all_who_ask_at_the_same_moment_share_one_read() -> None:
    store = Store()
    shared = SharedReads(store.read)
    found = await asyncio.gather(*(shared.get_many([number % 10, 100]) for number in range(500)))
    assert found == [[2 * (number % 10), 200] for number in range(500)]
    assert store.reads == [[0, 100, *range(1, 10)]]


async def test_who_comes_during_a_read_shares_the_next_one() -> None:
    store = Store()
    shared = SharedReads(store.read)
    store.open.clear()
    first = asyncio.ensure_future(shared.get_many([1]))
    while not store.reads:
        await asyncio.sleep(0)
    later = [asyncio.ensure_future(shared.get_many([number])) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    store.open.set()
    assert [await asking for asking in (first, *later)] == [[2], [2], [4], [6]]
    assert store.reads == [[1], [1, 2, 3]]


async def test_an_error_reaches_all_who_shared_the_read_and_the_next_read_is_a_new_one() -> None:
    store = Store()
    shared = SharedReads(store.read)
    store.away = True
    found = await asyncio.gather(*(shared.get_many([number]) for number in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [CacheUnavailable] * 3
    store.away = False
    assert await shared.get_many([4]) == [8]


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_when_the_one_who_reads_is_cancelled_another_reads_for_the_rest(turns: int) -> None:
    store = Store()
    shared = SharedReads(store.read)
    store.open.clear()
    leader = asyncio.ensure_future(shared.get_many([1]))
    others = [asyncio.ensure_future(shared.get_many([number])) for number in (2, 3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    leader.cancel()
    store.open.set()
    async with asyncio.timeout(60):
        assert [await asking for asking in others] == [[4], [6]]
    assert leader.cancelled()
