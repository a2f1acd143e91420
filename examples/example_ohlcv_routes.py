"""Read candles over REST."""

from __future__ import annotations

import time
from datetime import datetime

import httpx
from demo import bearer, demo_server, log_in

CANDLES_S = 60.0


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=f"{url}/api/v1/ohlcv", timeout=30) as http:
        http.headers.update(bearer(log_in(url)))
        until = time.monotonic() + CANDLES_S
        while True:
            answer = http.get("/candles/kraken/BTC/USD/1m", params={"limit": 10})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            if body["count"] >= 2:
                break
            assert time.monotonic() < until, f"no candles after {CANDLES_S:.0f} s"
            time.sleep(0.5)
        assert body["timeframe"] == "1m"
        assert body["count"] == len(body["candles"]) <= 10
        for row in body["candles"]:
            assert set(row) >= {"timestamp", "open", "high", "low", "close", "vol"}
            assert row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]
            print(row)
        opened = [datetime.fromisoformat(row["timestamp"]) for row in body["candles"]]
        assert opened == sorted(opened)

        encoded = http.get("/candles/kraken/BTC%2FUSD/5m", params={"limit": 24})
        assert encoded.status_code == 200, encoded.text
        assert encoded.json()["count"] <= 24
        print(f"5m candles: {encoded.json()['count']}")

        for path, status in {
            "/candles/kraken/NOT/THERE/1m": 404,
            "/candles/kraken/BTC/USD/7m": 422,
            "/candles/kraken/BTC/USD/1m?limit=0": 422,
            "/candles/kraken/BTC/USD/1m?limit=1000000000": 422,
        }.items():
            refused = http.get(path)
            assert refused.status_code == status, (path, refused.status_code, refused.text)
            assert refused.json()["code"] in {"NOT_FOUND", "BAD_USER_INPUT"}
        print("an unknown symbol, a bad timeframe and a bad limit are refused with a code")


if __name__ == "__main__":
    main()
