"""Make a bot, look at it from every side, change it and remove it."""

from __future__ import annotations

from demo import TRADER, answered, demo_server, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http, rest_client(url) as admin:
        me = answered(http.get("/orm/users/me"))
        bots = answered(http.get("/orm/bots/by-user", params={"user_id": me["uid"]}))
        assert len(bots) >= 3
        for bot in bots:
            print(f"{bot['bot_id']:3} {bot['name']:28} {'dry run' if bot['dry_run'] else 'live'}")

        account = answered(http.get("/orm/exchanges/id-by-name", params={"name": "paper"}))["exchange_id"]
        new = {"name": "example bot", "dry_run": True, "active": True, "ex_ids": [account]}
        bot = answered(http.post("/orm/bots/", json=new))
        path = f"/orm/bots/{bot['bot_id']}"
        assert (bot["name"], bot["uid"], bot["dry_run"]) == ("example bot", me["uid"], True)

        (template, *_) = answered(http.get("/orm/strategies/catalog"))
        strategy = {"bot_id": bot["bot_id"], "cat_str_id": template["cat_str_id"], "leverage": 2}
        strategy = answered(http.post("/orm/strategies/bot-strategies", json=strategy))
        details = answered(http.get(f"{path}/details"))
        assert [row["ex_id"] for row in details["exchanges"]] == [account]
        assert [row["str_id"] for row in details["strategies"]] == [strategy["str_id"]]
        assert answered(http.get(f"{path}/strategies")) == details["strategies"]
        assert answered(http.get(f"{path}/exchanges")) == details["exchanges"]
        assert answered(http.get(f"{path}/feeds")) == details["feeds"] == []
        print(f"made bot {bot['bot_id']} with strategy {template['name']}")

        stats = answered(http.get(f"{path}/stats"))
        assert (stats["total_trades"], stats["open_orders"]) == (0, 0)
        assert answered(http.get(f"{path}/actions", params={"limit": 5})) == []
        assert answered(http.get(f"{path}/last-log"))["log"] is None
        traded = answered(http.get(f"/orm/bots/{bots[0]['bot_id']}/stats"))
        assert traded["total_trades"] >= 3
        print(f"{bots[0]['name']}: {traded['total_trades']} trades, profit {traded['profit']}, win rate {traded['win_rate']}")
        last = answered(http.get(f"/orm/bots/{bots[0]['bot_id']}/last-log"))["log"]
        print(f"its last line: {last['message']}")

        changed = answered(http.patch(path, json={"name": "renamed", "active": False}))
        assert (changed["name"], changed["active"], changed["dry_run"]) == ("renamed", False, True)
        assert answered(http.patch(path, json={"profit": 1}), 422)["code"] == "BAD_USER_INPUT"

        foreign = answered(admin.post("/orm/bots/", json={"name": "the admin's"}))
        assert answered(http.get(f"/orm/bots/{foreign['bot_id']}/details"), 404)["code"] == "NOT_FOUND"
        answered(admin.delete(f"/orm/bots/{foreign['bot_id']}"))
        print("a bot of somebody else is not found")

        answered(http.delete(path))
        assert answered(http.get(f"{path}/details"), 404)["code"] == "NOT_FOUND"
        print("removed")


if __name__ == "__main__":
    main()
