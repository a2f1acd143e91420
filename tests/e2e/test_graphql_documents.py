"""Documents that schemathesis makes from the schema: no server error, and no error without a public code."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphql
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.graphql import nodes

from fullon_master_api.errors import CODES
from tests.e2e.running import DemoProcess

SCHEMA = Path(__file__).parents[2] / "schema" / "schema.graphql"
EXAMPLES = 200
"""For each operation, half as a trader and half as an admin."""
WHOLE_S = 1_500
"""How long this file may take with all of them; on a machine that is slower still, what comes later gets a tenth."""
LIMITS = {
    "REQUESTS_PER_MINUTE_PER_USER": "0",
    "REQUESTS_PER_MINUTE_PER_ADDRESS": "0",
    "LOGIN_ATTEMPTS_MAX": "1000000",
}
CONTROLS = {"startService", "stopService", "restartService"}
"""What an admin's wish really does, seconds long: as an admin it is tested elsewhere, as a trader it is refused here."""

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)
texts = st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
schemathesis.graphql.scalar("Decimal", st.one_of(decimals.map(lambda number: f"{number:f}"), texts).map(nodes.String))
schemathesis.graphql.scalar("BigInt", st.integers().map(str).map(nodes.String))
schemathesis.graphql.scalar(
    "DateTime", st.one_of(st.datetimes().map(lambda when: f"{when.isoformat()}Z"), texts).map(nodes.String)
)


def told() -> str:
    """The schema's text without @defer and @stream, which graphql-core refuses in a schema that it executes as usual."""
    document = graphql.parse(SCHEMA.read_text(encoding="utf-8"))
    kept = [
        each
        for each in document.definitions
        if not (isinstance(each, graphql.DirectiveDefinitionNode) and each.name.value in ("defer", "stream"))
    ]
    return graphql.print_ast(graphql.DocumentNode(definitions=tuple(kept)))


FOUND = [each.ok() for each in schemathesis.graphql.from_file(told()).get_all_operations() if isinstance(each, Ok)]
OPERATIONS = {found.label: found for found in FOUND}


@pytest.fixture(scope="module")
def full_until() -> float:
    return time.monotonic() + WHOLE_S


@pytest.fixture(scope="module")
def spared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """A demo of this file's own, which may be changed in any way, without limits on how often one asks."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIMITS.items():
            patch.setenv(name, value)
        demo = DemoProcess.start(tmp_path_factory.mktemp("documents"))
    yield demo
    assert demo.stop() == 0


def judge(response: httpx.Response, query: str, seen: Counter[str]) -> None:
    """Raises AssertionError for an answer that no client may ever get."""
    assert response.status_code < 500, (response.status_code, query, response.text)
    body: dict[str, Any] = response.json()
    assert "data" in body or body["errors"], (query, body)
    for error in body.get("errors", ()):
        code = error.get("extensions", {}).get("code")
        assert code in CODES, (query, error)
        assert code != "INTERNAL", (query, error)
        seen[code] += 1
    seen["data"] += body.get("data") is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["trader", "admin"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_document_gets_a_server_error_or_an_error_without_a_code(
    label: str, who: str, spared: DemoProcess, full_until: float
) -> None:
    if who == "admin" and label.removeprefix("Mutation.") in CONTROLS:
        who = "trader"
    seen: Counter[str] = Counter()
    examples = EXAMPLES // 2 if time.monotonic() < full_until else EXAMPLES // 20
    with spared.client(f"{who}@fullon") as client:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(OPERATIONS[label].as_strategy())
        def ask(case: Any) -> None:
            judge(client.post("/graphql", json={"query": case.body}), case.body, seen)

        ask()
    assert sum(seen.values()) > 0
