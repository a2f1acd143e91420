"""The pages for people, served from this package alone: the dashboard, GraphiQL, Swagger UI, Redoc."""

from __future__ import annotations

import json
from hashlib import sha256
from html import escape
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

BUILT: Final = Path(__file__).parent / "built"
STATIC_PATH: Final = "/static"
HOW_TO_BUILD: Final = "run `make env` in a checkout, or `pip install .` without FULLON_SKIP_PAGES"

# Scripts only from files of this server. Styles: Monaco and Redoc write style elements while they run, so inline ones are
# allowed; they cannot run code. Pictures and fonts: small ones are inside the style sheets as data.
POLICY: Final = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


class BuiltFiles(StaticFiles):
    """The bundles, compressed by the build for whoever takes gzip.

    A browser keeps them and asks each time whether they changed, as their names carry no version.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        accepts = Headers(scope=scope).get("accept-encoding", "")
        packed = takes_gzip(accepts) and (BUILT / f"{path}.gz").is_file()
        response = await super().get_response(f"{path}.gz" if packed else path, scope)
        response.headers.update(HEADERS | {"Vary": "Accept-Encoding"})
        if packed and response.status_code == 200:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Type"] = _content_type(path)
        return response


def takes_gzip(accepts: str) -> bool:
    """Whether this `Accept-Encoding` header allows gzip by name (RFC 9110, 12.5.3)."""
    for part in accepts.split(","):
        name, _, weight = part.replace(" ", "").lower().partition(";q=")
        if name == "gzip":
            return weight.rstrip("0.") != "" or weight == ""
    return False


def _content_type(path: str) -> str:
    kind = guess_type(path)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def pages_are_built() -> bool:
    """Whether the build hook ran for this installation."""
    return (BUILT / "graphiql.js").is_file()


def own_documents() -> dict[str, str]:
    """The GraphQL texts that these pages send, by their SHA-256; none where the pages were not built."""
    if not pages_are_built():
        return {}
    texts: list[str] = json.loads((BUILT / "operations.json").read_bytes())
    return {sha256(text.encode()).hexdigest(): text for text in texts}


def wants_page(accept: str | None) -> bool:
    """Whether this `Accept` header is a browser's: it names HTML, which no GraphQL or REST client does."""
    return "text/html" in (accept or "").lower()


def graphiql_page(*, graphql_path: str = "/graphql", root_path: str = "") -> HTMLResponse:
    """GraphiQL for the GraphQL endpoint at `graphql_path`; `root_path` is what a proxy put before every path."""
    return _page(
        "GraphiQL",
        scripts=["graphiql.js"],
        styles=["graphiql.css"],
        root_path=root_path,
        data={"graphql": root_path + graphql_path, "static": root_path + STATIC_PATH},
    )


def graphiql_door_page(*, graphql_path: str = "/graphql", root_path: str = "") -> HTMLResponse:
    """A login that then asks the server for GraphiQL with the visitor's token."""
    return _page(
        "GraphiQL",
        scripts=["door.js"],
        styles=["door.css"],
        root_path=root_path,
        data={"graphql": root_path + graphql_path},
    )


def dashboard_page(*, graphql_path: str = "/graphql", root_path: str = "", graphiql: bool = True) -> HTMLResponse:
    """The dashboard, which asks and watches through the GraphQL endpoint at `graphql_path`, and with `graphiql` names it."""
    return _page(
        "Fullon",
        scripts=["dashboard.js"],
        styles=["dashboard.css"],
        root_path=root_path,
        data={"graphql": root_path + graphql_path} | ({"graphiql": ""} if graphiql else {}),
        before='<p class="loading">Fullon is loading …</p><noscript><p>This page needs JavaScript.</p></noscript>',
    )


def swagger_page(*, title: str, openapi_path: str = "/openapi.json", root_path: str = "") -> HTMLResponse:
    """Swagger UI over the description at `openapi_path`."""
    return _page(
        title,
        scripts=["swagger-ui-bundle.js", "swagger.js"],
        styles=["swagger-ui.css"],
        root_path=root_path,
        data={"openapi": root_path + openapi_path},
    )


def redoc_page(*, title: str, openapi_path: str = "/openapi.json", root_path: str = "") -> HTMLResponse:
    """Redoc over the description at `openapi_path`; its search runs in a worker that it makes from a blob."""
    return _page(
        title,
        scripts=["redoc.standalone.js", "redoc.js"],
        styles=[],
        root_path=root_path,
        data={"openapi": root_path + openapi_path},
        policy=POLICY | {"worker-src": "'self' blob:"},
    )


def mount_pages(app: FastAPI, *, openapi_path: str = "/openapi.json") -> None:
    """Serve the bundles at `/static`, Swagger UI at `/docs` and Redoc at `/redoc`.

    The app must be made with `docs_url=None, redoc_url=None`: FastAPI's own pages load their scripts from other hosts.
    GraphiQL shares its path with the endpoint, so whoever serves `GET /graphql` answers browsers with `graphiql_page`.
    """
    if pages_are_built():
        app.mount(STATIC_PATH, BuiltFiles(directory=BUILT), name="static")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return swagger_page(title=app.title, openapi_path=openapi_path, root_path=request.scope.get("root_path", ""))

    @app.get("/redoc", include_in_schema=False)
    def redoc(request: Request) -> HTMLResponse:
        return redoc_page(title=app.title, openapi_path=openapi_path, root_path=request.scope.get("root_path", ""))


def _page(
    title: str,
    *,
    scripts: list[str],
    styles: list[str],
    root_path: str,
    data: dict[str, str],
    policy: dict[str, str] = POLICY,
    before: str = "",
) -> HTMLResponse:
    """One page: a root element that carries its settings as data attributes, and files of this server.

    `before` is what it shows until its script runs.
    """
    headers = HEADERS | {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Vary": "Accept, Authorization",
    }
    if not pages_are_built():
        text = f"<h1>The pages were not built</h1><p>To build them {escape(HOW_TO_BUILD)}. The API itself works without them.</p>"
        return HTMLResponse(_document(title, head="", body=text), status_code=503, headers=headers)
    static = escape(root_path + STATIC_PATH)
    head = "".join(f'<link rel="stylesheet" href="{static}/{name}">' for name in styles)
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    body = f'<div id="root"{attributes}>{before}</div>' + "".join(
        f'<script src="{static}/{name}"{_script_kind(name)}></script>' for name in scripts
    )
    return HTMLResponse(_document(title, head=head, body=body), headers=headers)


def _script_kind(name: str) -> str:
    """Our own entries are modules; the ready bundles of Swagger UI and Redoc set a global name, so they are plain scripts."""
    return "" if name in ("swagger-ui-bundle.js", "redoc.standalone.js") else ' type="module"'


def _document(title: str, *, head: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">{head}</head><body>{body}</body></html>'
    )
