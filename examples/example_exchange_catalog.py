"""Look up exchanges and their symbols, and keep an account with its secret unseen."""

from __future__ import annotations

from demo import TRADER, answered, demo_server, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http, rest_client(url) as admin:
        (kraken,) = [row for row in answered(http.get("/orm/exchanges/catalog")) if row["name"] == "kraken"]
        number = kraken["cat_ex_id"]
        assert answered(http.get("/orm/exchanges/catalog-id", params={"exchange_name": "Kraken"})) == {"cat_ex_id": number}
        answered(http.get("/orm/exchanges/catalog-id", params={"exchange_name": "nowhere"}), 404)
        symbols = answered(http.get(f"/orm/exchanges/catalog/{number}/symbols"))
        assert {"BTC/USD", "ETH/USD"} <= {row["symbol"] for row in symbols}
        assert isinstance(answered(http.get(f"/orm/exchanges/catalog/{number}/params")), dict)
        print(f"kraken is number {number} and has {len(symbols)} symbols")

        accounts = answered(http.get("/orm/exchanges/user-exchanges"))
        assert "paper" in {row["name"] for row in accounts}
        new = {"cat_ex_id": number, "name": "second", "api_key": "my-key", "api_secret": "my-secret", "active": False}
        account = answered(http.post("/orm/exchanges/user-exchanges", json=new))
        path = f"/orm/exchanges/user-exchanges/{account['ex_id']}"
        assert "my-" not in http.get("/orm/exchanges/user-exchanges").text, "a credential was shown"
        print(f"account {account['ex_id']}: its key is kept encrypted and never answered")

        half = answered(http.patch(path, json={"api_key": "only"}), 422)
        assert half["detail"][0]["loc"] == ["api_secret"]
        changed = answered(http.patch(path, json={"name": "third", "is_testnet": True}))
        assert (changed["name"], changed["is_testnet"]) == ("third", True)
        found = answered(http.get("/orm/exchanges/id-by-name", params={"name": "third"}))
        assert found == {"exchange_id": account["ex_id"]}
        foreign = answered(admin.get("/orm/exchanges/user-exchanges"))[0]["ex_id"]
        assert answered(http.delete(f"/orm/exchanges/user-exchanges/{foreign}"), 404)["code"] == "NOT_FOUND"
        print("an account of somebody else is not found")

        answered(http.delete(path))
        answered(http.delete(path), 404)
        print("removed")


if __name__ == "__main__":
    main()
