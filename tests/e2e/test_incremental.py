"""`@defer` on our own graph, over HTTP: the page first, its candles when they are there."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import httpx

DEFERRED: Final = """
  { symbols(exchange: "kraken", first: 2) { nodes { symbol
      ... @defer(label: "history") { candles(timeframe: MINUTE_1, limit: 3) { openedAt close } } } } }
"""


def whole(trader: httpx.Client) -> Any:
    """The same operation to a client that takes one answer: the symbols with their candles."""
    answer = trader.post("/graphql", json={"query": DEFERRED}, headers={"accept": "application/json"}).json()
    assert "errors" not in answer, answer
    return answer["data"]["symbols"]["nodes"]


def test_candles_that_may_come_later_do_and_make_the_same_whole(trader: httpx.Client) -> None:
    until = time.monotonic() + 120
    while not all(len(node["candles"]) == 3 for node in whole(trader)):
        assert time.monotonic() < until, "the demo has collected no candles"
        time.sleep(0.2)

    answer = trader.post("/graphql", json={"query": DEFERRED}, headers={"accept": "multipart/mixed"})
    assert answer.headers["content-type"] == 'multipart/mixed; boundary="-"', answer.text
    first, *parts, end = answer.text.split("\r\n---")
    assert (first, end) == ("", "--\r\n")
    initial, *later = [json.loads(part.partition("\r\n\r\n")[2]) for part in parts]

    nodes = initial["data"]["symbols"]["nodes"]
    assert [set(node) for node in nodes] == [{"symbol"}, {"symbol"}]
    paths = {each["id"]: each["path"] for each in initial["pending"] + [one for part in later for one in part.get("pending", ())]}
    assert sorted(paths.values()) == [["symbols", "nodes", 0], ["symbols", "nodes", 1]]
    assert [part["hasNext"] for part in (initial, *later)] == [True] * len(later) + [False]
    assert {each["id"] for part in later for each in part["completed"]} == set(paths)
    for each in (one for part in later for one in part["incremental"]):
        nodes[paths[each["id"]][-1]].update(each["data"])

    assert {node["symbol"]: len(node["candles"]) for node in nodes} == {node["symbol"]: 3 for node in whole(trader)}
