"""Log in with mail and password, then ask whose token it is."""

from __future__ import annotations

import httpx
from demo import ADMIN, bearer, demo_server


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=f"{url}/api/v1/auth", timeout=30) as http:
        answer = http.post("/login", data={"username": ADMIN[0], "password": ADMIN[1]})
        assert answer.status_code == 200, answer.text
        session = answer.json()
        assert session["token_type"] == "bearer"
        assert session["expires_in"] == 3600
        print(f"logged in, the token ends in {session['expires_in']} s")

        verified = http.get("/verify", headers=bearer(session["access_token"]))
        assert verified.status_code == 200, verified.text
        assert verified.json() == {"user_id": 1, "username": ADMIN[0], "email": ADMIN[0], "is_active": True}
        print(f"verified: {verified.json()}")

        wrong = http.post("/login", data={"username": ADMIN[0], "password": "not the password"})
        assert wrong.status_code == 401
        assert wrong.json()["detail"] == "Invalid credentials"
        assert wrong.json()["code"] == "UNAUTHENTICATED"
        print("a wrong password is refused")

        assert http.get("/verify", headers=bearer("nonsense")).status_code == 401
        assert http.get("/verify").status_code == 403
        print("a bad token is refused, and so is none")


if __name__ == "__main__":
    main()
