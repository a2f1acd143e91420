"""A server that shows GraphiQL to admins and runs trusted documents only: what its own pages can still do, in a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from playwright.sync_api import Browser, Page, Request, Response, expect

from fullon_master_api.auth.totp import STEP_S, totp_code
from fullon_master_api.web.pages import own_documents
from tests.web.conftest import Watched, start_demo, stop_demo, visiting

LAST = "[data-symbol='BTC/USD'] [data-cell=last]"
UNTRUSTED = "this server runs trusted documents only"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked")


@pytest.fixture(scope="module")
def locked_url(browser: Browser, folder: Path) -> Iterator[str]:
    server, url = start_demo(folder, GRAPHIQL="admins", INTROSPECTION="admins", TRUSTED_DOCUMENTS_ONLY="true")
    yield url
    assert stop_demo(server) == 0


@pytest.fixture
def visitor(browser: Browser, locked_url: str) -> Iterator[Watched]:
    with visiting(browser, locked_url) as watched:
        yield watched


def _sign_in(page: Page, who: str, code: str = "") -> None:
    page.get_by_label("Mail").fill(who)
    page.get_by_label("Password").fill("password")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()


def _token(url: str, mail: str) -> str:
    answer = httpx.post(f"{url}/api/v1/auth/login", data={"username": mail, "password": "password"}, timeout=60)
    return str(answer.json()["access_token"])


def test_a_visitor_gets_a_login_and_a_trader_is_told_that_graphiql_is_not_for_them(visitor: Watched) -> None:
    asked: list[str] = []
    visitor.context.on("request", lambda request: asked.append(request.url.removeprefix(visitor.url)))
    page = visitor.open("/graphql")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()

    _sign_in(page, "trader@fullon")

    expect(page.get_by_role("alert")).to_have_text("GraphiQL is for admins only")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    assert set(asked) == {"/graphql", "/static/door.js", "/static/door.css"}


def test_an_admin_comes_in_by_the_door_and_signing_out_closes_it(visitor: Watched) -> None:
    sent: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            sent.append(orjson.loads(request.post_data or "{}"))

    visitor.context.on("request", note)
    page = visitor.open("/graphql")
    _sign_in(page, "admin@fullon")

    expect(page.get_by_test_id("signed-in")).to_contain_text("admin@fullon")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.locator(".graphiql-doc-explorer")).to_contain_text("Mutation")  # The schema has come.
    schema = next(body["query"] for body in sent if "__schema" in body["query"])
    assert sha256(schema.encode()).hexdigest() in own_documents()

    page.reload()  # A session that is known opens the door by itself.
    expect(page.locator(".graphiql-doc-explorer")).to_contain_text("Mutation")
    page.get_by_role("button", name="Show Start here").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="GraphiQL")).to_be_visible()
    expect(page.get_by_test_id("signed-in")).to_have_count(0)


def test_the_dashboard_asks_watches_and_trades(visitor: Watched) -> None:
    refused: list[str] = []

    def check(answer: Response) -> None:
        if answer.request.method == "POST" and UNTRUSTED in answer.text():
            refused.append(str(answer.request.post_data))

    page = visitor.context.new_page()
    page.on("response", check)
    page.goto(visitor.url)
    _sign_in(page, "trader@fullon")
    expect(page.locator(LAST)).to_be_visible()
    before = page.locator(LAST).inner_text()
    expect(page.locator(LAST)).not_to_have_text(before)  # A stream.
    expect(page.locator(".canvas")).to_have_attribute("data-bars", re.compile(r"^([2-9]|[1-9]\d+)$"))
    expect(page.locator("[data-currency=USD]")).to_be_visible()
    page.get_by_label("Quantity, BTC").fill("0.0123")
    page.get_by_role("button", name="Buy BTC").click()
    expect(page.locator("[data-order]", has_text="0.0123").first).to_have_attribute("data-status", "FILLED")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert refused == []


def test_every_document_of_the_pages_is_known_by_text_and_by_hash_and_another_one_is_refused(locked_url: str) -> None:
    headers = {"Authorization": f"Bearer {_token(locked_url, 'trader@fullon')}"}
    documents = own_documents()
    assert len(documents) > 15
    with httpx.Client(base_url=locked_url, headers=headers, timeout=60) as client:
        for key, text in documents.items():
            name = re.search(r"\w+ (\w+)", text)
            for spelled in ({"query": text}, {"documentId": f"sha256:{key}"}):
                answer = client.post("/graphql", json=spelled)  # Without variables, so that it changes nothing.
                codes = [error["extensions"]["code"] for error in answer.json().get("errors", [])]
                assert UNTRUSTED not in answer.text, name
                assert "PERSISTED_QUERY_NOT_FOUND" not in codes, name
        other = client.post("/graphql", json={"query": "{ me { mail } }"}).json()
        changed = client.post("/graphql", json={"query": next(iter(documents.values())) + " "}).json()
    for answer in (other, changed):
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


def _second_factor(folder: Path, *options: str) -> str:
    """What `fullon user totp` says of the trader."""
    command = [sys.executable, "-m", "fullon_master_api", "user", "totp", *options, "trader@fullon"]
    run = subprocess.run(
        command, env={**os.environ, "DATA_DIR": str(folder)}, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_who_has_a_second_factor_gives_its_code_at_each_door(visitor: Watched, folder: Path) -> None:
    told = re.search(r"secret  (\w+)", _second_factor(folder))
    assert told is not None
    try:
        page = visitor.open("/graphql")
        _sign_in(page, "trader@fullon")
        expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
        _sign_in(page, "trader@fullon", totp_code(told[1], int(time.time()) // STEP_S))
        expect(page.get_by_role("alert")).to_have_text("GraphiQL is for admins only")

        page = visitor.open("/")
        _sign_in(page, "trader@fullon", totp_code(told[1], int(time.time()) // STEP_S + 1))  # Each code is good once.
        expect(page.locator(LAST)).to_be_visible()
    finally:
        _second_factor(folder, "--off")
