"""The OpenAPI document against the routes: schemathesis makes requests from it and judges the answers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import uvicorn

from tests.rest.orm.conftest import Stage
from tests.servers import free_port

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
TIME_S = 600


@pytest.mark.slow
@pytest.mark.timeout(TIME_S + 60)
@pytest.mark.parametrize("who", ["trader", "admin"])
async def test_no_request_made_from_the_document_breaks_it_or_the_server(stage: Stage, who: str) -> None:
    client = stage.admin if who == "admin" else stage.trader
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(stage.app, port=port, log_config=None, access_log=False, lifespan="off"))
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"http://127.0.0.1:{port}/openapi.json"]
    command += ["-H", f"Authorization: {client.http.headers['Authorization']}", "--checks", CHECKS, "--wait-for-schema", "30"]
    # A changed password would end the session that all other requests need.
    command += ["--exclude-path-regex", "password", "--max-examples", "10", "--phases", "coverage,fuzzing", "--no-color"]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        try:
            async with asyncio.timeout(TIME_S):
                run = await asyncio.create_subprocess_exec(
                    *command, "--suppress-health-check", "all", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
                )
                output, _ = await run.communicate()
        finally:
            server.should_exit = True
    assert run.returncode == 0, output.decode()[-4_000:]
    assert b"passed" in output
