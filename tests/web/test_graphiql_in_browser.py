"""People work with GraphiQL and the documentation pages in a real browser, against a running demo."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.web.conftest import Watched, new_context, serious_faults

# The text of the answer's editor, by the name under which GraphiQL keeps Monaco; the page itself holds visible lines only.
ANSWER = "(globalThis.__MONACO?.editor.getModels().find(model => model.uri.path.includes('response'))?.getValue() ?? '')"
QUERY = "(globalThis.__MONACO?.editor.getModels().find(model => model.uri.path.includes('operation'))?.getValue() ?? '')"
# A tab of GraphiQL's own is an element that holds its close button; nothing of ours can change that.
OF_GRAPHIQL: Final = "nested-interactive"
SILENCE_MS = 2_500  # The demo's tickers change several times a second.
# Whether the answer has not changed for so long.
SILENT = f"""silence => {{
  const text = {ANSWER};
  if (globalThis.heard !== text) [globalThis.heard, globalThis.since] = [text, performance.now()];
  return performance.now() - globalThis.since >= silence;
}}"""


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
        watching.wait_for_function(SILENT, arg=SILENCE_MS, polling=100)  # What was on its way has come by then.
        before = _text(watching)
    finally:
        started = _run(admin, "Start the ticker service", "RUNNING")
    assert started == {"data": {"startService": {"service": {"name": "TICKER", "state": "RUNNING"}, "userErrors": []}}}
    watching.wait_for_function("before => " + ANSWER + " !== before", arg=before)  # Ticks go on.


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


def test_the_headers_of_a_tab_reach_the_socket_with_its_first_message(visitor: Watched) -> None:
    sent: list[dict[str, Any]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: sent.append(json.loads(frame)))

    page = visitor.context.new_page()
    page.on("websocket", listen)
    page.goto(visitor.url + "/graphql")
    _sign_in(page, "trader@fullon")
    expect(page.get_by_test_id("signed-in")).to_be_visible()
    page.get_by_role("button", name="One ticker, live", exact=True).click()
    expect(page.locator(".graphiql-editor-tool")).to_contain_text("Authorization")
    page.get_by_role("button", name="Execute query").click()
    page.wait_for_function("() => " + ANSWER + ".includes('bid')")
    token = json.loads(page.evaluate("() => sessionStorage.getItem('fullon:session')"))["token"]
    assert sent[0] == {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}


def test_the_explorer_writes_the_operation_and_the_docs_describe_the_schema(visitor: Watched) -> None:
    page = _graphiql(visitor, "trader@fullon")
    page.get_by_role("button", name="Show GraphiQL Explorer").click()
    explorer = page.locator(".graphiql-plugin")
    assert "exchanges" not in page.evaluate("() => " + QUERY)
    explorer.get_by_text("exchanges", exact=True).click()
    page.wait_for_function("() => " + QUERY + ".includes('exchanges')")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    explorer.get_by_text("Subscription", exact=True).first.click()
    expect(explorer.get_by_text("tickers", exact=True)).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1500, 390])
def test_graphiql_has_no_serious_fault_of_ours_and_no_sideways_scroll(
    browser: Browser, demo_url: str, scheme: Any, width: int
) -> None:
    context = new_context(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(demo_url + "/graphql")
    _sign_in(page, "trader@fullon")
    expect(page.get_by_test_id("signed-in")).to_be_visible()
    _run(page, "Markets with ticker and candles", "candles")
    start = serious_faults(page)
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.get_by_text("All Schema Types")).to_be_visible()
    found = [fault for fault in start + serious_faults(page) if not fault.startswith(OF_GRAPHIQL)]
    assert found == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    context.close()
