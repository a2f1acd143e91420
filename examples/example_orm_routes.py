"""Read your own user over REST."""

from __future__ import annotations

import httpx
from demo import ADMIN, TRADER, bearer, demo_server, log_in


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=f"{url}/api/v1/orm", timeout=30) as http:
        for mail, password in (ADMIN, TRADER):
            me = http.get("/users/me", headers=bearer(log_in(url, (mail, password))))
            assert me.status_code == 200, me.text
            assert me.json()["mail"] == mail
            assert "password" not in me.text
            print(f"users/me: uid {me.json()['uid']}, {me.json()['mail']}, {me.json()['role']}")

        refused = http.get("/users/me")
        assert refused.status_code == 401
        assert "no authenticated user" in refused.json()["detail"]
        print("without a token: 401")


if __name__ == "__main__":
    main()
