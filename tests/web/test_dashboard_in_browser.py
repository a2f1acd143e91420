"""A trader and an admin work with the dashboard in a real browser, against a running demo."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest
from playwright.sync_api import Browser, Page, Response, WebSocket, expect

from tests.servers import free_port
from tests.web.conftest import WAIT_MS, Watched, new_context, serious_faults, start_demo, stop_demo

LAST: Final = "[data-symbol='BTC/USD'] [data-cell=last]"
LATE_S: Final = 1.0

# Notes each text that the last price of BTC/USD takes, and when it took it.
NOTE_PRICES: Final = """() => {
  const cell = document.querySelector("[data-symbol='BTC/USD'] [data-cell=last]");
  window.prices = [];
  const note = () => window.prices.push([cell.textContent, Date.now()]);
  new MutationObserver(note).observe(cell, { characterData: true, childList: true, subtree: true });
}"""

# Whether the chart shows this symbol and marks as many own orders as the table has filled ones of it.
ALL_FILLS_MARKED: Final = """(symbol) => {
  const rows = [...document.querySelectorAll("[data-order][data-status=FILLED]")];
  const filled = rows.filter((row) => row.querySelector("th").textContent === symbol).length;
  const canvas = document.querySelector(".canvas");
  if (!canvas) return false; // The chart library comes after the page.
  return canvas.getAttribute("aria-label").includes(symbol) && filled > 0 && Number(canvas.dataset.marks) === filled;
}"""

# Cards of services that do not show all of their columns.
CARDS_CUT: Final = """() => [...document.querySelectorAll("[data-service]")]
  .filter((card) => [...card.querySelectorAll("table")].some((table) => table.offsetWidth > card.clientWidth))
  .map((card) => card.dataset.service)"""

# Names of feeds of which a part between two colons takes more than one line.
FEEDS_CUT: Final = """() => [...document.querySelectorAll("[data-service] tbody th")].filter((cell) => {
  const texts = [...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return texts.some((node) => {
    const range = document.createRange();
    range.selectNode(node);
    return new Set([...range.getClientRects()].map((box) => box.top)).size > 1;
  });
}).map((cell) => cell.textContent)"""

# Whether 95 rows of the grid changed since this was first asked.
MOST_ROWS_CHANGED: Final = """() => {
  window.first ??= new Map([...document.querySelectorAll("[data-symbol]")].map((row) => [row, row.textContent]));
  window.changed ??= new Set();
  for (const [row, text] of window.first) if (row.textContent !== text) window.changed.add(row);
  return window.changed.size >= 95;
}"""

# Notes whether the ticker of BTC/USD is said to have brought fewer messages than before, or has left the table.
NOTE_MESSAGES: Final = """() => {
  let most = 0;
  window.anew = false;
  const card = document.querySelector("[data-service=TICKER]");
  const note = () => {
    const row = [...card.querySelectorAll("tbody tr")].find((one) => one.textContent.startsWith("kraken:BTC/USD:ticker"));
    const now = row ? Number(row.cells[1].textContent) : 0;
    window.anew ||= now < most;
    most = Math.max(most, now);
  };
  note();
  new MutationObserver(note).observe(card, { characterData: true, childList: true, subtree: true });
}"""

# How many controls a page shows that can be used now, and which of them never had the focus when this was asked; what has it
# without a line of two pixels around it.
FOCUSED: Final = """() => {
  window.reached ??= new Set();
  const at = document.activeElement;
  const outside = at === null || at === document.body;
  const { outlineStyle, outlineWidth } = getComputedStyle(outside ? document.body : at);
  const plain = !outside && (outlineStyle === "none" || parseFloat(outlineWidth) < 2);
  if (!outside) window.reached.add(at);
  const controls = [...document.querySelectorAll("button, input, select, a[href]")].filter(
    (one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0,
  );
  const missed = controls.filter((one) => !window.reached.has(one)).map((one) => one.outerHTML);
  return { controls: controls.length, missed, plain: plain ? at.outerHTML : null };
}"""

PLACE: Final = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { message } } }"


def _trade_at_the_exchange(url: str, side: str, quantity: str) -> None:
    """Place the trader's market order of SOL/USD at the paper exchange: the ticket places dry runs only."""
    with httpx.Client(base_url=url, timeout=60) as client:

        def ask(query: str, given: dict[str, Any]) -> Any:
            return client.post("/graphql", json={"query": query, "variables": {"input": given}}).json()["data"]

        sign_in = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
        token = ask(sign_in, {"mail": "trader@fullon", "password": "password"})["login"]["accessToken"]
        client.headers["Authorization"] = f"Bearer {token}"
        accounts = client.post("/graphql", json={"query": "{ me { exchangeAccounts { id } } }"}).json()["data"]
        account = accounts["me"]["exchangeAccounts"][0]["id"]
        order = {"exchangeAccountId": account, "symbol": "SOL/USD", "side": side, "type": "MARKET", "quantity": quantity}
        placed = ask(PLACE, order | {"dryRun": False, "clientOrderId": f"panel-{side}-{quantity}"})["placeOrder"]
        assert placed["userErrors"] == []


def _sign_in(page: Page, who: str) -> Page:
    page.get_by_label("Mail").fill(who)
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-panel=market]")).to_be_visible()
    return page


def _dashboard(visitor: Watched, who: str = "trader@fullon") -> Page:
    return _sign_in(visitor.open("/"), who)


def _speaks_of(name: str, answer: Response) -> bool:
    """Whether it answers a request that says this name."""
    return name in (answer.request.post_data or "")


def _wait_for_tick(page: Page) -> None:
    """Until the last price of BTC/USD is another than now."""
    before = page.locator(LAST).inner_text()
    expect(page.locator(LAST)).not_to_have_text(before)


def test_a_browser_gets_the_dashboard_and_other_clients_the_json_of_the_original(demo_url: str) -> None:
    page = httpx.get(demo_url, timeout=60, headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"].startswith("text/html")
    assert "dashboard.js" in page.text
    for accept in ("application/json", "*/*"):
        answer = httpx.get(demo_url, timeout=60, headers={"Accept": accept}).json()
        assert {"service", "version", "docs", "health", "api"} <= set(answer)


def test_a_change_at_the_exchange_is_on_the_screen_within_a_second(visitor: Watched) -> None:
    sent: dict[str, float] = {}

    def note(frame: str | bytes) -> None:
        message = orjson.loads(frame)
        for ticker in ((message.get("payload") or {}).get("data") or {}).get("tickers", {}).get("tickers", []):
            if ticker["symbol"]["symbol"] == "BTC/USD":
                moment = datetime.fromisoformat(ticker["updatedAt"].replace("Z", "+00:00"))
                sent.setdefault(ticker["last"], moment.astimezone(UTC).timestamp())

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", note)

    page = visitor.context.new_page()
    page.on("websocket", listen)
    page.goto(visitor.url)
    _sign_in(page, "trader@fullon")
    page.evaluate(NOTE_PRICES)
    seen = 0
    until_s = time.monotonic() + WAIT_MS / 1000
    while True:  # The browser and the server start on the same machine: five changes count once it has time for them.
        page.wait_for_function("seen => new Set(window.prices.slice(seen).map(([text]) => text)).size >= 5", arg=seen)
        shown: list[tuple[str, float]] = [(text, at_ms / 1000) for text, at_ms in page.evaluate("() => window.prices")]
        delays = [at_s - sent[text] for text, at_s in shown[seen:] if text in sent]
        assert len(delays) >= 4
        if (middle_s := sorted(delays)[len(delays) // 2]) < LATE_S:
            break
        assert time.monotonic() < until_s, f"a change is on the screen after {middle_s} s: {delays}"
        seen = len(shown)


def test_the_arrow_keys_choose_the_symbol_that_the_other_panels_show(visitor: Watched) -> None:
    page = _dashboard(visitor)
    page.get_by_role("button", name="BTC/USD", exact=True).focus()
    page.keyboard.press("ArrowDown")
    pressed = page.locator("[data-panel=market] [aria-pressed=true]")
    expect(pressed).not_to_have_text("BTC/USD")
    chosen = pressed.inner_text()
    expect(page.get_by_role("heading", name=f"{chosen} on kraken")).to_be_visible()
    expect(page.get_by_role("button", name=f"Buy {chosen.split('/')[0]}", exact=True)).to_be_visible()


def test_the_chart_shows_stored_bars_of_each_timeframe(visitor: Watched) -> None:
    page = _dashboard(visitor)
    canvas = page.locator(".canvas")
    expect(canvas).to_have_attribute("data-bars", re.compile(r"^([2-9]|[1-9]\d+)$"))
    for button, timeframe in (("5m", "MINUTE_5"), ("1h", "HOUR_1"), ("1m", "MINUTE_1")):
        with page.expect_response(partial(_speaks_of, timeframe)) as asked:
            page.get_by_role("button", name=button, exact=True).click()
        stored = len(asked.value.json()["data"]["symbol"]["candleColumns"]["openedAt"])
        assert stored > 1
        expect(page.get_by_role("button", name=button, exact=True)).to_have_attribute("aria-pressed", "true")
        # One more as soon as the live bar is new.
        expect(canvas).to_have_attribute("data-bars", re.compile(rf"^({stored}|{stored + 1})$"))


def test_the_newest_bar_follows_the_market_as_it_is_told_by_the_candle_stream(visitor: Watched) -> None:
    told: set[str] = set()

    def note(frame: str | bytes) -> None:
        candle = ((orjson.loads(frame).get("payload") or {}).get("data") or {}).get("candle")
        if candle:
            told.add(candle["close"])

    page = visitor.context.new_page()
    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.goto(visitor.url)
    _sign_in(page, "trader@fullon")
    canvas = page.locator(".canvas")
    expect(canvas).to_have_attribute("data-close", re.compile(r"^\d+\.\d$"))
    before = canvas.get_attribute("data-close")
    expect(canvas).not_to_have_attribute("data-close", str(before))
    assert {before, canvas.get_attribute("data-close")} <= told


def test_a_row_shows_the_exact_spread_the_change_of_the_day_and_the_age(visitor: Watched) -> None:
    page = _dashboard(visitor)
    _wait_for_tick(page)
    rows: list[list[str]] = page.evaluate(
        "() => [...document.querySelectorAll('[data-symbol]')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert len(rows) == 4
    for _symbol, _last, change, bid, ask, spread, age in rows:
        assert Decimal(spread) == Decimal(ask) - Decimal(bid) > 0
        assert re.fullmatch(r"([+-]\d+|0)\.\d\d %", change)
        assert re.fullmatch(r"(stale )?\d+ s", age)


def test_a_trader_buys_at_the_market_and_sees_the_fill(visitor: Watched) -> None:
    page = _dashboard(visitor)
    page.get_by_label("Quantity, BTC").fill("0.0123")
    page.get_by_role("button", name="Buy BTC").click()
    row = page.locator("[data-order]", has_text="0.0123").first
    expect(row).to_have_attribute("data-status", "FILLED")
    expect(row).to_contain_text("buy")


def test_the_chart_marks_own_filled_orders_of_its_symbol(visitor: Watched) -> None:
    page = _dashboard(visitor)
    for symbol, quantity in (("BTC/USD", "0.0456"), ("ETH/USD", "0.0567")):
        page.get_by_role("button", name=symbol, exact=True).click()
        base = symbol.split("/")[0]
        page.get_by_label(f"Quantity, {base}").fill(quantity)
        page.get_by_role("button", name=f"Buy {base}", exact=True).click()
        row = page.locator("[data-order]", has_text=quantity).first
        expect(row).to_have_attribute("data-status", "FILLED")
        page.wait_for_function(ALL_FILLS_MARKED, arg=symbol)


def test_the_positions_panel_follows_fills_at_the_exchange_and_values_them(visitor: Watched) -> None:
    page = _dashboard(visitor)
    position = page.locator("[data-panel=holdings] [data-position='SOL/USD']")
    expect(page.locator("[data-panel=holdings]")).to_contain_text("No open positions.")
    for side, quantity, left in (("BUY", "2", "2"), ("SELL", "0.5", "1.5")):
        _trade_at_the_exchange(visitor.url, side, quantity)
        expect(position.locator("td").first).to_have_text(left)
        gain = position.locator("td").nth(2)
        expect(gain).to_have_text(re.compile(r"^-?\d+(\.\d+)?$"))
        told, colour = gain.evaluate("cell => [cell.textContent, cell.className]")  # Both of one moment: it follows the market.
        assert colour == ("up" if float(told) > 0 else "down" if float(told) < 0 else "")
    expect(position.locator("td").nth(3)).to_have_text(re.compile(r"^-?\d*\.?\d*[1-9]\d*$"))  # Realized: not nothing.
    _trade_at_the_exchange(visitor.url, "SELL", "1.5")
    expect(position).to_have_count(0)


def test_a_bot_shows_its_strategy_with_its_limits_and_its_feeds(visitor: Watched) -> None:
    page = _dashboard(visitor)
    strategy = page.locator("[data-panel=bots] [data-bot='HAYDEN RSI LONG BTC/USD'] li")
    expect(strategy).to_have_text(
        "rsi_hayden_long: leverage 2, take profit 3 %, stop loss 1 %, reads BTC/USD 1 ticks, BTC/USD 60 minutes"
    )
    expect(page.locator("[data-panel=bots] [data-bot='HTEST LLM trader'] li")).to_contain_text("reads SOL/USD 1 ticks")


def test_times_are_utc_wherever_the_browser_is(browser: Browser, demo_url: str) -> None:
    context = new_context(browser, viewport={"width": 1500, "height": 900}, timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(demo_url)
    _sign_in(page, "trader@fullon")
    page.get_by_label("Quantity, BTC").fill("0.0234")
    page.get_by_role("button", name="Buy BTC").click()
    row = page.locator("[data-order]", has_text="0.0234").first
    expect(row).to_be_visible()
    shown = datetime.strptime(row.locator("td").nth(5).inner_text()[-8:], "%H:%M:%S")  # noqa: DTZ007  a time without a day
    now = datetime.now(UTC)
    late_s = (now.hour - shown.hour) * 3600 + (now.minute - shown.minute) * 60 + now.second - shown.second
    assert late_s % 86_400 < 3_600  # Tokyo is nine hours ahead.
    context.close()


def test_a_trader_cancels_an_order_that_waits(visitor: Watched) -> None:
    page = _dashboard(visitor)
    page.get_by_label("Type").select_option("LIMIT")
    page.get_by_label("Quantity, BTC").fill("0.0321")
    page.get_by_label("Price, USD").fill("1000")
    page.get_by_role("button", name="Buy BTC").click()
    row = page.locator("[data-order]", has_text="0.0321").first
    expect(page.locator(".canvas")).to_have_attribute("data-waiting", "1")  # Drawn as a line at its price.
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_have_attribute("data-status", "CANCELED")
    expect(page.locator(".canvas")).to_have_attribute("data-waiting", "0")


def test_a_refused_order_says_why_and_stays_in_the_ticket(visitor: Watched) -> None:
    page = _dashboard(visitor)
    page.get_by_label("Quantity, BTC").fill("0")
    page.get_by_role("button", name="Sell BTC").click()
    expect(page.locator("[data-panel=ticket] [role=alert]")).to_contain_text("must be above 0")
    assert page.get_by_label("Quantity, BTC").input_value() == "0"


def test_a_trader_sees_balances_and_bots_and_no_services(visitor: Watched) -> None:
    page = _dashboard(visitor)
    expect(page.locator("[data-currency=USD]")).to_be_visible()
    expect(page.locator("[data-panel=bots] [data-bot]").first).to_be_visible()
    expect(page.locator("[data-panel=services]")).to_have_count(0)


def test_an_admin_stops_the_ticker_service_and_the_grid_says_stale_until_it_runs_again(visitor: Watched) -> None:
    page = _dashboard(visitor, "admin@fullon")
    card = page.locator("[data-service=TICKER]")
    expect(card).to_have_attribute("data-state", "RUNNING")
    try:
        page.get_by_role("button", name="stop ticker").click()
        expect(card).to_have_attribute("data-state", "STOPPED")
        expect(page.locator("[data-symbol='BTC/USD'] .age")).to_contain_text("stale")
    finally:
        page.get_by_role("button", name="start ticker", exact=True).click()
        expect(card).to_have_attribute("data-state", "RUNNING")
    expect(page.locator("[data-symbol='BTC/USD'] .age")).not_to_contain_text("stale")
    _wait_for_tick(page)


def test_an_admin_restarts_a_service(visitor: Watched) -> None:
    page = _dashboard(visitor, "admin@fullon")
    card = page.locator("[data-service=TICKER]")
    feed = card.locator("tr", has_text="kraken:BTC/USD:ticker").locator("td").first
    expect(feed).to_have_text(re.compile(r"^\d{2,}$"))  # It has told more than nine by now.
    page.evaluate(NOTE_MESSAGES)
    page.get_by_role("button", name="restart ticker", exact=True).click()
    page.wait_for_function("() => window.anew")  # A new service counts anew.
    expect(card).to_have_attribute("data-state", "RUNNING")
    expect(page.locator("[data-panel=services] [role=alert]")).to_have_count(0)
    _wait_for_tick(page)


def test_an_admin_sees_heartbeats_the_health_of_each_feed_and_the_lag_of_the_connection(visitor: Watched) -> None:
    page = _dashboard(visitor, "admin@fullon")
    card = page.locator("[data-service=TICKER]")
    expect(card).to_contain_text(re.compile(r"Heartbeat \d+ s ago, \d+ restarts?"))
    feed = card.locator("tr", has_text="kraken:BTC/USD:ticker")
    expect(feed).to_be_visible()
    messages = feed.locator("td").first
    expect(messages).not_to_have_text(messages.inner_text())
    expect(page.locator("[data-connection=live]")).to_have_text(re.compile(r"live, \d+ ms"))


def test_the_page_goes_on_by_itself_after_the_server_was_away(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    server, url = start_demo(tmp_path, port)
    context = new_context(browser)
    try:
        page = context.new_page()
        page.goto(url)
        _sign_in(page, "trader@fullon")
        _wait_for_tick(page)
        page.evaluate("() => { window.sameDocument = true; }")
        assert stop_demo(server) == 0
        expect(page.locator("[data-connection=lost]")).to_be_visible()
        server, url = start_demo(tmp_path, port)
        expect(page.locator("[data-connection=live]")).to_be_visible()
        _wait_for_tick(page)
        assert page.evaluate("() => window.sameDocument") is True
    finally:
        context.close()
        assert stop_demo(server) == 0


def test_the_chosen_theme_outlives_a_reload(visitor: Watched) -> None:
    page = _dashboard(visitor)
    before = page.evaluate("() => document.documentElement.dataset.theme")
    page.get_by_role("button", name="Light" if before == "dark" else "Dark", exact=True).click()
    expect(page.locator("[data-panel=chart] .canvas")).to_be_visible()
    page.reload()
    assert page.evaluate("() => document.documentElement.dataset.theme") == ("light" if before == "dark" else "dark")


def test_the_tab_key_reaches_every_control_and_each_shows_that_it_has_the_focus(visitor: Watched) -> None:
    page = _dashboard(visitor, "admin@fullon")
    expect(page.locator("[data-service=ACCOUNT]")).to_be_visible()
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_function(f"() => ({FOCUSED})().controls > 20")
    focused = page.evaluate(FOCUSED)
    for _ in range(5 * focused["controls"]):  # What the page shows late, the chart's own link too, is reached in a later round.
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["plain"] is None
        if not focused["missed"]:
            break
    assert focused["missed"] == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1500, 390])
def test_no_serious_fault_of_accessibility_and_no_sideways_scroll(
    browser: Browser, demo_url: str, scheme: Any, width: int
) -> None:
    context = new_context(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(demo_url)
    door = serious_faults(page)
    _sign_in(page, "admin@fullon")
    expect(page.locator("[data-service=TICKER]")).to_be_visible()
    assert door + serious_faults(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    expect(page.locator("[data-service=TICKER] tbody tr").first).to_be_visible()
    assert page.evaluate(CARDS_CUT) == []
    assert page.evaluate(FEEDS_CUT) == []
    context.close()


@pytest.mark.slow
def test_a_hundred_markets_move_in_a_pane_of_their_own_and_the_keyboard_reaches_the_last(
    browser: Browser, tmp_path: Path
) -> None:
    server, url = start_demo(tmp_path, 0, "--markets", "100", "--updates-per-s", "1")
    context = new_context(browser, viewport={"width": 1500, "height": 900})
    try:
        page = context.new_page()
        page.goto(url)
        _sign_in(page, "trader@fullon")
        expect(page.locator("[data-symbol]")).to_have_count(100)
        page.wait_for_function(MOST_ROWS_CHANGED)
        assert page.evaluate("() => document.documentElement.scrollHeight") <= 950
        page.get_by_role("button", name="LINK/EUR", exact=True).focus()
        for _ in range(6):
            page.keyboard.press("ArrowDown")
        expect(page.get_by_role("heading", name="DOT/EUR on kraken")).to_be_visible()
        last = page.locator("[data-symbol='DOT/EUR']")
        expect(last).to_be_in_viewport()
        expect(last.locator("td").first).to_have_text(re.compile(r"^\d+\.\d{4}$"))
        assert serious_faults(page) == []
    finally:
        context.close()
        assert stop_demo(server) == 0
