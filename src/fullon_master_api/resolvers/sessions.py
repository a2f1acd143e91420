"""Logging in over GraphQL."""

from __future__ import annotations

from typing import Protocol

from fullon_master_api.auth.sessions import Session
from fullon_master_api.errors import RateLimited, Unauthenticated
from fullon_master_api.model import Record, User
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.faults import UserErrorRow, user_error


class Login(Protocol):
    mail: str
    password: str
    totp: str | None


class RefreshWish(Protocol):
    refresh_token: str


class SessionPayloadRow(Record, frozen=True, kw_only=True):
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in_s: int | None = None
    user: User | None = None
    user_errors: list[UserErrorRow] = []


class LogoutPayloadRow(Record, frozen=True, kw_only=True):
    user_errors: list[UserErrorRow] = []


async def login(ctx: Context, *, input: Login) -> SessionPayloadRow:
    try:
        session = await ctx.stores.sessions.login(mail=input.mail, password=input.password, address=ctx.address, totp=input.totp)
    except (Unauthenticated, RateLimited) as refused:
        return SessionPayloadRow(user_errors=[user_error(refused)])
    return await _payload(ctx, session)


async def refresh_token(ctx: Context, *, input: RefreshWish) -> SessionPayloadRow:
    try:
        session = await ctx.stores.sessions.refresh(input.refresh_token)
    except Unauthenticated as refused:
        return SessionPayloadRow(user_errors=[user_error(refused)])
    return await _payload(ctx, session)


async def logout(ctx: Context, *, input: RefreshWish) -> LogoutPayloadRow:
    await ctx.stores.sessions.logout(input.refresh_token)
    return LogoutPayloadRow()


async def _payload(ctx: Context, session: Session) -> SessionPayloadRow:
    return SessionPayloadRow(
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_in_s=session.expires_in_s,
        user=(await ctx.stores.orm.users.get_many([session.uid], None))[0],
    )
