"""Who may call a REST route: the caller that the edge found, or the refusal that it met."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer

from fullon_master_api.errors import Forbidden, GatewayError, Unauthenticated
from fullon_master_api.model import Principal

# Only for the OpenAPI document and its "Authorize" button; the edge has read the headers already.
BEARER = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login", auto_error=False, scheme_name="bearer")
API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey")


def caller(
    request: Request, _bearer: Annotated[str | None, Depends(BEARER)], _key: Annotated[str | None, Depends(API_KEY)]
) -> Principal:
    """The signed-in caller. Raises the edge's refusal, or Unauthenticated where there is no credential."""
    principal: Principal | None = request.state.user
    if principal is not None:
        return principal
    refusal: GatewayError | None = request.state.refusal
    raise refusal or Unauthenticated("Not authenticated")


Caller = Annotated[Principal, Depends(caller)]


def admin(principal: Caller) -> Principal:
    """The caller, who is an admin. Raises Forbidden for everybody else."""
    if not principal.is_admin:
        raise Forbidden("Admin access required")
    return principal


Admin = Annotated[Principal, Depends(admin)]
