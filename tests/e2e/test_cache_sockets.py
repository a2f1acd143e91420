"""The cache's eight sockets as a whole gateway serves them: real tokens, real users, a plain `websockets` client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from fullon_master_api.app import MasterGateway, open_gateway
from fullon_master_api.auth.jwt import create_access_token
from fullon_master_api.auth.rates import Caller, Rates
from fullon_master_api.demo import open_demo
from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.model import BotStatus, MarketTrade, Principal, Side, Ticker
from fullon_master_api.rest.cache.app import TYPED
from tests.apis.cache.records import balance, candle
from tests.rest.cache.conftest import QuietServer

WITHIN_S = 60
TICKER = Ticker(exchange="kraken", symbol="BTC/USD", last="100.5", bid="100.4", ask="100.6", volume="12.25", received_ns=1)
MARKET = {"exchange": "kraken", "symbol": "BTC/USD"}


@dataclass
class Served:
    """A gateway that serves; `users` are the principals of the sockets that were let in."""

    gateway: MasterGateway
    url: str
    users: list[Principal] = field(default_factory=list)

    def token(self, uid: int, life_s: float | None = None) -> str:
        """Signed here, by the secret that the server has."""
        return create_access_token(uid, expires_in_s=life_s, settings=self.gateway.settings)

    @asynccontextmanager
    async def socket(self, path: str, token: str | None) -> AsyncIterator[ClientConnection]:
        query = "" if token is None else f"?token={token}"
        async with connect(f"{self.url}/api/v1/cache{path}{query}", open_timeout=WITHIN_S) as opened:
            yield opened


@asynccontextmanager
async def serving(folder: Path, **changes: int) -> AsyncIterator[Served]:
    async with (
        open_demo(port=0, data_dir=folder) as demo,
        open_gateway(demo.model_copy(update=changes)) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            served = Served(gateway, f"ws://127.0.0.1:{listening.getsockname()[1]}")

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await gateway.app(scope, receive, send)
                if "user" in scope.get("state", {}):
                    served.users.append(scope["state"]["user"])

            server = QuietServer(uvicorn.Config(app, lifespan="off", ws="websockets-sansio", log_config=None))
            running = tasks.create_task(server.serve([listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield served
            server.should_exit = True
            await running


async def hear(opened: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(opened.recv(), WITHIN_S))


async def ask(opened: ClientConnection, verb: str, name: str, params: dict[str, Any]) -> Any:
    await opened.send(json.dumps({verb: name, "request_id": "1", "params": params}))
    return await hear(opened)


async def fill(served: Served) -> None:
    """Something for every socket to tell; bot 3 and account 2 are the trader's."""
    cache = served.gateway.stores.cache
    await cache.tickers.set(TICKER)
    trade = MarketTrade(trade_id="7", event_ns=1, price="100.5", quantity="1", side=Side.BUY)
    await cache.trades.append("kraken", "BTC/USD", [trade])
    await cache.candles.set("kraken", "BTC/USD", "1m", candle(1))
    await cache.processes.register("tick", "ticker_daemon")


async def test_each_of_the_eight_sockets_answers_and_streams_to_a_plain_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await fill(served)
        cache, orm = served.gateway.stores.cache, served.gateway.stores.orm
        admin, trader = await orm.users.by_mails(["admin@fullon", "trader@fullon"], None)
        assert admin is not None
        assert trader is not None
        (account,) = (await orm.accounts.of_users([trader.uid], None))[0]
        bot = (await orm.bots.of_users([trader.uid], None, first=1))[0].rows[0]
        await cache.accounts.set_balances(account.ex_id, [balance("USD", "10.50", ex_id=account.ex_id)], updated_ns=1)
        assert isinstance(await cache.bots.set_status(bot.bot_id, {"feed_1": {"status": "running"}}), BotStatus)
        asked: list[tuple[str, str, str, dict[str, Any], str, dict[str, Any], str, object]] = [
            ("tickers", "action", "get_ticker", MARKET, "stream_tickers", {"exchange": "kraken", "symbols": ["BTC/USD"]},
             "price", 100.5),
            ("orders", "action", "get_queue_length", {"exchange": "kraken"}, "stream_order_queue", {"exchange": "kraken"},
             "queue_length", 0),
            ("trades", "action", "get_trades", MARKET, "stream_trade_updates", MARKET, "", None),
            ("accounts", "action", "get_balance", {"currency": "USD"}, "stream_positions", {"exchange": "kraken"},
             "total_balance", 10.5),
            ("bots", "action", "get_bot_status", {"bot_id": bot.bot_id}, "stream_bot_status", {}, "status", "running"),
            ("ohlcv", "action", "get_latest_ohlcv_bars", {"symbol": "BTC/USD", "timeframe": "1m"}, "stream_ohlcv",
             {"symbol": "BTC/USD", "timeframe": "1m"}, "exchange", "kraken"),
            ("process", "action", "get_system_health", {}, "stream_process_health", {}, "total_processes", 1),
            ("", "operation", "ping", {}, "stream_tickers", {"exchange": "kraken", "symbols": ["BTC/USD"]}, "status", "ok"),
        ]  # fmt: skip
        for noun, verb, action, params, stream, streamed, key, value in asked:
            path = f"/ws/{noun}/me" if noun else "/ws"
            async with served.socket(path, served.token(admin.uid if noun == "process" else trader.uid)) as opened:
                answer = await ask(opened, verb, action, params)
                assert answer["success"] is True, answer
                assert (answer["result"][key] if key else len(answer["result"]["trades"])) == (value if key else 1), answer
                confirmed = await ask(opened, verb, stream, streamed)
                assert confirmed["success"] is True, confirmed


async def test_a_token_that_was_signed_locally_gets_numbers_and_its_user_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.gateway.stores.cache.tickers.set(TICKER)
        async with served.socket("/ws/tickers/example", served.token(2)) as opened:
            await opened.send(json.dumps({"action": "subscribe", **MARKET}))
            message = await hear(opened)
            assert {name: message[name] for name in ("price", "bid", "ask", "volume")} == {
                "price": 100.5,
                "bid": 100.4,
                "ask": 100.6,
                "volume": 12.25,
            }
        async with asyncio.timeout(WITHIN_S):
            while not served.users:
                await asyncio.sleep(0.01)
        assert [(user.uid, user.mail) for user in served.users] == [(2, "trader@fullon")]


async def test_no_socket_is_served_without_a_good_token_and_each_says_why(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await fill(served)
        users = served.gateway.stores.orm.users

        async def away(*_: object) -> None:
            raise StoreUnavailable("the database is away")

        refusals = {
            None: "Missing authentication token",
            "nonsense": "Invalid authentication token",
            served.token(2, life_s=-60.0): "Invalid authentication token",
            served.token(9_999): "User not found",
        }
        paths = ["/ws", *(f"/ws/{noun}/x" for noun in TYPED)]
        assert len(paths) == 8
        for path in paths:
            for token, reason in refusals.items():
                assert await refusal(served, path, token) == (1008, reason)
        assert await refusal(served, "/ws/process/x", served.token(2)) == (1008, "Admin access required")
        read = users.principal_facts
        users.principal_facts = away  # type: ignore[method-assign,assignment]
        try:
            assert await refusal(served, "/ws/tickers/x", served.token(1)) == (1008, "Authentication error")
        finally:
            users.principal_facts = read  # type: ignore[method-assign]
        assert served.users == []


async def refusal(served: Served, path: str, token: str | None) -> tuple[int, str]:
    """Code and reason of the close that must come before any message."""
    async with served.socket(path, token) as opened:
        with suppress(ConnectionClosed):
            await opened.send(json.dumps({"action": "subscribe", **MARKET}))
        with pytest.raises(ConnectionClosed) as closed:
            await hear(opened)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_every_kind_of_socket_asks_for_the_origin_and_counts_for_its_user_and_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, socket_connections_per_user_max=2) as served:
        await fill(served)
        (trader,) = await served.gateway.stores.orm.users.by_mails(["trader@fullon"], None)
        assert trader is not None
        rest = [f"{served.url}/api/v1/cache/ws/tickers/me", f"{served.url}/api/v1/ohlcv/ws/ohlcv"]
        graphql = f"{served.url}/graphql"
        for url in [*rest, graphql]:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?token={served.token(trader.uid)}", origin=Origin("https://evil.example"))
            assert refused.value.response.status_code == 403

        tokens = [f"?token={served.token(trader.uid)}"] * 2
        async with connect(rest[0] + tokens[0]) as first, connect(rest[1] + tokens[1]) as second:
            assert (await ask(first, "action", "get_ticker", MARKET))["success"] is True
            wish = {"action": "subscribe", **MARKET, "timeframe": "1m", "type": "trade_live"}
            await second.send(json.dumps(wish))
            assert (await hear(second))["type"] == "subscription_confirmed"
            for url in rest:
                async with connect(url + tokens[0]) as third:
                    with pytest.raises(ConnectionClosed):
                        await hear(third)
                    assert (third.close_code, third.close_reason) == (1013, "a user may have 2 sockets")
            async with connect(graphql, subprotocols=[Subprotocol("graphql-transport-ws")]) as third:
                await third.send(json.dumps({"type": "connection_init", "payload": {"token": served.token(trader.uid)}}))
                with pytest.raises(ConnectionClosed):
                    await hear(third)
                assert third.close_code == 1013

        counted: list[Caller] = []
        spend = Rates.spend

        def noted(rates: Rates, caller: Caller, requests: int = 1) -> None:
            counted.append(caller)
            spend(rates, caller, requests)

        monkeypatch.setattr(Rates, "spend", noted)
        for url in rest:
            async with connect(f"{url}?token=nonsense") as stranger:
                with pytest.raises(ConnectionClosed):
                    await hear(stranger)
        async with connect(graphql, subprotocols=[Subprotocol("graphql-transport-ws")]) as stranger:
            await stranger.send(json.dumps({"type": "connection_init", "payload": {"token": "nonsense"}}))
            with pytest.raises(ConnectionClosed):
                await hear(stranger)
        assert counted == [("address", "127.0.0.1")] * 3
