"""The edge of the whole gateway: headers, origins, proxies and limits, on every face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from fullon_master_api.app import open_gateway
from fullon_master_api.settings import Settings
from fullon_master_api.transport.server import Server, bind_socket, server_config

SECRET = "a secret that is long enough to sign with"
FACES = ["/graphql?query={__typename}", "/", "/livez", "/health", "/docs", "/openapi.json", "/api/v1/services", "/nothing"]
DESK = "https://desk.example"


@asynccontextmanager
async def client_of(folder: Path, base_url: str = "http://desk.test", **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(_env_file=None, data_dir=folder, jwt_secret_key=SECRET, **changes)
    folder.mkdir(exist_ok=True)
    async with open_gateway(settings) as gateway:
        transport = httpx.ASGITransport(app=gateway.app, client=("192.0.2.9", 1))
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            yield client


async def test_every_answer_forbids_sniffing_and_has_a_request_id_and_tls_is_kept(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        for path in FACES:
            over_http = await client.get(path, headers={"x-request-id": "mine-1"})
            over_tls = await client.get(f"https://desk.test{path}")
            for answer in (over_http, over_tls):
                assert answer.headers.get_list("x-content-type-options") == ["nosniff"], path
            assert "strict-transport-security" not in over_http.headers, path
            assert over_tls.headers["strict-transport-security"] == "max-age=31536000", path
            assert over_http.headers["x-request-id"] == "mine-1", path
            assert len(over_tls.headers["x-request-id"]) >= 16, path


@pytest.mark.parametrize("origins", [[], [DESK]])
async def test_what_is_posted_to_graphql_is_answered_with_the_headers_of_every_face(tmp_path: Path, origins: list[str]) -> None:
    asked = [
        ({"query": "{ __typename }"}, {}, 200),
        ({"query": "{ nothing }"}, {"accept": "application/graphql-response+json"}, 400),
        ({}, {}, 400),
        ({"query": "{ __typename }"}, {"authorization": "Bearer nonsense"}, 401),
        ({"query": "subscription { services { name } }"}, {"accept": "text/event-stream"}, 200),
    ]
    async with client_of(tmp_path, cors_origins=origins) as client:
        for body, headers, status in asked:
            given = {"x-request-id": "mine-1", "origin": DESK, **headers}
            for url in ("http://desk.test/graphql", "https://desk.test/graphql"):
                answer = await client.post(url, json=body, headers=given)
                told = answer.headers
                hsts = ["max-age=31536000"] if url.startswith("https") else []
                assert answer.status_code == status, answer.text
                assert told.get_list("x-content-type-options") == ["nosniff"], body
                assert told.get_list("strict-transport-security") == hsts, body
                assert told.get_list("x-request-id") == ["mine-1"], body
                assert told.get_list("cache-control") == ["no-store"], body
                assert told.get_list("access-control-allow-origin") == origins, body
                assert told.get("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_hsts_can_be_switched_off(tmp_path: Path) -> None:
    async with client_of(tmp_path, "https://desk.test", hsts_max_age_s=0) as client:
        assert "strict-transport-security" not in (await client.get("/livez")).headers


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/services"])
async def test_pages_of_other_origins_may_ask_only_where_they_are_named(tmp_path: Path, path: str) -> None:
    def preflight(origin: str, method: str = "POST", header: str = "authorization") -> dict[str, str]:
        return {
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": header,
        }

    async with client_of(tmp_path / "none") as client:
        answer = await client.options(path, headers=preflight(DESK))
        assert "access-control-allow-origin" not in answer.headers
    async with client_of(tmp_path / "named", cors_origins=[DESK], cors_allow_credentials=True) as client:
        named = await client.options(path, headers=preflight(DESK))
        other = await client.options(path, headers=preflight("https://evil.example"))
        null = await client.options(path, headers=preflight("null"))
        method = await client.options(path, headers=preflight(DESK, method="TRACE"))
        header = await client.options(path, headers=preflight(DESK, header="x-evil"))
        plain = await client.get("/livez", headers={"origin": "https://desk.example.evil.example"})

    assert (named.status_code, named.headers["access-control-allow-origin"]) == (200, DESK)
    assert named.headers["access-control-allow-credentials"] == "true"
    for refused in (other, null):
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (400, False)
    assert (method.status_code, header.status_code) == (400, 400)
    assert "access-control-allow-origin" not in plain.headers


async def test_rest_is_limited_with_the_same_allowance_as_graphql_and_probes_never_are(tmp_path: Path) -> None:
    async with client_of(tmp_path, requests_per_minute_per_address=2) as client:
        statuses = [(await client.get("/api/v1/services")).status_code, (await client.post("/graphql", json={})).status_code]
        by_rest = await client.get("/api/v1/services")
        by_graphql = await client.post("/graphql", json={"query": "{ __typename }"})
        probes = [(await client.get(path)).status_code for path in ("/livez", "/livez", "/docs")]

    assert statuses == [401, 400]
    assert (by_rest.status_code, by_rest.json()["code"]) == (429, "RATE_LIMITED")
    assert by_rest.json()["request_id"] == by_rest.headers["x-request-id"]
    assert int(by_rest.headers["retry-after"]) >= 1
    assert by_graphql.status_code == 429
    assert probes == [200, 200, 200]


async def test_wrong_logins_of_one_address_are_counted_together_by_whatever_face_they_come(tmp_path: Path) -> None:
    def guess(number: int) -> str:
        given = f'mail: "user{number}@fullon", password: "wrong password"'
        return f"t{number}: login(input: {{ {given} }}) {{ userErrors {{ code }} }}"

    streams = {"accept": "text/event-stream"}
    async with client_of(tmp_path, login_attempts_max=4) as client:
        by_rest = await client.post("/api/v1/auth/login", data={"username": "user0@fullon", "password": "wrong password"})
        by_stream = await client.post("/graphql", json={"query": f"mutation {{ {guess(1)} }}"}, headers=streams)
        answers = [await client.post("/graphql", json={"query": f"mutation {{ {guess(number)} }}"}) for number in range(2, 6)]
        last = await client.post("/api/v1/auth/login", data={"username": "user6@fullon", "password": "wrong password"})

    assert (by_rest.status_code, "UNAUTHENTICATED" in by_stream.text) == (401, True)
    codes = [error["code"] for answer in answers for payload in answer.json()["data"].values() for error in payload["userErrors"]]
    assert codes == ["UNAUTHENTICATED"] * 2 + ["RATE_LIMITED"] * 2
    assert last.status_code == 429


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_a_method_that_graphql_is_not_asked_by_is_refused_in_its_own_words(tmp_path: Path, method: str) -> None:
    async with client_of(tmp_path) as client:
        answer = await client.request(method, "/graphql", headers={"x-request-id": "mine-1"})

    assert (answer.status_code, answer.headers["allow"], answer.headers["x-request-id"]) == (405, "GET, HEAD, POST", "mine-1")
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "requestId": "mine-1"}


async def test_head_is_get_without_a_body_and_changes_nothing_either(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        for query, status in (("{ __typename }", 200), ("mutation { __typename }", 405)):
            params = {"query": query}
            got, headed = await client.get("/graphql", params=params), await client.head("/graphql", params=params)
            assert (got.status_code, headed.status_code) == (status, status)
            assert headed.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/static/absent.js", "/api/v1/nothing", "/api/v1/orm/nothing", "/api/v1/cache/nothing"]
)
async def test_what_there_is_not_is_not_found_with_a_code_and_an_id(tmp_path: Path, path: str) -> None:
    async with client_of(tmp_path) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] != ""


async def test_a_fault_of_ours_over_rest_is_masked_and_answered_like_everything_else(tmp_path: Path) -> None:
    async def fail() -> None:
        raise LookupError("hunter2")

    settings = Settings(_env_file=None, data_dir=tmp_path, jwt_secret_key=SECRET, cors_origins=[DESK])
    async with open_gateway(settings) as gateway:
        gateway.api.add_api_route("/api/v1/failing", fail)
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk.test", headers={"origin": DESK}) as client:
            with capture_logs() as events:
                answer = await client.get("/api/v1/failing", headers={"x-request-id": "mine-1"})

    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "INTERNAL", "mine-1")
    assert "hunter2" not in answer.text
    assert (answer.headers["x-request-id"], answer.headers["x-content-type-options"]) == ("mine-1", "nosniff")
    assert answer.headers["access-control-allow-origin"] == DESK
    (event,) = [event for event in events if event["event"] == "rest.failed"]
    assert isinstance(event["exc_info"], LookupError)


@pytest.mark.parametrize(("trusted", "told"), [(["127.0.0.0/8"], True), ([], False), (["192.0.2.0/24"], False)])
async def test_a_proxy_that_ends_tls_is_believed_where_it_is_trusted(tmp_path: Path, trusted: list[str], told: bool) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, jwt_secret_key=SECRET, trusted_proxies=trusted)
    async with open_gateway(settings) as gateway, asyncio.TaskGroup() as tasks:
        config = server_config(gateway.app, uvloop_enabled=False, message_bytes_max=1_000, trusted_proxies=trusted)
        server, stop = Server(config, on_stop=gateway.stop), asyncio.Event()
        listener = bind_socket("127.0.0.1", 0)
        tasks.create_task(server.serve_until(stop, listener))
        await server.ready.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            answer = await client.get("/livez", headers={"x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.7"})
        stop.set()

    assert ("strict-transport-security" in answer.headers) is told
