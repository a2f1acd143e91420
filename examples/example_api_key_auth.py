"""Make an API key, ask with it instead of a token, see what it may not do, and switch it off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
from demo import TRADER, answered, bearer, demo_server, log_in, rest_client


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as owner:
        me = answered(owner.get("/orm/users/me"))
        made = answered(owner.post("/orm/api_keys/me", json={"name": "reporting", "description": "reads", "scopes": "read"}))
        assert made["key"].startswith("fullon_ak_")
        print(f"made key {made['api_key_id']}, which begins with {made['prefix']}; it is shown this once")

        with httpx.Client(base_url=f"{url}/api/v1", headers={"X-API-Key": made["key"]}, timeout=30) as by_key:
            assert answered(by_key.get("/orm/users/me"))["uid"] == me["uid"]
            assert answered(by_key.get("/ohlcv/candles/kraken/BTC/USD/1m", params={"limit": 1}))["count"] <= 1
            asked = by_key.post(f"{url}/graphql", json={"query": "{ me { mail } }"})
            assert answered(asked)["data"]["me"]["mail"] == TRADER[0]
            print("REST and GraphQL take the key")

            refused = answered(by_key.post("/orm/bots/", json={"name": "not allowed"}), 403)
            assert refused["code"] == "FORBIDDEN"
            assert answered(by_key.post("/orm/api_keys/me", json={"name": "more"}), 403)["code"] == "FORBIDDEN"
            print("a key that may read changes nothing and makes no keys")

            both = by_key.get("/orm/users/me", headers=bearer(log_in(url)))
            assert answered(both)["mail"] != TRADER[0], "a token must go before a key"
            print("where both are sent the token counts")

            (listed,) = [key for key in answered(owner.get("/orm/api_keys/me")) if key["api_key_id"] == made["api_key_id"]]
            assert listed["last_used_at"] is not None
            assert "key" not in listed, "a key was shown twice"

            answered(owner.patch(f"/orm/api_keys/{made['api_key_id']}/deactivate"))
            assert answered(by_key.get("/orm/users/me"), 401)["code"] == "UNAUTHENTICATED"
            print("switched off: 401")
        answered(owner.delete(f"/orm/api_keys/{made['api_key_id']}"))

        past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        over = answered(owner.post("/orm/api_keys/me", json={"name": "over", "expires_at": past}))
        answered(httpx.get(f"{url}/api/v1/orm/users/me", headers={"X-API-Key": over["key"]}, timeout=30), 401)
        answered(owner.delete(f"/orm/api_keys/{over['api_key_id']}"))
        print("a key whose time is over: 401")


if __name__ == "__main__":
    main()
