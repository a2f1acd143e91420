"""Read the OpenAPI document, and open its two pages."""

from __future__ import annotations

import httpx
from demo import demo_server


def main() -> None:
    with demo_server(__doc__ or "") as url, httpx.Client(base_url=url, timeout=30) as http:
        answer = http.get("/openapi.json")
        assert answer.status_code == 200
        document = answer.json()
        info = document["info"]
        assert info["title"] == "Fullon Master API"
        assert info["version"]
        assert info["description"]
        assert document["paths"]
        print(f"{info['title']} {info['version']}: {len(document['paths'])} paths")
        for path, methods in sorted(document["paths"].items()):
            print(f"  {', '.join(sorted(methods)).upper():10} {path}")

        for page in ("/docs", "/redoc"):
            html = http.get(page, headers={"Accept": "text/html"})
            assert html.status_code == 200
            assert "https://" not in html.text.replace(url, ""), f"{page} asks another host for something"
        print("both pages need no other host")


if __name__ == "__main__":
    main()
