"""What every ORM route needs: its caller, the stores and bounds of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request, Response
from fastapi import Path as PathValue

from fullon_master_api.apis.cache import Cache
from fullon_master_api.apis.orm import Orm, Page
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.errors import GatewayError, NotFound, TokenExpired, Unauthenticated
from fullon_master_api.model import Principal
from fullon_master_api.rest.access import API_KEY, BEARER
from fullon_master_api.rest.orm.exact import exact_response

T = TypeVar("T")

ID_MAX: Final = 2**63 - 1
NEXT: Final = "X-Next-Cursor"


def caller(
    request: Request, _bearer: Annotated[str | None, Depends(BEARER)], _key: Annotated[str | None, Depends(API_KEY)]
) -> Principal:
    """The signed-in caller. Raises Unauthenticated in the words that the original's clients look for."""
    principal: Principal | None = request.state.user
    if principal is not None:
        return principal
    refusal: GatewayError | None = getattr(request.state, "refusal", None)
    words = "no authenticated user" + (f": {refusal.message}" if refusal else "")
    raise TokenExpired(words) if isinstance(refusal, TokenExpired) else Unauthenticated(words)


def orm_of(request: Request) -> Orm:
    orm: Orm = request.app.state.stores.orm
    return orm


def sessions_of(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.stores.sessions
    return sessions


def cache_of(request: Request) -> Cache:
    cache: Cache = request.app.state.stores.cache
    return cache


Caller = Annotated[Principal, Depends(caller)]
Store = Annotated[Orm, Depends(orm_of)]
Logins = Annotated[Sessions, Depends(sessions_of)]
Latest = Annotated[Cache, Depends(cache_of)]

Id = Annotated[int, PathValue(ge=0, le=ID_MAX)]
QueryId = Annotated[int, Query(ge=0, le=ID_MAX)]
Limit = Annotated[int, Query(ge=1, le=500, description="most rows that are answered")]
After = Annotated[str | None, Query(max_length=500, description=f"the `{NEXT}` header of the page before")]
PageNumber = Annotated[int, Query(ge=1, le=100_000, description="page, counted from 1")]
PageSize = Annotated[int, Query(ge=1, le=500, description="rows of a page")]


def page_response(page: Page[Any], body: Callable[[Any], dict[str, Any]]) -> Response:
    """The rows as a plain list, as the original; the header names the next page where there is one."""
    headers = {NEXT: page.cursors[-1]} if page.has_next else None
    return exact_response([body(row) for row in page.rows], headers=headers)


def found(rows: Sequence[T | None], words: str) -> T:
    """The one row that was asked for. Raises: NotFound."""
    if rows[0] is None:
        raise NotFound(words)
    return rows[0]
