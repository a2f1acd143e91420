"""Read the six views that dashboards show: counts, performance, what is held, what may be lost."""

from __future__ import annotations

from demo import TRADER, answered, demo_server, rest_client

KEYS = {
    "trading-overview": {"total_volume", "active_pairs", "success_rate", "total_trades"},
    "performance-metrics": {"win_rate", "profit_factor", "sharpe_ratio", "total_pnl", "closing_trades"},
    "user-summary": {"account_balance", "total_value", "daily_pnl", "unpriced_assets"},
    "portfolio-stats": {"total_assets", "total_cost", "asset_allocation", "diversification_score"},
    "risk-metrics": {"value_at_risk", "max_drawdown", "risk_score"},
}


def main() -> None:
    with demo_server(__doc__ or "") as url, rest_client(url, TRADER) as http, rest_client(url) as admin:
        uid = answered(http.get("/orm/users/me"))["uid"]
        dashboard = answered(http.get(f"/orm/views/bot-dashboard/{uid}"))
        assert dashboard["total_bots"] >= 3
        assert dashboard["total_trades"] == dashboard["live_trades"] + dashboard["dry_trades"]
        print(f"bot-dashboard       {dashboard}")

        for view, keys in KEYS.items():
            body = answered(http.get(f"/orm/views/{view}"))
            assert set(body) == keys, (view, set(body) ^ keys)
            print(f"{view:19} {body}")
            assert set(answered(admin.get(f"/orm/views/{view}", params={"user_id": uid}))) == keys

        performance = answered(http.get("/orm/views/performance-metrics"))
        assert performance["win_rate"] is None or 0 <= performance["win_rate"] <= 1
        allocation = answered(http.get("/orm/views/portfolio-stats"))["asset_allocation"]
        assert not allocation or abs(sum(allocation.values()) - 1) < 1e-6, allocation
        stranger = answered(admin.get("/orm/users/me"))["uid"]
        for path in (f"/orm/views/bot-dashboard/{stranger}", f"/orm/views/risk-metrics?user_id={stranger}"):
            assert answered(http.get(path), 404)["code"] == "NOT_FOUND"
        print("numbers of somebody else are not found, except by an admin")


if __name__ == "__main__":
    main()
