"""What a browser is sent: pages that name no other host, and a policy that would stop one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from fullon_master_api.web import pages


def _app() -> FastAPI:
    app = FastAPI(title="Fullon <Master> API", docs_url=None, redoc_url=None)
    pages.mount_pages(app)

    async def graphiql(_request: Request) -> Response:
        return pages.graphiql_page()

    app.add_route("/graphql", graphiql)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app()), base_url="http://gateway") as client:
        yield client


@pytest.mark.parametrize("path", ["/graphql", "/docs", "/redoc"])
async def test_every_file_that_a_page_names_is_served_by_this_server(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.status_code == 200
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [name for name in named if name != "data:,"]
    assert files
    for name in files:
        assert name.startswith("/static/")
        answer = await client.get(name)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/graphql", "/docs", "/redoc"])
async def test_a_page_carries_no_inline_script_and_a_policy_that_forbids_one(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"


async def test_a_title_cannot_bring_markup_into_a_page(client: httpx.AsyncClient) -> None:
    assert "<title>Fullon &lt;Master&gt; API</title>" in (await client.get("/docs")).text


async def test_a_browser_asks_again_and_is_told_that_nothing_changed(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/graphiql.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/static/graphiql.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["dashboard.js", "dashboard.css", "codicon.ttf"])
async def test_who_takes_gzip_gets_the_same_file_smaller_and_who_does_not_gets_it_as_it_is(
    client: httpx.AsyncClient, name: str
) -> None:
    plain = await client.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
    packed = await client.get(f"/static/{name}", headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert plain.content == packed.content == (pages.BUILT / name).read_bytes()
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]
    again = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert (await client.get(f"/static/{name}", headers=again)).status_code == 304


@pytest.mark.parametrize(
    ("accepts", "expected"),
    [("gzip, deflate, br", True), ("GZIP ; q=1", True), ("gzip;q=0", False), ("gzip;q=0.0", False), ("br", False), ("", False)],
)
def test_gzip_is_sent_to_those_who_name_it(accepts: str, expected: bool) -> None:
    assert pages.takes_gzip(accepts) is expected


def test_the_dashboard_needs_no_more_than_its_stated_size_before_it_is_on_the_screen() -> None:
    sizes = {name: len((pages.BUILT / name).read_bytes()) for name in ("dashboard.js", "dashboard.js.gz", "charts.js.gz")}
    assert sizes["dashboard.js"] <= 280_000
    assert sizes["dashboard.js.gz"] <= 90_000
    assert sizes["charts.js.gz"] <= 70_000
    assert b"charts.js" not in bytes(pages.dashboard_page().body)  # It is asked for by the script, after the first paint.


async def test_only_built_files_are_served(client: httpx.AsyncClient) -> None:
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/absent.js"):
        assert (await client.get(path)).status_code == 404


def test_a_page_behind_a_proxy_names_its_files_by_the_outer_path() -> None:
    text = bytes(pages.graphiql_page(root_path="/fullon").body).decode()
    assert 'data-graphql="/fullon/graphql"' in text
    assert 'src="/fullon/static/graphiql.js"' in text


def test_without_the_build_a_page_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pages, "BUILT", tmp_path)
    page = pages.graphiql_page()
    assert page.status_code == 503
    assert "make env" in bytes(page.body).decode()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/graphql-response+json, application/json;q=0.9", False),
        ("*/*", False),
        (None, False),
    ],
)
def test_only_a_browser_wants_a_page(accept: str | None, expected: bool) -> None:
    assert pages.wants_page(accept) is expected


def test_the_dashboard_is_told_where_graphql_is() -> None:
    page = bytes(pages.dashboard_page(root_path="/fullon").body).decode()
    assert 'data-graphql="/fullon/graphql"' in page
    assert "data-graphiql" in page
    assert b"data-graphiql" not in pages.dashboard_page(graphiql=False).body
    assert 'src="/fullon/static/dashboard.js"' in page


def test_the_dashboard_shows_something_before_its_script_runs() -> None:
    page = bytes(pages.dashboard_page().body).decode()
    assert re.search(r'<div id="root"[^>]*><p class="loading">Fullon is loading', page)


def test_no_bundle_names_its_maker_as_a_source_of_pictures_scripts_or_styles() -> None:
    loads = re.compile(rb"""(?:src|href)\s*[:=]\s*["'`]https?://[^"'`]+\.(?:js|css|svg|png|woff2?)["'`]""")
    for bundle in pages.BUILT.glob("*.js"):
        assert loads.findall(bundle.read_bytes()) == []
