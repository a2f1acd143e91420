"""The original's examples and tests as asserting cases: E6 to E14, T20 and T21 of the platform's reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.rest.orm.conftest import PREFIX, Client, Stage


async def bot_of(stage: Stage) -> dict[str, Any]:
    """The trader's first bot: long BTC/USD, in dry run."""
    bots = await stage.trader.get("/bots/by-user", user_id=stage.demo.trader.uid)
    first: dict[str, Any] = bots[0]
    return first


async def test_e6_an_api_key_works_until_it_is_switched_off_or_over(stage: Stage) -> None:
    made = await stage.trader.post("/api_keys/me", {"name": "mine", "description": "d", "scopes": "read,write"})
    assert made["key"].startswith("fullon_ak_")
    assert made["scopes"] == "read,write"
    by_key = Client(stage.app, {"X-API-Key": made["key"]})
    assert (await by_key.get("/users/me"))["uid"] == stage.demo.trader.uid
    (listed,) = await by_key.get("/api_keys/me")
    assert (listed["uid"], listed["is_active"], "key" in listed) == (stage.demo.trader.uid, True, False)
    assert listed["last_used_at"] is not None
    await by_key.ask("PATCH", f"/api_keys/{listed['uid']}/deactivate")
    await by_key.get("/users/me", status=401)
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    over = await stage.trader.post("/api_keys/me", {"name": "over", "expires_at": past})
    await Client(stage.app, {"X-API-Key": over["key"]}).get("/users/me", status=401)
    await Client(stage.app, {"X-API-Key": "invalid_api_key_without_prefix"}).get("/users/me", status=401)
    assert (await stage.trader.get("/users/me"))["uid"] == stage.demo.trader.uid


async def test_t9_a_token_wins_over_a_key(stage: Stage) -> None:
    made = await stage.trader.post("/api_keys/me", {"name": "mine"})
    token = stage.signer.sign(uid=stage.ben.uid)
    both = Client(stage.app, {"X-API-Key": made["key"], "Authorization": f"Bearer {token}"})
    assert (await both.get("/users/me"))["uid"] == stage.ben.uid


async def test_a_key_that_may_only_read_changes_nothing_and_makes_no_keys(stage: Stage) -> None:
    made = await stage.trader.post("/api_keys/me", {"name": "reader", "scopes": "read"})
    reader = Client(stage.app, {"X-API-Key": made["key"]})
    await reader.post("/bots/", {"name": "x"}, status=403)
    await reader.post("/api_keys/me", {"name": "more"}, status=403)
    await reader.ask("PATCH", f"/users/{stage.demo.trader.uid}", {"name": "x"}, status=403)
    await stage.trader.post("/api_keys/me", {"name": "more", "scopes": "read,admin"}, status=403)
    await stage.trader.post("/api_keys/me", {"name": "more", "scopes": "everything"}, status=422)
    assert len(await stage.trader.get("/api_keys/me")) == 1


async def test_api_keys_are_their_owners_and_an_admin_makes_them_for_others(stage: Stage) -> None:
    made = await stage.trader.post("/api_keys/me", {"name": "mine"})
    path = f"/api_keys/{made['api_key_id']}"
    for method in ("GET", "DELETE"):
        await stage.other.ask(method, path, status=404)
    for end in ("", "/deactivate", "/activate"):
        await stage.other.ask("PATCH", path + end, {} if not end else None, status=404)
    await stage.other.post("/api_keys/", {"name": "x", "uid": stage.demo.trader.uid}, status=404)
    for_ben = await stage.admin.post("/api_keys/", {"name": "from above", "uid": stage.ben.uid})
    assert [key["uid"] for key in await stage.admin.get("/api_keys/")] == [stage.demo.trader.uid, stage.ben.uid]
    assert (await stage.other.ask("PATCH", f"/api_keys/{for_ben['api_key_id']}", {"name": "new name"}))["name"] == "new name"
    await stage.other.ask("PATCH", f"/api_keys/{for_ben['api_key_id']}/deactivate")
    assert await stage.other.get("/api_keys/active") == []
    await stage.other.ask("PATCH", f"/api_keys/{for_ben['api_key_id']}/activate")
    await stage.other.ask("DELETE", f"/api_keys/{for_ben['api_key_id']}")
    assert await stage.other.get("/api_keys/me") == []


async def test_e7_bots_are_listed_and_made_and_an_order_is_placed(stage: Stage) -> None:
    me = await stage.trader.get("/users/me")
    assert len(await stage.trader.get("/bots/by-user", user_id=me["uid"])) == 3
    bot = await stage.trader.post("/bots/", {"uid": me["uid"], "name": "made", "active": True, "dry_run": True})
    assert (bot["name"], bot["uid"]) == ("made", me["uid"])
    asked = {"bot_id": bot["bot_id"], "cat_ex_id": 1, "symbol": "BTC/USD", "side": "buy", "volume": 0.5}
    order = await stage.trader.post("/orders/", asked | {"order_type": "market", "status": "New"})
    assert (order["volume"], order["uid"], order["exchange"], order["status"]) == (Decimal("0.5"), me["uid"], "kraken", "New")
    await stage.trader.ask("GET", "/bots/", status=405)


async def test_e8_a_bot_is_made_looked_at_and_changed(stage: Stage) -> None:
    bot = await bot_of(stage)
    path = f"/bots/{bot['bot_id']}"
    details = await stage.trader.get(f"{path}/details")
    assert [account["name"] for account in details["exchanges"]] == ["paper"]
    assert [strategy["leverage"] for strategy in details["strategies"]] == [Decimal(2)]
    assert [(feed["period"], feed["symbol"]) for feed in details["feeds"]] == [("Ticks", "BTC/USD"), ("Minutes", "BTC/USD")]
    assert await stage.trader.get(f"{path}/feeds") == details["feeds"]
    assert [row["str_id"] for row in await stage.trader.get(f"{path}/strategies")] == [
        row["str_id"] for row in details["strategies"]
    ]
    assert await stage.trader.get(f"{path}/exchanges") == details["exchanges"]
    stats = await stage.trader.get(f"{path}/stats")
    assert (stats["total_trades"], stats["closing_trades"], stats["winning_trades"]) == (3, 2, 1)
    assert (stats["profit"], stats["win_rate"]) == (Decimal("-6.98009"), Decimal("0.5"))
    actions = await stage.trader.get(f"{path}/actions", limit=2)
    assert [row["message"] for row in actions] == ["sell 0.06 BTC/USD at 42890.0", "sell 0.04 BTC/USD at 43550.5"]
    assert (await stage.trader.get(f"{path}/last-log"))["log"] == actions[0]
    changed = await stage.trader.ask("PATCH", path, {"name": "renamed", "active": False})
    assert (changed["name"], changed["active"]) == ("renamed", False)
    for method, end in (("GET", "/details"), ("GET", "/stats"), ("DELETE", "")):
        await stage.other.ask(method, path + end, status=404)
    assert await stage.other.get("/bots/by-user", user_id=stage.demo.trader.uid) == []
    await stage.trader.ask("DELETE", path)
    await stage.trader.get(f"{path}/details", status=404)
    assert len(await stage.trader.get("/orders/by-symbol", symbol="BTC/USD")) == 4


async def test_e9_the_catalogue_is_read_and_an_account_is_kept_with_its_secret_unseen(stage: Stage) -> None:
    (kraken,) = await stage.trader.get("/exchanges/catalog")
    assert (kraken["cat_ex_id"], kraken["name"]) == (1, "kraken")
    assert await stage.trader.get("/exchanges/catalog/1/params") == {}
    symbols = await stage.trader.get("/exchanges/catalog/1/symbols")
    assert [symbol["symbol"] for symbol in symbols] == ["BTC/USD", "ETH/USD", "SOL/USD", "BTC/USDT"]
    assert [account["name"] for account in await stage.trader.get("/exchanges/user-exchanges")] == ["paper"]
    await stage.trader.get("/exchanges/id-by-name", name="Binance", status=404)
    await stage.trader.get("/exchanges/catalog-id", exchange_name="Binance", status=404)
    assert await stage.trader.get("/exchanges/catalog-id", exchange_name="Kraken") == {"cat_ex_id": 1}
    new = {"cat_ex_id": 1, "name": "second", "api_key": "my-key", "api_secret": "my-secret", "is_testnet": True}
    account = await stage.trader.post("/exchanges/user-exchanges", new)
    assert (account["name"], account["is_testnet"]) == ("second", True)
    assert "my-" not in str(await stage.trader.get("/exchanges/user-exchanges"))
    secrets = await stage.orm.accounts.credentials(account["ex_id"])
    assert secrets is not None
    assert (secrets.key, secrets.secret) == ("my-key", "my-secret")
    path = f"/exchanges/user-exchanges/{account['ex_id']}"
    await stage.other.ask("PATCH", path, {"name": "x"}, status=404)
    half = await stage.trader.ask("PATCH", path, {"api_key": "only"}, status=422)
    assert half["detail"][0]["loc"] == ["api_secret"]
    changed = await stage.trader.ask("PATCH", path, {"name": "third", "is_testnet": False})
    assert (changed["name"], changed["is_testnet"]) == ("third", False)
    assert await stage.trader.get("/exchanges/id-by-name", name="third") == {"exchange_id": account["ex_id"]}
    await stage.trader.ask("DELETE", path)
    await stage.trader.ask("DELETE", path, status=404)


async def test_e10_a_strategy_is_attached_changed_and_removed(stage: Stage) -> None:
    catalog = await stage.trader.get("/strategies/catalog")
    assert [template["name"] for template in catalog] == ["rsi_hayden_long", "rsi_hayden_short", "llm_trader"]
    first = catalog[0]["cat_str_id"]
    assert (await stage.trader.get(f"/strategies/catalog/{first}"))["take_profit"] == Decimal(2)
    assert (await stage.trader.get(f"/strategies/catalog/{first}/params"))["rsi_period"] == "14"
    assert await stage.trader.get("/strategies/catalog-id", name="llm_trader") == {"cat_str_id": catalog[2]["cat_str_id"]}
    bot_id = (await bot_of(stage))["bot_id"]
    assert len(await stage.trader.get("/strategies/bot-strategies", bot_id=bot_id)) == 1
    parameters = {"rsi_period": 14, "overbought_level": 70.50, "oversold_level": "30"}
    new = {"bot_id": bot_id, "cat_str_id": first, "name": "mine", "parameters": parameters, "active": True}
    strategy = await stage.trader.post("/strategies/bot-strategies", new)
    assert (strategy["name"], strategy["parameters"]["overbought_level"], strategy["stop_loss"]) == ("mine", "70.5", 1)
    path = f"/strategies/bot-strategies/{strategy['str_id']}"
    await stage.other.get(path, status=404)
    changed = await stage.trader.ask("PUT", path, {"name": "yours", "active": False, "parameters": {"rsi_period": 15}})
    assert (changed["name"], changed["active"], changed["parameters"]["rsi_period"]) == ("yours", False, "15")
    assert changed["parameters"]["oversold_level"] == "30"
    assert (await stage.trader.ask("PUT", f"{path}/params", {"rsi_period": 16}))["parameters"]["rsi_period"] == "16"
    assert len(await stage.trader.get("/strategies/user-strategies")) == 4
    await stage.trader.ask("DELETE", path)
    await stage.trader.get(path, status=404)
    template = {"name": "new one", "take_profit": 2.5, "parameters": {"depth": 3}}
    await stage.trader.post("/strategies/catalog", template, status=403)
    installed = await stage.admin.post("/strategies/catalog", template)
    await stage.admin.ask("DELETE", f"/strategies/catalog/{installed['cat_str_id']}")


async def test_e11_an_order_is_placed_found_and_filled(stage: Stage) -> None:
    bot_id = (await bot_of(stage))["bot_id"]
    asked = {"bot_id": bot_id, "cat_ex_id": 1, "symbol": "BTC/USD", "side": "buy", "volume": 0.5, "order_type": "limit"}
    order = await stage.trader.post("/orders/", asked | {"price": 43210.123456789, "status": "New"})
    assert (order["symbol"], order["volume"], order["price"]) == ("BTC/USD", Decimal("0.5"), Decimal("43210.123456789"))
    (open_order,) = await stage.trader.get("/orders/open")
    assert open_order == order
    assert (await stage.trader.get("/orders/by-bot", bot_id=bot_id, limit=1)) == [order]
    assert (await stage.trader.get(f"/orders/by-bot?bot_id={bot_id}&status=NEW")) == [order]
    assert len(await stage.trader.get("/orders/history", start_date="2020-01-01T00:00:00Z")) == 8
    assert await stage.trader.get("/orders/history", end_date="2020-01-01T00:00:00Z") == []
    assert {row["side"] for row in await stage.trader.get("/orders/by-symbol", symbol="ETH/USD")} == {"buy", "sell"}
    for method in ("PUT", "PATCH"):
        changed = await stage.trader.ask(method, f"/orders/{order['order_id']}/status", {"status": "filled"})
        assert changed["status"] == "filled"
    stats = await stage.trader.get("/orders/stats")
    assert (stats["total_orders"], stats["open_orders"], stats["filled_orders"]) == (8, 0, 7)
    await stage.other.ask("PUT", f"/orders/{order['order_id']}/status", {"status": "open"}, status=404)
    await stage.other.get("/orders/by-bot", bot_id=bot_id, status=404)


async def test_t21_an_order_has_a_volume_and_no_amount(stage: Stage) -> None:
    asked = {"symbol": "BTC/USD", "side": "buy", "order_type": "market"}
    refused = await stage.trader.post("/orders/", asked | {"amount": 1}, status=422)
    assert {tuple(row["loc"]) for row in refused["detail"]} == {("body", "volume"), ("body", "amount")}
    order = await stage.trader.post("/orders/", asked | {"volume": 1e-8})
    assert order["volume"] == Decimal("0.00000001")
    assert "amount" not in order


async def test_e12_fills_are_stored_counted_and_only_dry_ones_are_corrected(stage: Stage) -> None:
    bot_id = (await bot_of(stage))["bot_id"]
    fill = {"bot_id": bot_id, "symbol": "BTC/USD", "side": "buy", "volume": 0.1, "price": 50000, "order_type": "market"}
    dry = await stage.trader.post("/trades/dry", fill)
    assert (dry["symbol"], dry["volume"], dry["cost"], dry["trade_type"]) == ("BTC/USD", Decimal("0.1"), 5000, "dry")
    other_side = {"symbol": "ETH/USD", "side": "sell", "volume": 1, "price": 3000, "ex_trade_id": "T1", "ex_order_id": "O1"}
    live = await stage.trader.post("/trades/live", fill | other_side)
    assert await stage.trader.post("/trades/live", fill | other_side) == live
    assert [row["trade_id"] for row in await stage.trader.get("/trades/live")] == [live["trade_id"]]
    of_bot = await stage.trader.get("/trades/bot", bot_id=bot_id)
    assert [(row["trade_type"], row["symbol"]) for row in of_bot[:2]] == [("live", "ETH/USD"), ("dry", "BTC/USD")]
    assert set(await stage.trader.get("/trades/by-bot")) == {str(bot_id), str(bot_id + 1), str(bot_id + 2)}
    assert set(await stage.trader.get("/trades/by-symbol")) == {"BTC/USD", "ETH/USD", "SOL/USD"}
    assert len(await stage.trader.get("/trades/history", symbol="ETH/USD")) == 3
    for path in ("/trades/performance", "/trades/stats", "/trades/stats/overall"):
        stats = await stage.trader.get(path)
        assert (stats["total_trades"], stats["closing_trades"], stats["win_rate"]) == (8, 3, Decimal("0.66666667"))
    summary = await stage.trader.get("/trades/summary")
    assert [summary[kind]["total_trades"] for kind in ("dry", "live", "total")] == [7, 1, 8]
    assert (await stage.trader.get("/trades/symbol-performance"))["ETH/USD"]["total_trades"] == 3
    refused = await stage.trader.ask("PATCH", f"/trades/{live['trade_id']}", {"price": 1}, status=409)
    assert refused["code"] == "IMMUTABLE"
    assert (await stage.trader.ask("DELETE", f"/trades/{live['trade_id']}", status=409))["code"] == "IMMUTABLE"
    path = f"/trades/{dry['trade_id']}?trade_type=dry"
    wrong = await stage.trader.ask("PATCH", path, {"status": "completed"}, status=422)
    assert wrong["detail"][0]["loc"] == ["body", "status"]
    corrected = await stage.trader.ask("PATCH", path, {"price": 40000.5})
    assert (corrected["price"], corrected["cost"]) == (Decimal("40000.5"), Decimal("4000.05"))
    await stage.other.ask("DELETE", path, status=404)
    await stage.trader.ask("DELETE", path)
    await stage.trader.ask("DELETE", path, status=404)
    assert await stage.other.get("/trades/history") == []


async def test_a_fill_on_somebody_elses_bot_account_or_order_is_not_found(stage: Stage) -> None:
    bot_id = (await bot_of(stage))["bot_id"]
    fill = {"symbol": "BTC/USD", "side": "buy", "volume": 1, "price": 1}
    mine = await stage.orm.accounts.add(None, {"uid": stage.ben.uid, "cat_ex_id": 1, "name": "mine"})
    theirs = stage.demo.trader_account.ex_id
    for path in ("/trades/dry", "/trades/live"):
        await stage.other.post(path, fill | {"bot_id": bot_id}, status=404)
        await stage.other.post(path, fill | {"bot_id": bot_id, "ex_id": mine.ex_id}, status=404)
    await stage.other.post("/trades/live", fill | {"ex_id": theirs}, status=404)
    await stage.other.post("/trades/live", fill | {"ex_id": mine.ex_id, "order_id": 1}, status=404)
    await stage.other.post("/trades/bot", fill | {"bot_id": bot_id}, status=404)
    assert await stage.trader.get("/trades/live") == []
    assert len(await stage.trader.get("/trades/history")) == 6


async def test_e13_symbols_are_found_and_an_admin_adds_them(stage: Stage) -> None:
    assert len(await stage.trader.get("/symbols/by-exchange", cat_ex_id=1)) == 4
    assert [row["symbol"] for row in await stage.trader.get("/symbols/search", q="btc")] == ["BTC/USD", "BTC/USDT"]
    decimals = await stage.trader.get("/symbols/decimals", symbol="BTC/USD")
    assert (decimals["price_decimals"], decimals["quantity_decimals"]) == (1, 8)
    await stage.trader.get("/symbols/decimals", symbol="NO/PE", status=404)
    new = {"symbol": "ADA/USD", "base_asset": "ADA", "quote_asset": "USD", "cat_ex_id": 1, "price_decimals": 6}
    await stage.trader.post("/symbols", new, status=403)
    symbol = await stage.admin.post("/symbols", new | {"quantity_decimals": 8, "active": True})
    assert (symbol["symbol"], symbol["base"], symbol["decimals"]) == ("ADA/USD", "ADA", 6)
    changed = await stage.admin.ask("PATCH", f"/symbols/{symbol['symbol_id']}", {"price_decimals": 5, "active": False})
    assert (changed["price_decimals"], changed["active"]) == (5, False)
    refused = await stage.admin.post("/symbols", new | {"symbol": "X/USD", "updateframe": "7m"}, status=422)
    assert refused["detail"][0]["loc"] == ["updateframe"]


async def test_e14_the_six_views_have_their_keys(stage: Stage) -> None:
    uid = stage.demo.trader.uid
    dashboard = await stage.trader.get(f"/views/bot-dashboard/{uid}")
    assert [dashboard[key] for key in ("total_bots", "active_bots", "total_trades")] == [3, 3, 6]
    overview = await stage.trader.get("/views/trading-overview")
    assert (overview["active_pairs"], overview["success_rate"]) == (3, Decimal("0.66666667"))
    assert overview["total_volume"] == Decimal("17451.92")
    performance = await stage.trader.get("/views/performance-metrics")
    assert {"win_rate", "profit_factor", "sharpe_ratio"} <= performance.keys()
    assert performance["profit_factor"] == Decimal("2.870699")
    summary = await stage.trader.get("/views/user-summary")
    assert summary == {"account_balance": 0, "total_value": 0, "daily_pnl": summary["daily_pnl"], "unpriced_assets": []}
    portfolio = await stage.trader.get("/views/portfolio-stats")
    assert (portfolio["total_assets"], portfolio["asset_allocation"]) == (1, {"SOL": 1})
    assert portfolio["diversification_score"] == 0
    risk = await stage.trader.get("/views/risk-metrics")
    assert risk["max_drawdown"] == Decimal("19.99884")
    assert set(risk) == {"value_at_risk", "max_drawdown", "risk_score"}
    await stage.other.get(f"/views/bot-dashboard/{uid}", status=404)
    await stage.other.get("/views/risk-metrics", user_id=uid, status=404)
    assert (await stage.admin.get("/views/risk-metrics", user_id=uid)) == risk


async def test_t20_the_document_has_every_path_and_none_is_open(stage: Stage) -> None:
    paths = stage.app.openapi()["paths"]
    assert all(path.startswith(PREFIX) for path in paths)
    assert len(paths) >= 69
    for path, operations in paths.items():
        for method, operation in operations.items():
            where = path.removeprefix(PREFIX)
            for name in ("user_id", "bot_id", "cat_ex_id", "ex_id", "cat_str_id", "str_id", "order_id", "trade_id"):
                where = where.replace(f"{{{name}}}", "1")
            where = where.replace("{symbol_id}", "1").replace("{api_key_id}", "1").replace("{email}", "a@b")
            refused = await stage.nobody.ask(method.upper(), where, status=401)
            assert "no authenticated user" in refused["detail"]
            assert operation["security"], path
