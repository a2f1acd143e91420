"""Variables are bounded before they are converted, as what a document writes out is before it is read."""

from __future__ import annotations

from typing import Any

import pytest

from fullon_master_api.executor.answers import DocumentError
from fullon_master_api.executor.engine import Engine
from fullon_master_api.schema import build_schema
from fullon_master_api.transport.opening import KEPT_BYTES_MAX, Opener

ENGINE = Engine(build_schema(federated=True))
ORDERS = "query ($given: OrderFilter) { orders(filter: $given) { nodes { id } } }"
TICKERS = 'subscription ($given: [String!]!) { tickers(exchange: "kraken", symbols: $given) { gap } }'
ENTITIES = "query ($given: [_Any!]!) { _entities(representations: $given) { __typename } }"
NESTED: dict[str, Any] = {}
for _ in range(2_000):
    NESTED = {"not": NESTED}


@pytest.mark.parametrize(
    ("query", "given"),
    [
        (ORDERS, {"or": [{}] * 320_000}),
        (ORDERS, {"or": [{"side": {"eq": "BUY"}}] * 1_000}),
        (ORDERS, NESTED),
        (TICKERS, ["BTC/USD"] * 30_000),
    ],
    ids=["empty objects", "objects in objects", "depth", "words"],
)
def test_variables_that_would_take_long_are_refused_unconverted(query: str, given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.executor.engine.get_variable_values", lambda *_args, **_more: pytest.fail("converted"))
    prepared = ENGINE.prepare(query)

    with pytest.raises(DocumentError) as refused:
        ENGINE._values(prepared, {"given": given})

    (error,) = refused.value.errors
    assert error.extensions == {"code": "TOO_LARGE"}
    assert "the variables hold more than 25000 values" in error.message


@pytest.mark.parametrize(
    ("query", "given"),
    [
        (ORDERS, {"or": [{}] * 50}),
        (TICKERS, ["BTC/USD"] * 20_000),
        (ENTITIES, [{"__typename": "Symbol", "id": "1"}] * 5_000),
    ],
    ids=["a filter", "words", "representations"],
)
def test_what_a_client_may_have_to_send_is_taken(query: str, given: Any) -> None:
    assert ENGINE._values(ENGINE.prepare(query), {"given": given}).coerced["given"] is not None


def test_a_call_with_many_words_is_not_kept() -> None:
    opener, prepared = Opener(ENGINE), ENGINE.prepare(TICKERS)

    opener._call(prepared, {"given": ["BTC/USD"]})
    opener._call(prepared, {"given": ["BTC/USD"] * KEPT_BYTES_MAX})

    assert [len(key[1]) for key in opener._calls] == [len(b'{"given":["BTC/USD"]}')]
