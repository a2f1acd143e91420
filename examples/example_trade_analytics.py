"""Read fills and what they won, store one of each kind, and see that a live one never changes."""

from __future__ import annotations

import uuid

from demo import TRADER, answered, demo_server, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http:
        uid = answered(http.get("/orm/users/me"))["uid"]
        bot_id = answered(http.get("/orm/bots/by-user", params={"user_id": uid}))[0]["bot_id"]

        before = answered(http.get("/orm/trades/stats/overall", params={"trade_type": "dry"}))
        fill = {"bot_id": bot_id, "symbol": "BTC/USD", "side": "buy", "volume": 0.1, "price": 50000.5, "order_type": "market"}
        dry = answered(http.post("/orm/trades/dry", json=fill))
        assert (dry["trade_type"], dry["volume"], dry["cost"]) == ("dry", 0.1, 5000.05)
        by_bot = answered(http.post("/orm/trades/bot", json=fill | {"volume": 0.2}))
        assert by_bot["trade_type"] == "dry", "a bot in dry run stores dry fills"

        ids = {"ex_trade_id": f"T-{uuid.uuid4()}", "ex_order_id": f"O-{uuid.uuid4()}"}
        asked = fill | ids | {"symbol": "ETH/USD", "side": "sell", "volume": 1, "price": 3000}
        live = answered(http.post("/orm/trades/live", json=asked))
        assert answered(http.post("/orm/trades/live", json=asked)) == live, "the same fill was stored twice"
        print(f"stored dry fills {dry['trade_id']} and {by_bot['trade_id']}, live fill {live['trade_id']}")

        assert live["trade_id"] in {row["trade_id"] for row in answered(http.get("/orm/trades/live"))}
        of_bot = answered(http.get("/orm/trades/bot", params={"bot_id": bot_id}))
        assert {row["trade_type"] for row in of_bot} == {"dry", "live"}
        assert str(bot_id) in answered(http.get("/orm/trades/by-bot"))
        assert {"BTC/USD", "ETH/USD"} <= set(answered(http.get("/orm/trades/by-symbol")))
        history = answered(http.get("/orm/trades/history", params={"symbol": "ETH/USD", "limit": 2}))
        assert {row["symbol"] for row in history} == {"ETH/USD"}

        for path in ("/orm/trades/stats", "/orm/trades/performance", "/orm/trades/stats/overall"):
            stats = answered(http.get(path))
            print(f"{path.rsplit('trades/')[1]:14} trades {stats['total_trades']}, profit {stats['total_pnl']}")
        after = answered(http.get("/orm/trades/stats/overall", params={"trade_type": "dry"}))
        assert after["total_trades"] == before["total_trades"] + 2
        summary = answered(http.get("/orm/trades/summary"))
        counts = {kind: summary[kind]["total_trades"] for kind in ("dry", "live", "total")}
        assert counts["total"] == counts["dry"] + counts["live"]
        for symbol, stats in answered(http.get("/orm/trades/symbol-performance")).items():
            print(f"{symbol:10} trades {stats['total_trades']:3}, profit {stats['total_pnl']}, win rate {stats['win_rate']}")

        for method in ("PATCH", "DELETE"):
            body = {"price": 1} if method == "PATCH" else None
            path = f"/orm/trades/{live['trade_id']}"
            assert answered(http.request(method, path, json=body, params={"trade_type": "live"}), 409)["code"] == "IMMUTABLE"
        print("a live fill never changes: IMMUTABLE")
        corrected = answered(http.patch(f"/orm/trades/{dry['trade_id']}?trade_type=dry", json={"price": 40000.5}))
        assert (corrected["price"], corrected["cost"]) == (40000.5, 4000.05)
        for trade in (dry, by_bot):
            answered(http.delete(f"/orm/trades/{trade['trade_id']}?trade_type=dry"))
        answered(http.delete(f"/orm/trades/{dry['trade_id']}?trade_type=dry"), 404)
        print("dry fills are corrected and removed")


if __name__ == "__main__":
    main()
