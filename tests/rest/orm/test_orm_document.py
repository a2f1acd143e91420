"""The OpenAPI document against the routes: schemathesis makes requests from it and judges the answers."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn

from tests.rest.orm.conftest import Stage
from tests.schemathesis_command import schemathesis
from tests.servers import free_port

TIME_S = 600


@pytest.mark.slow
@pytest.mark.timeout(TIME_S + 60)
@pytest.mark.parametrize("who", ["trader", "admin"])
async def test_no_request_made_from_the_document_breaks_it_or_the_server(stage: Stage, who: str) -> None:
    client = stage.admin if who == "admin" else stage.trader
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(stage.app, port=port, log_config=None, access_log=False, lifespan="off"))
    who_asks = ("-H", f"Authorization: {client.http.headers['Authorization']}")
    # A changed password would end the session that all other requests need.
    only = ("--exclude-path-regex", "password", "--max-examples", "10", "--phases", "coverage,fuzzing")
    command = schemathesis(f"http://127.0.0.1:{port}", *who_asks, *only)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        try:
            async with asyncio.timeout(TIME_S):
                run = await asyncio.create_subprocess_exec(
                    *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
                )
                output, _ = await run.communicate()
        finally:
            server.should_exit = True
    assert run.returncode == 0, output.decode()[-4_000:]
    assert b"passed" in output
