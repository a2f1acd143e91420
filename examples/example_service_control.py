"""Stop, start and restart a service over REST as an admin, and see the ticks stop and come back."""

from __future__ import annotations

import time

import httpx
from demo import TRADER, answered, demo_server, rest_client

WITHIN_S = 60.0
TICKER = {"query": '{ ticker(exchange: "kraken", symbol: "BTC/USD") { sequence } }'}


def sequence(http: httpx.Client, url: str) -> int:
    """How many tickers of BTC/USD were seen so far."""
    ticker = answered(http.post(f"{url}/graphql", json=TICKER))["data"]["ticker"]
    return int(ticker["sequence"]) if ticker else 0


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url) as admin, rest_client(url, TRADER) as trader:
        services = answered(admin.get("/services"))["services"]
        assert set(services) == {"ticker", "ohlcv", "account", "health_monitor"}
        for name, service in services.items():
            print(f"{name:15} {service['state']}")

        if answered(admin.get("/services/ticker/status"))["is_running"]:
            stopped = answered(admin.post("/services/ticker/stop"))
            assert (stopped["status"], stopped["state"]) == ("stopped", "STOPPED")
        assert "is not running" in answered(admin.post("/services/ticker/stop"), 400)["detail"]
        before = sequence(trader, url)
        time.sleep(1)
        assert sequence(trader, url) == before, "ticks arrived while the service was stopped"
        print(f"stopped: no ticks after number {before}; stopping it again is refused")

        started = answered(admin.post("/services/ticker/start"))
        assert started["status"] == "started", started
        assert "is already running" in answered(admin.post("/services/ticker/start"), 400)["detail"]
        until = time.monotonic() + WITHIN_S
        while sequence(trader, url) <= before:
            assert time.monotonic() < until, f"no tick {WITHIN_S:.0f} s after the start"
            time.sleep(0.2)
        print(f"started: the ticks are back at number {sequence(trader, url)}")

        restarted = answered(admin.post("/services/ticker/restart"))
        assert restarted["status"] == "restarted"
        assert answered(admin.get("/services/ticker/status"))["is_running"]
        print(f"restarted: {restarted['state']}")

        for method, path in (("GET", "/services"), ("POST", "/services/ticker/stop")):
            assert answered(trader.request(method, path), 403)["code"] == "FORBIDDEN"
        print("anybody but an admin is refused: FORBIDDEN")


if __name__ == "__main__":
    main()
