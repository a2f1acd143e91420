"""Bots, strategies, feeds, keys, accounts, symbols and users are made, changed and removed over GraphQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.running import ANSWER_S, DemoProcess, ask, codes_of, data_of


def change(client: httpx.Client, mutation: str, kind: str, selection: str, **given: object) -> Any:
    query = f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} userErrors {{ code path message }} }} }}"
    return data_of(client, query, input=given)[mutation]


def test_a_bot_lives_from_its_first_day_to_its_last(trader: httpx.Client) -> None:
    made = change(trader, "createBot", "CreateBotInput", "bot { id botId name dryRun active }", name="night shift")
    bot = made["bot"]
    assert made["userErrors"] == []
    assert (bot["name"], bot["dryRun"], bot["active"]) == ("night shift", True, True)

    template = data_of(trader, "{ strategies(first: 1) { nodes { id name } } }")["strategies"]["nodes"][0]
    strategy = change(
        trader,
        "createStrategy",
        "CreateStrategyInput",
        "strategy { id takeProfit leverage template { name } bot { name } }",
        botId=bot["id"],
        strategyTemplateId=template["id"],
        takeProfit="3.5",
    )["strategy"]
    assert strategy == strategy | {"takeProfit": "3.5", "template": {"name": template["name"]}, "bot": {"name": "night shift"}}

    symbol = data_of(trader, '{ symbol(exchange: "kraken", symbol: "ETH/USD") { id } }')["symbol"]
    feed = change(
        trader,
        "createFeed",
        "CreateFeedInput",
        "feed { id period compression number symbol { symbol } }",
        strategyId=strategy["id"],
        symbolId=symbol["id"],
        period="Minutes",
        compression=5,
        number=1,
    )["feed"]
    assert feed == feed | {"period": "Minutes", "compression": 5, "number": 1, "symbol": {"symbol": "ETH/USD"}}

    updated = change(trader, "updateBot", "UpdateBotInput", "bot { name active dryRun }", id=bot["id"], active=False)
    assert updated["bot"] == {"name": "night shift", "active": False, "dryRun": True}

    found = data_of(
        trader,
        """query($name: String!) { bots(filter: { name: { eq: $name }, active: false }) {
             nodes { strategies { feeds { symbol { symbol } } } } } }""",
        name="night shift",
    )
    assert found["bots"]["nodes"] == [{"strategies": [{"feeds": [{"symbol": {"symbol": "ETH/USD"}}]}]}]

    assert change(trader, "deleteFeed", "DeleteInput", "deletedId", id=feed["id"])["deletedId"] == feed["id"]
    assert change(trader, "deleteBot", "DeleteInput", "deletedId", id=bot["id"])["deletedId"] == bot["id"]
    again = change(trader, "deleteBot", "DeleteInput", "deletedId", id=bot["id"])
    assert (again["deletedId"], again["userErrors"][0]["code"]) == (None, "NOT_FOUND")


def test_a_key_is_shown_once_opens_what_its_scopes_say_and_can_be_revoked(demo: DemoProcess, trader: httpx.Client) -> None:
    made = change(
        trader, "createApiKey", "CreateApiKeyInput", "key apiKey { id prefix scopes isActive }", name="reader", scopes=["READ"]
    )
    key, row = made["key"], made["apiKey"]
    assert key.startswith("fullon_ak_")
    assert key.startswith(row["prefix"])
    assert (row["scopes"], row["isActive"]) == (["READ"], True)
    assert key not in str(data_of(trader, "{ me { apiKeys { id prefix name } } }"))

    with httpx.Client(base_url=demo.url, headers={"X-API-Key": key}, timeout=ANSWER_S) as reader:
        assert data_of(reader, "{ me { mail } }")["me"]["mail"] == "trader@fullon"
        refused = ask(reader, 'mutation { createBot(input: { name: "x" }) { bot { id } } }')
        assert codes_of(refused) == ["FORBIDDEN"]

        change(trader, "revokeApiKey", "RevokeApiKeyInput", "apiKey { isActive }", id=row["id"])
        assert reader.post("/graphql", json={"query": "{ me { mail } }"}).status_code == 401


def test_a_trader_may_not_give_a_key_more_than_they_may_themself(trader: httpx.Client) -> None:
    answer = ask(trader, 'mutation { createApiKey(input: { name: "x", scopes: [ADMIN] }) { key userErrors { code } } }')

    assert codes_of(answer) == ["FORBIDDEN"]


def test_credentials_of_an_account_go_in_and_never_come_out(trader: httpx.Client) -> None:
    exchange = data_of(trader, '{ exchange(name: "kraken") { id } }')["exchange"]
    made = change(
        trader,
        "createExchangeAccount",
        "CreateExchangeAccountInput",
        "exchangeAccount { id name active exchange { name } }",
        exchangeId=exchange["id"],
        name="second",
        active=False,
        apiKey="the key",
        apiSecret="dGhlIHNlY3JldA==",
    )
    assert made["userErrors"] == []
    account = made["exchangeAccount"]
    assert account == account | {"name": "second", "active": False, "exchange": {"name": "kraken"}}

    twice = change(
        trader,
        "createExchangeAccount",
        "CreateExchangeAccountInput",
        "exchangeAccount { id }",
        exchangeId=exchange["id"],
        name="second",
    )
    assert twice["userErrors"][0]["code"] == "CONFLICT"
    gone = change(trader, "deleteExchangeAccount", "DeleteInput", "deletedId", id=account["id"])
    assert gone["deletedId"] == account["id"]


def test_symbols_and_users_are_for_admins(trader: httpx.Client, admin: httpx.Client) -> None:
    exchange = data_of(admin, '{ exchange(name: "kraken") { id } }')["exchange"]
    symbol = {"exchangeId": exchange["id"], "symbol": "XRP/USD", "active": False}
    query = (
        "mutation($input: CreateSymbolInput!) { createSymbol(input: $input) { symbol { id base quote } userErrors { code } } }"
    )
    assert codes_of(ask(trader, query, input=symbol)) == ["FORBIDDEN"]

    made = data_of(admin, query, input=symbol)["createSymbol"]
    assert made["symbol"] == made["symbol"] | {"base": "XRP", "quote": "USD"}
    assert data_of(admin, query, input=symbol)["createSymbol"]["userErrors"][0]["code"] == "CONFLICT"
    assert change(admin, "deleteSymbol", "DeleteInput", "deletedId", id=made["symbol"]["id"])["userErrors"] == []


def test_an_admin_adds_a_user_who_logs_in_and_changes_their_password(demo: DemoProcess, admin: httpx.Client) -> None:
    user = change(admin, "createUser", "CreateUserInput", "user { id mail role }", mail="ada@fullon", password="first password")[
        "user"
    ]
    assert (user["mail"], user["role"]) == ("ada@fullon", "USER")

    login = 'mutation($p: String!) { login(input: { mail: "ada@fullon", password: $p }) { accessToken userErrors { code } } }'
    session = data_of(admin, login, p="first password")["login"]
    with httpx.Client(base_url=demo.url, headers={"Authorization": f"Bearer {session['accessToken']}"}, timeout=ANSWER_S) as ada:
        wrong = change(
            ada, "changePassword", "ChangePasswordInput", "user { id }", password="second password", currentPassword="no"
        )
        assert wrong["userErrors"][0]["path"] == ["input", "currentPassword"]
        right = change(
            ada,
            "changePassword",
            "ChangePasswordInput",
            "user { id }",
            password="second password",
            currentPassword="first password",
        )
        assert right["userErrors"] == []
        assert ada.post("/graphql", json={"query": "{ me { mail } }"}).status_code == 401
    assert data_of(admin, login, p="first password")["login"]["userErrors"][0]["code"] == "UNAUTHENTICATED"
    assert data_of(admin, login, p="second password")["login"]["accessToken"]

    short = change(admin, "createUser", "CreateUserInput", "user { id }", mail="bob@fullon", password="short")
    assert short["userErrors"][0]["path"] == ["input", "password"]
    assert change(admin, "deleteUser", "DeleteInput", "deletedId", id=user["id"])["userErrors"] == []


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ('filter: { base: { eq: "BTC" } }', ["BTC/USD", "BTC/USDT"]),
        ('filter: { symbol: { contains: "usdt" } }', ["BTC/USDT"]),
        ('filter: { symbol: { in: ["SOL/USD", "ETH/USD"] } }', ["ETH/USD", "SOL/USD"]),
        ('filter: { not: { quote: { eq: "USD" } } }', ["BTC/USDT"]),
        ('filter: { or: [{ base: { eq: "SOL" } }, { quote: { eq: "USDT" } }] }', ["BTC/USDT", "SOL/USD"]),
        ('filter: { and: [{ base: { startsWith: "b" } }, { quote: { eq: "USD" } }] }', ["BTC/USD"]),
    ],
)
def test_lists_are_filtered_and_ordered(trader: httpx.Client, query: str, symbols: list[str]) -> None:
    found = data_of(trader, f"{{ symbols({query}, orderBy: {{ field: SYMBOL }}) {{ nodes {{ symbol active }} }} }}")

    assert [row["symbol"] for row in found["symbols"]["nodes"] if row["active"]] == symbols


def test_pages_of_a_list_are_the_list(trader: httpx.Client) -> None:
    query = """query($after: String) { symbols(first: 2, after: $after, orderBy: { field: SYMBOL, direction: DESC }) {
      edges { cursor node { symbol } } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
    whole = data_of(trader, "{ symbols(first: 500, orderBy: { field: SYMBOL, direction: DESC }) { nodes { symbol } } }")
    found: list[str] = []
    after = None
    while True:
        page = data_of(trader, query, after=after)["symbols"]
        found += [edge["node"]["symbol"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        assert after == page["edges"][-1]["cursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert found == [row["symbol"] for row in whole["symbols"]["nodes"]]
