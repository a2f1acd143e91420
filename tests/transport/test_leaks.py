"""Memory stays flat over events and over clients that come and go."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from contextlib import suppress

import httpx
import websockets
from websockets.typing import Subprotocol

from fullon_master_api.transport.detached import Connection
from fullon_master_api.transport.finishing import FinishingCycle, FinishingProtocol
from fullon_master_api.transport.groups import Member
from fullon_master_api.transport.links import Reader, Rendered
from fullon_master_api.transport.sessions import Session, Stream
from tests.transport.stage import WITHIN_S, Stage, open_backstage, open_stage, principal
from tests.transport.test_sharing import Book

EVENTS = 5_000
CLIENTS = 150


class Deaf(Book):
    """A reader that only counts."""

    count = 0

    def deliver(self, event: Rendered, reader: Reader) -> None:
        self.count += 1


async def publish(stage: Stage, reader: Deaf, count: int) -> None:
    until = reader.count + count
    for number in range(count):
        await stage.publish("BTC/USD", str(number))
        if not number % 20:
            while reader.count < until - count + number:
                await asyncio.sleep(0)
    async with asyncio.timeout(WITHIN_S):
        while reader.count < until:
            await asyncio.sleep(0)


async def test_an_event_leaves_nothing_behind() -> None:
    async with open_backstage() as stage:
        reader = Deaf(stage, principal(1))
        query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { symbol last member } }'
        await stage.hub.run_stream(reader.member, stage.engine.prepare(query), {}, reader.who)
        await publish(stage, reader, 500)
        gc.collect()
        tracemalloc.start()
        try:
            await publish(stage, reader, EVENTS)
            gc.collect()
            grown, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown / EVENTS < 20


START = '{"type":"subscribe","id":"1","payload":{"query":"subscription { ticker(exchange: \\"k\\", symbol: \\"X\\") { last } }"}}'


async def visit(stage: Stage) -> None:
    async with websockets.connect(stage.ws_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send('{"type":"connection_init","payload":{"token":"user:1"}}')
        await socket.recv()
        await socket.send(START)
        socket.transport.abort()


async def visits(stage: Stage, count: int) -> None:
    for _ in range(count):
        with suppress(websockets.ConnectionClosed):
            await visit(stage)
    async with asyncio.timeout(WITHIN_S):
        while stage.hub.figures.sockets:
            await asyncio.sleep(0.01)


def living() -> Counter[str]:
    """How many there are of what a connection is made of."""
    found = Counter(type(each) for each in gc.get_objects())
    return Counter(
        {kind.__name__: found[kind] for kind in (FinishingProtocol, FinishingCycle, Connection, Session, Stream, Member)}
    )


async def test_a_connection_that_ended_is_freed_without_a_collection() -> None:
    async def posts(stage: Stage) -> None:
        async with httpx.AsyncClient() as http:
            for _ in range(3):
                assert (await http.post(stage.url, json={"query": "{ __typename }"})).status_code == 200

    async def freed() -> None:
        while living() - before:
            await asyncio.sleep(0.05)

    async with open_stage() as stage:
        gc.collect()
        gc.disable()
        before = living()
        try:
            for _ in range(5):
                await posts(stage)
            await visits(stage, 20)
            async with asyncio.timeout(WITHIN_S):
                await freed()
        finally:
            gc.enable()


async def test_a_client_that_came_and_went_leaves_nothing_behind() -> None:
    async with open_stage() as stage:
        await visits(stage, 50)
        gc.collect()
        before = len(gc.get_objects())
        await visits(stage, CLIENTS)
        gc.collect()
        assert len(gc.get_objects()) - before < CLIENTS
        assert (stage.hub.figures.groups, len(stage.hub.watched), len(stage.hub.users), len(stage.hub._enrolled)) == (0, 0, 0, 0)
