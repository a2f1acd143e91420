"""Whatever comes in, the answer is a coded error: no 500, no traceback, no word of the inside."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.running import DemoProcess, ask, codes_of, data_of

SYMBOL = '{ symbol(exchange: "kraken", symbol: "BTC/USD") { %s } }'


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ me { mail ", "PARSE_FAILED"),
        ("", "BAD_USER_INPUT"),
        ("{ nothing }", "VALIDATION_FAILED"),
        ("query A { me { mail } } query B { me { mail } }", "BAD_USER_INPUT"),
        (SYMBOL % "candles(timeframe: MINUTE_7) { close }", "VALIDATION_FAILED"),
        (SYMBOL % "candles(timeframe: MINUTE_1, limit: 0) { close }", "BAD_USER_INPUT"),
        (SYMBOL % "candles(timeframe: MINUTE_1, limit: 1000000000) { close }", "COST_LIMIT"),
        (SYMBOL % "candles(timeframe: MINUTE_1, limit: 6000) { close }", "BAD_USER_INPUT"),
        (SYMBOL % 'candles(timeframe: MINUTE_1, start: "yesterday") { close }', "VALIDATION_FAILED"),
        (SYMBOL % 'candles(timeframe: MINUTE_1, start: "2026-01-01T00:00:00") { close }', "VALIDATION_FAILED"),
        (SYMBOL % 'candles(timeframe: DAY_1, zone: "Mars/Olympus") { close }', "BAD_USER_INPUT"),
        (SYMBOL % "coverage(timeframe: MONTH_1) { start }", "BAD_USER_INPUT"),
        ('{ ticker(exchange: "kraken", symbol: "NOT/THERE") { last } }', "NOT_FOUND"),
        ('{ symbol(exchange: "kraken", symbol: "NOT/THERE") { candles(timeframe: DAY_1) { close } } }', "NOT_FOUND"),
        ('{ ticker(exchange: "nowhere", symbol: "BTC/USD") { last } }', "NOT_FOUND"),
        ("{ symbols(first: 0) { nodes { symbol } } }", "BAD_USER_INPUT"),
        ("{ symbols(first: -1) { nodes { symbol } } }", "BAD_USER_INPUT"),
        ('{ symbols(after: "garbage") { nodes { symbol } } }', "BAD_CURSOR"),
        ('{ bot(id: "not an id") { name } }', "BAD_USER_INPUT"),
        ("subscription { services { cursor } }", "BAD_USER_INPUT"),
        ("{ users { nodes { mail } } }", "FORBIDDEN"),
        ("{ services { name } }", "FORBIDDEN"),
        ("{ processes { id } }", "FORBIDDEN"),
        ("mutation { stopService(input: { name: TICKER }) { service { state } } }", "FORBIDDEN"),
        ("mutation { stopService(input: { name: NOTHING }) { service { state } } }", "VALIDATION_FAILED"),
    ],
)
def test_a_bad_operation_gets_a_code(trader: httpx.Client, query: str, code: str) -> None:
    answer = trader.post("/graphql", json={"query": query})

    assert answer.status_code < 500, answer.text
    assert codes_of(answer.json())[0] == code, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "{ me { mail } }",
        "{ symbols { nodes { symbol } } }",
        '{ exchange(name: "kraken") { name } }',
        '{ ticker(exchange: "kraken", symbol: "BTC/USD") { last } }',
        "{ orders { nodes { id } } }",
        '{ node(id: "VXNlcjox") { id } }',
        "{ services { name } }",
    ],
)
def test_nothing_is_answered_to_a_stranger(stranger: httpx.Client, query: str) -> None:
    answer = ask(stranger, query)

    assert codes_of(answer) == ["UNAUTHENTICATED"]
    assert list(answer["data"].values()) == [None]


def test_a_bad_token_is_refused_before_anything_is_done(stranger: httpx.Client) -> None:
    answer = stranger.post("/graphql", json={"query": "{ __typename }"}, headers={"Authorization": "Bearer nonsense"})

    assert answer.status_code == 401
    assert codes_of(answer.json()) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_FAILED"),
        (b"", "PARSE_FAILED"),
        (b"[" * 100_000, "PARSE_FAILED"),
        (b"1", "BAD_USER_INPUT"),
        (b'{"query": 1}', "BAD_USER_INPUT"),
        (b'{"query": "{ __typename }", "variables": []}', "BAD_USER_INPUT"),
    ],
)
def test_a_bad_body_gets_a_code(trader: httpx.Client, body: bytes, code: str) -> None:
    answer = trader.post("/graphql", content=body, headers={"Content-Type": "application/json"})

    assert 400 <= answer.status_code < 500, answer.text
    assert codes_of(answer.json()) == [code], answer.text


def test_a_body_that_is_too_large_is_refused(trader: httpx.Client) -> None:
    answer = trader.post("/graphql", json={"query": "#" * 2_000_000})

    assert answer.status_code == 413
    assert codes_of(answer.json()) == ["TOO_LARGE"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/ohlcv/candles/kraken/NOT/THERE/1m", 404, "NOT_FOUND"),
        ("GET", "/api/v1/ohlcv/candles/kraken/BTC/USD/7m", 422, "BAD_USER_INPUT"),
        ("GET", "/api/v1/ohlcv/candles/kraken/BTC/USD/1m?limit=0", 422, "BAD_USER_INPUT"),
        ("GET", "/api/v1/ohlcv/candles/kraken/BTC/USD/1m?limit=1000000000", 422, "BAD_USER_INPUT"),
        ("GET", "/api/v1/services", 403, "FORBIDDEN"),
        ("POST", "/api/v1/services/ticker/start", 403, "FORBIDDEN"),
        ("POST", "/health/check", 403, "FORBIDDEN"),
        ("POST", "/api/v1/auth/login", 422, "BAD_USER_INPUT"),
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("DELETE", "/health", 405, "BAD_USER_INPUT"),
    ],
)
def test_a_bad_request_over_rest_gets_a_code(trader: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    answer = trader.request(method, path)

    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-Id"]


def test_a_request_id_of_the_client_is_kept(trader: httpx.Client) -> None:
    answer = trader.get("/livez", headers={"X-Request-Id": "mine-1"})
    strange = trader.get("/livez", headers={"X-Request-Id": "not\tone"})

    assert answer.headers["X-Request-Id"] == "mine-1"
    assert strange.headers["X-Request-Id"] != "not\tone"


def test_an_order_that_makes_no_sense_is_answered_with_what_is_wrong(trader: httpx.Client) -> None:
    account = data_of(trader, "{ me { exchangeAccounts { id } } }")["me"]["exchangeAccounts"][0]["id"]
    place = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { code path message } } }"
    good = {"exchangeAccountId": account, "symbol": "BTC/USD", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "10"}
    before = data_of(trader, "{ orders(first: 500) { nodes { id } } }")

    def errors(**changed: object) -> list[Any]:
        payload = data_of(trader, place, input={**good, **changed})["placeOrder"]
        assert payload["order"] is None
        found = payload["userErrors"]
        assert isinstance(found, list)
        return [(error["code"], error["path"]) for error in found]

    assert errors(quantity="0") == [("BAD_USER_INPUT", ["input", "quantity"])]
    assert errors(quantity="-1") == [("BAD_USER_INPUT", ["input", "quantity"])]
    assert errors(price=None) == [("BAD_USER_INPUT", ["input", "price"])]
    assert errors(symbol="NOT/THERE") == [("BAD_USER_INPUT", ["input", "symbol"])]
    assert errors(exchangeAccountId="999999") == [("BAD_USER_INPUT", ["input", "exchangeAccountId"])]
    assert errors(type="STOP") == [("BAD_USER_INPUT", ["input", "type"])]
    assert errors(botId="999999") == [("NOT_FOUND", ["input", "botId"])]
    assert data_of(trader, "{ orders(first: 500) { nodes { id } } }") == before


def test_a_float_is_not_taken_for_money(trader: httpx.Client) -> None:
    order = {"exchangeAccountId": "1", "symbol": "BTC/USD", "side": "BUY", "type": "MARKET", "quantity": 0.1}
    place = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } } }"

    answer = ask(trader, place, input=order)

    assert codes_of(answer) == ["BAD_USER_INPUT"]
    assert "never a float" in answer["errors"][0]["message"]


def test_somebody_elses_things_answer_as_if_they_did_not_exist(trader: httpx.Client, admin: httpx.Client) -> None:
    bot = data_of(admin, "{ me { bots(first: 1) { nodes { id botId } } } }")["me"]["bots"]["nodes"][0]

    found = data_of(
        trader, "query($id: ID!, $n: ID!) { bot(id: $n) { name } node(id: $id) { id } }", id=bot["id"], n=str(bot["botId"])
    )

    assert found == {"bot": None, "node": None}
    assert data_of(admin, "query($id: ID!) { node(id: $id) { id } }", id=bot["id"])["node"] == {"id": bot["id"]}


def test_the_log_holds_no_secret(demo: DemoProcess, trader: httpx.Client) -> None:
    ask(trader, "{ me { mail } }")

    log = demo.log.read_text()

    assert "password" not in log.replace("Running upgrade", "")
    assert demo.token("trader@fullon") not in log
    assert "Traceback" not in log, log[-4000:]
