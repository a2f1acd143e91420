"""Logging in, staying logged in, logging out."""

from __future__ import annotations

import strawberry

from fullon_master_api.schema.accounts import User
from fullon_master_api.schema.faults import UserError


@strawberry.input(description="Who logs in.")
class LoginInput:
    mail: str = strawberry.field(description="Mail address of the user.")
    password: str = strawberry.field(description="Their password.")
    totp: str | None = strawberry.field(default=None, description="Code of the second factor, where one is set.")


@strawberry.input(description="A refresh token that is to be spent or ended.")
class RefreshTokenInput:
    refresh_token: str = strawberry.field(description="What `login` or `refreshToken` answered last.")


@strawberry.input(description="The login that is to end.")
class LogoutInput:
    refresh_token: str = strawberry.field(description="What `login` or `refreshToken` answered last.")


@strawberry.type(description="A session, or why there is none.")
class SessionPayload:
    access_token: str | None = strawberry.field(description="Send it as `Authorization: Bearer …`.")
    refresh_token: str | None = strawberry.field(description="Spend it for the next session before the access token ends.")
    expires_in_s: int | None = strawberry.field(name="expiresIn", description="Life of the access token in seconds.")
    user: User | None = strawberry.field(description="Who logged in.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong; empty when all was well.")


@strawberry.type(description="The end of a session.")
class LogoutPayload:
    user_errors: list[UserError] = strawberry.field(description="What was wrong; empty when all was well.")
