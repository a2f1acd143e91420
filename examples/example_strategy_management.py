"""Read the catalogue of strategies, attach one to a bot, set its parameters, remove it."""

from __future__ import annotations

import uuid

from demo import TRADER, answered, demo_server, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http, rest_client(url) as admin:
        catalog = answered(http.get("/orm/strategies/catalog"))
        assert {"rsi_hayden_long", "rsi_hayden_short", "llm_trader"} <= {row["name"] for row in catalog}
        number = answered(http.get("/orm/strategies/catalog-id", params={"name": "rsi_hayden_long"}))["cat_str_id"]
        template = answered(http.get(f"/orm/strategies/catalog/{number}"))
        defaults = answered(http.get(f"/orm/strategies/catalog/{number}/params"))
        assert defaults["rsi_period"] == "14"
        print(f"{template['name']}: takes profit at {template['take_profit']} %, {defaults}")

        bot = answered(http.post("/orm/bots/", json={"name": "example of strategies", "dry_run": True}))
        asked = {"bot_id": bot["bot_id"], "cat_str_id": number, "name": "mine", "leverage": 3, "parameters": {"rsi_period": 21}}
        strategy = answered(http.post("/orm/strategies/bot-strategies", json=asked))
        path = f"/orm/strategies/bot-strategies/{strategy['str_id']}"
        assert (strategy["leverage"], strategy["stop_loss"]) == (3, template["stop_loss"])
        assert strategy["parameters"]["rsi_period"] == "21"
        assert answered(http.get(path)) == strategy
        of_bot = answered(http.get("/orm/strategies/bot-strategies", params={"bot_id": bot["bot_id"]}))
        assert [row["str_id"] for row in of_bot] == [strategy["str_id"]]
        assert strategy["str_id"] in {row["str_id"] for row in answered(http.get("/orm/strategies/user-strategies"))}
        print(f"attached strategy {strategy['str_id']}: what was not said came from the catalogue")

        changed = answered(http.put(path, json={"active": False, "stop_loss": 1.5}))
        assert (changed["active"], changed["stop_loss"], changed["name"]) == (False, 1.5, "mine")
        tuned = answered(http.put(f"{path}/params", json={"oversold_level": "25"}))
        assert (tuned["parameters"]["oversold_level"], tuned["parameters"]["rsi_period"]) == ("25", "21")
        print(f"parameters now: {tuned['parameters']}")

        new = {"name": f"example {uuid.uuid4().hex[:8]}", "take_profit": 2.5, "parameters": {"depth": 3}}
        assert answered(http.post("/orm/strategies/catalog", json=new), 403)["code"] == "FORBIDDEN"
        installed = answered(admin.post("/orm/strategies/catalog", json=new))
        answered(admin.delete(f"/orm/strategies/catalog/{installed['cat_str_id']}"))
        answered(http.get(f"/orm/strategies/catalog/{installed['cat_str_id']}"), 404)
        print("only an admin changes the catalogue")

        answered(http.delete(path))
        answered(http.get(path), 404)
        answered(http.delete(f"/orm/bots/{bot['bot_id']}"))
        print("removed")


if __name__ == "__main__":
    main()
