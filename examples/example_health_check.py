"""Ask a server whether it is well, without a token."""

from __future__ import annotations

import httpx
from demo import demo_server


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=url, timeout=30) as http:
        health = http.get("/health")
        assert health.status_code == 200
        body = health.json()
        assert body["status"] == "healthy", body
        assert body["version"], body
        assert body["service"] == "fullon_master_api"
        assert set(body["services"]) == {"ticker", "ohlcv", "account", "health_monitor"}
        print(f"health: {body['status']}, version {body['version']}")

        root = http.get("/").json()
        for key in ("service", "version", "docs", "health", "api"):
            assert root[key], root
        print(f"root:   {root}")

        assert http.get("/livez").status_code == 200
        assert http.get("/readyz").status_code == 200
        print("alive and ready")


if __name__ == "__main__":
    main()
