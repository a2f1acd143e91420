"""`/api/v1/auth`: log in, and ask whether a token is good."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from pydantic import BaseModel

from fullon_master_api.auth.rates import address_of
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.errors import GatewayError, Unauthenticated
from fullon_master_api.model import Principal
from fullon_master_api.rest.access import BEARER
from fullon_master_api.rest.faults import ErrorBody

REFUSED: Final[dict[int | str, dict[str, Any]]] = {401: {"model": ErrorBody}}


class Token(BaseModel):
    """The original's body, and the token that renews it."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105  the name of a scheme, not a secret
    expires_in: int
    refresh_token: str


class Verified(BaseModel):
    """Who the token belongs to."""

    user_id: int
    username: str
    email: str
    is_active: bool


def auth_router(sessions: Sessions) -> APIRouter:
    """The router of `/auth`, to be mounted under the API's prefix."""
    router = APIRouter(prefix="/auth", tags=["auth"])

    @router.post("/login", summary="Log in with mail and password", responses={**REFUSED, 429: {"model": ErrorBody}})
    async def login(
        request: Request,
        username: Annotated[str, Form(max_length=80, description="the user's mail")],
        password: Annotated[str, Form(max_length=256)],
        grant_type: Annotated[str | None, Form(max_length=20)] = None,
        scope: Annotated[str, Form(max_length=200)] = "",
        totp: Annotated[str | None, Form(max_length=10, description="the code of the second factor, where one is set")] = None,
    ) -> Token:
        session = await sessions.login(mail=username, password=password, address=address_of(request.scope), totp=totp)
        return Token(access_token=session.access_token, expires_in=session.expires_in_s, refresh_token=session.refresh_token)

    @router.get("/verify", summary="Whose token this is", responses={**REFUSED, 403: {"model": ErrorBody}})
    async def verify(request: Request, _bearer: Annotated[str | None, Depends(BEARER)]) -> Verified:
        if "authorization" not in request.headers:
            raise HTTPException(403, "Not authenticated")
        principal: Principal | None = request.state.user
        if principal is None:
            refusal: GatewayError | None = request.state.refusal
            raise refusal or Unauthenticated("Invalid authentication token")
        return Verified(user_id=principal.uid, username=principal.mail, email=principal.mail, is_active=True)

    return router
