"""Sharing never leaks: whoever shares an execution gets what an execution of his own would have told him."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullon_master_api.model import Principal, Role
from fullon_master_api.transport.groups import Member
from fullon_master_api.transport.links import Reader, Rendered
from fullon_master_api.transport.protocols import TRANSPORT_WS
from tests.transport.stage import WITHIN_S, Context, Stage, open_backstage, principal

FIELDS = ("symbol", "last", "sequence", "reader", "member")


class Book:
    """A reader that keeps up and writes down what it is told."""

    def __init__(self, stage: Stage, who: Principal | None) -> None:
        link: Any = self
        self.paused = self.joining = False
        self.told: list[Any] = []
        self.failed: list[Exception] = []
        self.member = Member(self, link, TRANSPORT_WS, b"")
        self.who = who
        self._stage = stage

    def context(self) -> Context:
        return Context(self._stage.bus, self.who, "own", self._stage.latest, self._stage.outbox)

    def deliver(self, event: Rendered, reader: Reader) -> None:
        self.told.append(without_ids(json.loads(event.body)))

    async def wait_ready(self) -> None:
        raise AssertionError("this reader never falls behind")

    def fail(self, error: Exception) -> None:
        self.failed.append(error)


def without_ids(answer: dict[str, Any]) -> dict[str, Any]:
    for error in answer.get("errors", []):
        error["extensions"].pop("requestId")
    return answer


readers = st.none() | st.builds(principal, st.integers(1, 3), role=st.sampled_from(Role))
documents = st.lists(
    st.sampled_from([*FIELDS, "x: last", "... on Ticker { reader }", "reader @include(if: $yes)", "member @skip(if: $yes)"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    crowd=st.lists(st.tuples(readers, documents, st.booleans()), min_size=2, max_size=6),
    ticks=st.lists(st.integers(1, 99), min_size=1, max_size=3),
)
def test_a_shared_answer_equals_the_answer_of_an_own_execution(
    crowd: list[tuple[Principal | None, list[str], bool]], ticks: list[int]
) -> None:
    asyncio.run(compare(crowd, ticks))


async def compare(crowd: list[tuple[Principal | None, list[str], bool]], ticks: list[int]) -> None:
    async with open_backstage() as stage:
        pairs: list[tuple[Book, Book]] = []
        for who, fields, yes in crowd:
            books = (Book(stage, who), Book(stage, who))
            for book, shared in zip(books, (True, False), strict=True):
                query = f"""subscription ($yes: Boolean! = false, $shared: Boolean!) {{
                    ticker(exchange: "kraken", symbol: "BTC/USD", shared: $shared) {{
                        __typename y: last @include(if: $yes) {" ".join(fields)} }} }}"""
                prepared = stage.engine.prepare(query)
                await stage.hub.run_stream(book.member, prepared, {"yes": yes, "shared": shared}, who)
            pairs.append(books)
        for tick in ticks:
            await stage.publish("BTC/USD", str(tick))
        async with asyncio.timeout(WITHIN_S):
            while any(len(book.told) < len(ticks) for books in pairs for book in books):
                await asyncio.sleep(0)
        for shares, own in pairs:
            assert shares.told == own.told
            assert not shares.failed
            for answer in shares.told:
                assert answer["data"]["ticker"].get("reader") in (None, shares.who and shares.who.mail)
        for books in pairs:
            for book in books:
                book.member.leave()
        assert stage.hub.figures.groups == 0


async def test_a_shared_execution_is_refused_anything_about_its_reader() -> None:
    from fullon_master_api.transport.hub import NotShared, Stranger

    stranger = Stranger()
    assert stranger.uid is None
    assert not stranger.asked
    stranger.armed = True
    for name in ("uid", "mail", "role", "scopes", "is_admin", "expires_s"):
        with pytest.raises(NotShared):
            getattr(stranger, name)
    assert stranger.asked


async def test_a_group_that_falls_apart_loses_and_doubles_nothing() -> None:
    async with open_backstage() as stage:
        books = [Book(stage, principal(uid)) for uid in (1, 2, 3)]
        query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { last reader } }'
        for book in books:
            await stage.hub.run_stream(book.member, stage.engine.prepare(query), {}, book.who)
        assert stage.hub.figures.groups == 1
        for tick in range(50):
            await stage.publish("BTC/USD", str(tick))
            if tick % 7 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_S):
            while any(len(book.told) < 50 for book in books):
                await asyncio.sleep(0)
        for book in books:
            assert book.who is not None
            expected = [{"data": {"ticker": {"last": str(tick), "reader": book.who.mail}}} for tick in range(50)]
            assert book.told == expected
