"""Find symbols and their digits, and add one as an admin."""

from __future__ import annotations

from demo import TRADER, answered, demo_server, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http, rest_client(url) as admin:
        exchange = answered(http.get("/orm/exchanges/catalog-id", params={"exchange_name": "kraken"}))["cat_ex_id"]
        symbols = answered(http.get("/orm/symbols/by-exchange", params={"cat_ex_id": exchange}))
        assert {"BTC/USD", "ETH/USD", "SOL/USD", "BTC/USDT"} <= {row["symbol"] for row in symbols}
        for row in symbols:
            print(f"{row['symbol']:10} price to {row['price_decimals']} digits, quantity to {row['quantity_decimals']}")
        found = answered(http.get("/orm/symbols/search", params={"q": "btc"}))
        assert {"BTC/USD", "BTC/USDT"} <= {row["symbol"] for row in found}
        digits = answered(http.get("/orm/symbols/decimals", params={"symbol": "BTC/USD"}))
        assert (digits["exchange_name"], digits["price_decimals"]) == ("kraken", 1)
        assert answered(http.get("/orm/symbols/decimals", params={"symbol": "NO/PE"}), 404)["code"] == "NOT_FOUND"

        new = {"symbol": "ADA/USD", "cat_ex_id": exchange, "price_decimals": 6, "quantity_decimals": 8, "active": False}
        assert answered(http.post("/orm/symbols", json=new), 403)["code"] == "FORBIDDEN"
        symbol = answered(admin.post("/orm/symbols", json=new))
        assert (symbol["base"], symbol["quote"], symbol["price_decimals"]) == ("ADA", "USD", 6)
        again = answered(admin.post("/orm/symbols", json=new), 409)
        assert again["code"] == "CONFLICT"
        changed = answered(admin.patch(f"/orm/symbols/{symbol['symbol_id']}", json={"price_decimals": 5}))
        assert changed["price_decimals"] == 5
        refused = answered(admin.patch(f"/orm/symbols/{symbol['symbol_id']}", json={"updateframe": "7m"}), 422)
        assert refused["detail"][0]["loc"] == ["updateframe"]
        print(f"an admin added {symbol['symbol']} and changed its digits; a bad timeframe was refused")

        remove = "mutation ($id: ID!) { deleteSymbol(input: { id: $id }) { userErrors { message } } }"
        find = '{ symbol(exchange: "kraken", symbol: "ADA/USD") { id } }'
        number = answered(admin.post(f"{url}/graphql", json={"query": find}))["data"]["symbol"]["id"]
        done = answered(admin.post(f"{url}/graphql", json={"query": remove, "variables": {"id": number}}))
        assert done["data"]["deleteSymbol"]["userErrors"] == [], done
        assert answered(http.get("/orm/symbols/search", params={"q": "ADA"})) == []
        print("removed")


if __name__ == "__main__":
    main()
