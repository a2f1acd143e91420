"""Admins control the services over GraphQL and REST; nobody else does; what is shown is what is."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from tests.e2e.running import ANSWER_S, DemoProcess, ask, codes_of, data_of, socket_to

CHANGE = "mutation($name: ServiceName!) { %s(input: { name: $name }) { service { name state desired } userErrors { code } } }"


def change(client: httpx.Client, mutation: str) -> Any:
    return data_of(client, CHANGE % mutation, name="TICKER")[mutation]


async def open_socket(url: str, token: str) -> ClientConnection:
    socket = await socket_to(url)
    await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    return socket


class NothingCame(Exception):
    """A stream told nothing for so long."""


async def next_tick(socket: ClientConnection, within_s: float) -> Any:
    """The next `next` message. Raises: NothingCame"""
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = json.loads(await socket.recv())
                if message["type"] == "next":
                    return message["payload"]["data"]["ticker"]
    except TimeoutError:
        raise NothingCame from None


async def silence(socket: ClientConnection) -> None:
    """Take what was sent before the service stopped, until nothing comes for two seconds; TimeoutError where it goes on."""
    async with asyncio.timeout(ANSWER_S):
        with suppress(NothingCame):
            while True:
                await next_tick(socket, 2.0)


async def test_ticks_stop_and_go_on_with_the_service(demo: DemoProcess, admin: httpx.Client) -> None:
    socket = await open_socket(demo.url, demo.token("trader@fullon"))
    query = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD", snapshot: false) { bid ask last sequence } }'
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
    first = await next_tick(socket, ANSWER_S)

    stopped = await asyncio.to_thread(change, admin, "stopService")
    assert stopped == {"service": {"name": "TICKER", "state": "STOPPED", "desired": "STOPPED"}, "userErrors": []}
    await silence(socket)

    started = await asyncio.to_thread(change, admin, "startService")
    assert started["service"]["state"] == "RUNNING"
    again = await next_tick(socket, ANSWER_S)
    assert int(again["sequence"]) > int(first["sequence"])
    await socket.close()


def test_repeating_a_wish_changes_nothing(admin: httpx.Client) -> None:
    first = change(admin, "startService")
    second = change(admin, "startService")

    assert first == second == {"service": {"name": "TICKER", "state": "RUNNING", "desired": "RUNNING"}, "userErrors": []}


def test_over_rest_a_repeated_wish_is_400_as_it_was(admin: httpx.Client) -> None:
    change(admin, "startService")

    again = admin.post("/api/v1/services/ticker/start")
    assert (again.status_code, again.json()["detail"]) == (400, "ServiceName.TICKER is already running")

    stopped = admin.post("/api/v1/services/ticker/stop")
    assert (stopped.status_code, stopped.json()) == (200, {"service": "ticker", "status": "stopped", "state": "STOPPED"})
    status = admin.get("/api/v1/services/ticker/status").json()
    assert (status["status"], status["is_running"]) == ("stopped", False)

    twice = admin.post("/api/v1/services/ticker/stop")
    assert (twice.status_code, twice.json()["detail"]) == (400, "ServiceName.TICKER is not running")

    started = admin.post("/api/v1/services/ticker/start")
    assert (started.status_code, started.json()) == (200, {"service": "ticker", "status": "started", "state": "RUNNING"})
    restarted = admin.post("/api/v1/services/ticker/restart")
    assert (restarted.status_code, restarted.json()["status"]) == (200, "restarted")
    assert set(admin.get("/api/v1/services").json()["services"]) == {"ticker", "ohlcv", "account", "health_monitor"}


@pytest.mark.parametrize("name", ["ticker", "ohlcv", "account", "health_monitor"])
def test_each_service_is_stopped_and_started_over_both_faces(admin: httpx.Client, name: str) -> None:
    up = {"RUNNING", "DEGRADED"}
    restarted = data_of(admin, CHANGE % "restartService", name=name.upper())["restartService"]
    assert (restarted["service"]["state"] in up, restarted["userErrors"]) == (True, []), restarted

    stopped = admin.post(f"/api/v1/services/{name}/stop")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
    shown = data_of(admin, "query($name: ServiceName!) { service(name: $name) { state desired } }", name=name.upper())
    assert shown["service"] == {"state": "STOPPED", "desired": "STOPPED"}

    started = data_of(admin, CHANGE % "startService", name=name.upper())["startService"]["service"]
    assert (started["state"] in up, started["desired"]) == (True, "RUNNING"), started
    status = admin.get(f"/api/v1/services/{name}/status").json()
    assert (status["service"], status["status"], status["is_running"]) == (name, "running", True)


def test_candles_grow_again_once_their_service_was_started_over_rest(admin: httpx.Client) -> None:
    def volume() -> float:
        now = datetime.now(UTC)
        asked = {"timeframe": "1d", "limit": "10"}
        asked |= {"start_time": (now - timedelta(days=3)).isoformat(), "end_time": (now + timedelta(days=1)).isoformat()}
        answer = admin.get("/api/v1/ohlcv/timeseries/kraken/BTC%2FUSD/ohlcv", params=asked)
        assert answer.status_code == 200, answer.text
        return float(sum(row["vol"] for row in answer.json()["ohlcv"]))

    if admin.get("/api/v1/services/ohlcv/status").json()["is_running"]:
        assert admin.post("/api/v1/services/ohlcv/stop").status_code == 200
    before = volume()
    started = admin.post("/api/v1/services/ohlcv/start")
    assert (started.status_code, started.json()["status"]) == (200, "started")

    end = time.monotonic() + ANSWER_S
    while volume() <= before:
        assert time.monotonic() < end, f"the day's volume stays {before}"
        time.sleep(0.2)


def test_an_unknown_service_is_422(admin: httpx.Client) -> None:
    assert admin.post("/api/v1/services/nothing/start").status_code == 422


@pytest.mark.parametrize("mutation", ["startService", "stopService", "restartService"])
def test_a_trader_may_not_change_a_service(trader: httpx.Client, admin: httpx.Client, mutation: str) -> None:
    before = data_of(admin, "{ service(name: TICKER) { state generation } }")

    answer = ask(trader, CHANGE % mutation, name="TICKER")

    assert codes_of(answer) == ["FORBIDDEN"]
    assert answer["data"] is None
    assert data_of(admin, "{ service(name: TICKER) { state generation } }") == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/services"),
        ("GET", "/api/v1/services/ticker/status"),
        ("POST", "/api/v1/services/ticker/start"),
        ("POST", "/api/v1/services/ticker/stop"),
        ("POST", "/api/v1/services/ticker/restart"),
    ],
)
def test_the_rest_routes_are_for_admins(trader: httpx.Client, stranger: httpx.Client, method: str, path: str) -> None:
    refused = trader.request(method, path)
    assert (refused.status_code, refused.json()["detail"]) == (403, "Admin access required")
    assert stranger.request(method, path).status_code == 401


def test_the_deep_look_is_for_admins_and_shows_what_waits(admin: httpx.Client, trader: httpx.Client) -> None:
    assert trader.get("/health/deep").status_code == 403
    queues = admin.get("/health/deep").json()["queues"]
    assert set(queues) == {"bus", "commands", "live"}
    assert queues["commands"]["waiting"] >= 0
    assert {"readers", "readers_behind", "events_waiting", "bytes_waiting"} <= set(queues["live"])


def test_health_tells_the_truth_without_a_token(stranger: httpx.Client, admin: httpx.Client) -> None:
    body = stranger.get("/health").json()

    assert body["service"] == "fullon_master_api"
    assert set(body["services"]) == {"ticker", "ohlcv", "account", "health_monitor"}
    assert {"monitoring", "auto_restart", "metrics", "issues", "recovery_actions", "recent_actions"} <= set(body)
    assert set(stranger.get("/health/services").json()["services"]) == set(body["services"])
    assert "version" not in stranger.get("/health/monitor").json()
    checked = admin.post("/health/check").json()
    assert checked["status"] == "completed"
    assert {"service_health", "process_cache", "database"} <= set(checked["result"]["checks_performed"])
