"""Python servers that `executor.py` compares over HTTP; each prints `{"port":…,"pid":…}` and ends with its standard input."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import uvicorn
import uvloop
from fastapi import FastAPI
from strawberry.fastapi import BaseContext, GraphQLRouter

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.executor_data import QUERIES, Ctx, schemas
from benchmarks.executor_profile import profiled

from fullon_master_api.app import lasting_objects
from fullon_master_api.bus import open_bus
from fullon_master_api.executor.engine import Engine
from fullon_master_api.settings import Settings
from fullon_master_api.transport.direct import DirectGraphql
from fullon_master_api.transport.hub import Hub
from fullon_master_api.transport.routes import graphql_routes
from fullon_master_api.transport.server import server_config


async def serve(app: Any) -> None:
    """Peers: uvicorn as it comes."""
    await run(uvicorn.Config(app, port=0, log_level="error", access_log=False, lifespan="off", loop="uvloop", http="httptools"))


async def run(config: uvicorn.Config) -> None:
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with lasting_objects(), profiled():  # Collected as by `fullon serve`.
            print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
            await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True


async def nobody(_headers: Mapping[str, str]) -> None:
    return None


async def serve_fullon() -> None:
    """Our transport and executor over rows in memory, before a FastAPI application and on our server's protocol."""
    engine = Engine(schemas()[0])
    async with open_bus("memory://") as bus, Hub(bus, engine, lambda _principal, _request_id, _address: Ctx()) as hub:
        app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})  # As the gateway's where nothing records.
        make_context = hub.make_context
        routes = graphql_routes(engine, hub, nobody, make_context, Settings(_env_file=None, requests_per_minute_per_address=0))
        app.include_router(routes)
        config = server_config(DirectGraphql(app, routes=routes), uvloop_enabled=True, message_bytes_max=1_000_000)
        config.port = 0
        await run(config)


class Context(BaseContext, Ctx):
    """What FastAPI's router hands to resolvers."""

    def __init__(self) -> None:
        BaseContext.__init__(self)
        Ctx.__init__(self)


async def serve_strawberry() -> None:
    """Strawberry as its documentation says: GraphQLRouter, DataLoaders."""

    app = FastAPI()
    app.include_router(GraphQLRouter(schemas()[1], path="/graphql", context_getter=Context))
    await serve(app)


async def serve_constant() -> None:
    """The limit: finished bytes, found by the text of the query, over plain ASGI."""
    engine = Engine(schemas()[0])
    finished = {text: (await engine.execute(engine.prepare(text), None, Ctx())).body for text in QUERIES.values()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = finished[orjson.loads(message["body"])["query"]]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    await serve(app)


if __name__ == "__main__":
    serving = {"fullon": serve_fullon, "strawberry": serve_strawberry, "constant_bytes": serve_constant}[sys.argv[1]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving())
