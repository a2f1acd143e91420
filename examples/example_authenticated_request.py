"""Make requests with a token, and see what happens without one."""

from __future__ import annotations

import httpx
from demo import ADMIN, bearer, demo_server, log_in


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=url, timeout=30) as http:
        headers = bearer(log_in(url))
        me = http.get("/api/v1/orm/users/me", headers=headers)
        assert me.status_code == 200, me.text
        assert (me.json()["uid"], me.json()["mail"], me.json()["name"]) == (1, ADMIN[0], "robert")
        print(f"me: {me.json()['mail']}, uid {me.json()['uid']}")

        candles = http.get("/api/v1/ohlcv/candles/kraken/BTC/USD/1m", params={"limit": 5}, headers=headers)
        assert candles.status_code == 200, candles.text
        assert candles.json()["count"] <= 5
        print(f"candles of BTC/USD: {candles.json()['count']}")

        for path in ("/api/v1/orm/users/me", "/api/v1/ohlcv/candles/kraken/BTC/USD/1m", "/api/v1/services"):
            refused = http.get(path)
            assert refused.status_code == 401, (path, refused.status_code)
            assert refused.json()["code"] == "UNAUTHENTICATED"
        print("without a token: 401")

        wrong = http.post("/api/v1/auth/login", data={"username": "nobody@fullon", "password": "password"})
        assert wrong.status_code == 401
        assert wrong.json()["detail"] == "Invalid credentials"
        print("an unknown user is refused like a wrong password")


if __name__ == "__main__":
    main()
