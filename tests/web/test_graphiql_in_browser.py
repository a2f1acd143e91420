"""People work with GraphiQL and the documentation pages in a real browser, against a running demo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.web.conftest import Watched

# The text of the answer's editor, by the name under which GraphiQL keeps Monaco; the page itself holds visible lines only.
ANSWER = "(globalThis.__MONACO?.editor.getModels().find(model => model.uri.path.includes('response'))?.getValue() ?? '')"
SILENCE_MS = 2_500  # The demo's tickers change several times a second.


def _sign_in(page: Page, who: str, password: str = "password") -> None:
    page.get_by_label("Mail").fill(who)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def _graphiql(visitor: Watched, who: str) -> Page:
    page = visitor.open("/graphql")
    _sign_in(page, who)
    expect(page.get_by_test_id("signed-in")).to_contain_text(who)
    return page


def _text(page: Page) -> str:
    text = page.evaluate(ANSWER)
    assert isinstance(text, str)
    return text


def _run(page: Page, example: str, until: str) -> dict[str, Any]:
    """Choose an example, run it, and read the answer once it holds `until`."""
    page.get_by_role("button", name=example, exact=True).click()
    page.get_by_role("button", name="Execute query").click()
    try:
        page.wait_for_function("text => " + ANSWER + ".includes(text)", arg=until)
    except PlaywrightTimeout as error:
        raise AssertionError(f"{example}: the answer has no {until!r}: {_text(page)[:2000]}") from error
    answer = json.loads(_text(page))
    assert isinstance(answer, dict)
    return answer


def test_an_admin_stops_the_ticker_service_and_ticks_stop_then_starts_it_and_ticks_go_on(visitor: Watched) -> None:
    watching = _graphiql(visitor, "admin@fullon")
    watching.get_by_role("button", name="One ticker, live").click()
    watching.get_by_role("button", name="Execute query").click()
    watching.wait_for_function("() => " + ANSWER + ".includes('bid')")

    admin = _graphiql(visitor, "admin@fullon")
    try:
        stopped = _run(admin, "Stop the ticker service", "STOPPED")
        assert stopped == {"data": {"stopService": {"service": {"name": "TICKER", "state": "STOPPED"}, "userErrors": []}}}
        before = _text(watching)
        watching.wait_for_timeout(SILENCE_MS)
        assert _text(watching) == before
    finally:
        started = _run(admin, "Start the ticker service", "RUNNING")
    assert started == {"data": {"startService": {"service": {"name": "TICKER", "state": "RUNNING"}, "userErrors": []}}}
    watching.wait_for_function("before => " + ANSWER + " !== before", arg=before)


def test_a_trader_may_not_stop_a_service(visitor: Watched) -> None:
    answer = _run(_graphiql(visitor, "trader@fullon"), "Stop the ticker service", "FORBIDDEN")
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_a_trader_reads_markets_and_their_own_bots(visitor: Watched) -> None:
    page = _graphiql(visitor, "trader@fullon")
    markets = _run(page, "Markets with ticker and candles", "candles")["data"]["symbols"]["nodes"]
    assert {"BTC/USD", "ETH/USD", "SOL/USD"} <= {market["symbol"] for market in markets}
    mine = _run(page, "My bots and their orders", "trader@fullon")["data"]["me"]
    assert mine["bots"]["nodes"]


def test_many_tickers_come_in_one_stream(visitor: Watched) -> None:
    page = _graphiql(visitor, "trader@fullon")
    page.get_by_role("button", name="Many tickers in one stream").click()
    page.get_by_role("button", name="Execute query").click()
    page.wait_for_function("() => " + ANSWER + ".includes('SOL/USD')")
    page.get_by_role("button", name="Stop query").click()


def test_a_wrong_password_is_told_and_nobody_is_signed_in(visitor: Watched) -> None:
    page = visitor.open("/graphql")
    _sign_in(page, "admin@fullon", "pass word")
    expect(page.locator("form [role=alert]")).not_to_be_empty()
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    assert page.evaluate("sessionStorage.getItem('fullon:session')") is None


def test_signing_in_fills_the_headers_of_every_tab_and_signing_out_clears_them(visitor: Watched) -> None:
    page = _graphiql(visitor, "trader@fullon")
    headers = page.locator(".graphiql-editor-tool")
    for example in ("Markets with ticker and candles", "How the services do", "My bots and their orders"):
        page.get_by_role("button", name=example, exact=True).click()
        expect(headers).to_contain_text("Authorization")
    page.get_by_role("button", name="Sign out").click()
    expect(headers).not_to_contain_text("Authorization")
    page.get_by_role("button", name="Execute query").click()
    page.wait_for_function("() => " + ANSWER + ".includes('UNAUTHENTICATED')")


def test_a_reload_keeps_the_session_and_a_new_visitor_has_none(visitor: Watched) -> None:
    page = _graphiql(visitor, "trader@fullon")
    page.reload()
    expect(page.get_by_test_id("signed-in")).to_contain_text("trader@fullon")
    expect(page.locator(".graphiql-editor-tool")).to_contain_text("Authorization")
    expect(visitor.open("/graphql").get_by_role("button", name="Sign in")).to_be_visible()


@pytest.mark.parametrize(("path", "found"), [("/docs", "/api/v1/auth/login"), ("/redoc", "/api/v1/services")])
def test_the_documentation_pages_show_the_routes(visitor: Watched, path: str, found: str) -> None:
    page = visitor.open(path)
    page.wait_for_function("text => document.getElementById('root').innerText.includes(text)", arg=found)
