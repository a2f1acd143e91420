"""Every operation of the README and of the guide to GraphQL runs against the demo, in the order in which it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import httpx

from tests.e2e.running import DemoProcess, data_of

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(r"```graphql\n(.*?)```", re.DOTALL)
BY_ADMIN: Final = re.compile(r"\b(services|auditTrail|\w+Service)\b")
STREAM_S: Final = 60.0


def operations(name: str) -> list[str]:
    return FENCE.findall((ROOT / name).read_text(encoding="utf-8"))


def first_event(client: httpx.Client, query: str, variables: dict[str, Any]) -> Any:
    """What a subscription tells first."""
    headers = {"Accept": "text/event-stream"}
    body = {"query": query, "variables": variables}
    with client.stream("POST", "/graphql", json=body, headers=headers, timeout=STREAM_S) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data:") and line.removeprefix("data:").strip():
                return json.loads(line.removeprefix("data:"))
    raise AssertionError(f"the stream told nothing: {query}")


def run(operation: str, client: httpx.Client, known: dict[str, Any]) -> Any:
    """The data of one operation; what its payload says was wrong with the input fails the test."""
    variables = {name: known[name] for name in re.findall(r"\$(\w+):", operation) if name in known}
    if operation.startswith("subscription"):
        told = first_event(client, operation, variables)
        assert "errors" not in told, told
        return told["data"]
    data = data_of(client, operation, **variables)
    for field in data.values():
        if isinstance(field, dict):
            assert field.get("userErrors", []) == [], field
    return data


def remember(data: dict[str, Any], known: dict[str, Any]) -> None:
    """Keep what later operations need as their variables."""
    for field in data.values():
        for name in ("order", "bot"):
            if isinstance(field, dict) and isinstance(field.get(name), dict) and "id" in field[name]:
                known[name] = field[name]["id"]
    if "login" in data:
        known["token"] = data["login"]["refreshToken"]
    if "strategies" in data:
        known["template"] = data["strategies"]["nodes"][0]["id"]
    if "orders" in data and "pageInfo" in data["orders"]:
        assert data["orders"]["pageInfo"]["hasNextPage"] is True
    if "cursor" in data.get("orders", ()):
        assert data["orders"]["snapshot"] is True


def test_every_operation_that_is_shown_can_be_run_as_it_stands(
    demo: DemoProcess, admin: httpx.Client, trader: httpx.Client
) -> None:
    found = operations("docs/graphql.md")
    assert len(found) >= 20
    account = data_of(trader, "{ me { exchangeAccounts { id name } } }")["me"]["exchangeAccounts"][0]["id"]
    known: dict[str, Any] = {"account": account}
    for operation in found:
        data = run(operation, admin if BY_ADMIN.search(operation) else trader, known)
        assert data is not None, operation
        remember(data, known)
    assert {"token", "order", "bot", "template"} <= known.keys()


def test_the_first_operations_of_the_readme_run(admin: httpx.Client) -> None:
    query, subscription, mutation = operations("README.md")

    symbols = run(query, admin, {})["symbols"]["nodes"]
    assert len(symbols) == 3
    assert set(run(subscription, admin, {})["ticker"]) == {"bid", "ask", "last"}
    try:
        assert run(mutation, admin, {})["stopService"]["service"] == {"name": "TICKER", "state": "STOPPED"}
    finally:
        started = run(mutation.replace("stopService", "startService"), admin, {})
    assert started["startService"]["service"] == {"name": "TICKER", "state": "RUNNING"}
