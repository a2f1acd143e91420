"""The edge of the whole gateway: headers, origins, proxies and limits, on every face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fullon_master_api.app import open_gateway
from fullon_master_api.settings import Settings

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
