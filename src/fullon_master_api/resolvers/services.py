"""The collecting services and the platform's processes, for admins."""

from __future__ import annotations

from typing import Any, Protocol

from fullon_master_api.apis.orm import Page
from fullon_master_api.apis.orm.audit import AuditEntry
from fullon_master_api.model import Process, Record, Service, ServiceName
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.faults import EXPECTED, UserErrorRow, user_error
from fullon_master_api.resolvers.filters import OrderWish, condition_of, order_of


class ServiceWish(Protocol):
    name: ServiceName


class ServicePayloadRow(Record, frozen=True, kw_only=True):
    service: Service | None
    user_errors: list[UserErrorRow] = []


async def services(ctx: Context) -> list[Service]:
    ctx.require_admin()
    return await ctx.stores.services.get_all()


async def service(ctx: Context, *, name: ServiceName) -> Service | None:
    ctx.require_admin()
    return await ctx.stores.services.get(name)


async def processes(ctx: Context) -> list[Process]:
    ctx.require_admin()
    return await ctx.stores.cache.processes.active()


async def audit_trail(
    ctx: Context,
    *,
    filter: Any = None,
    order_by: OrderWish | None = None,
    first: int = 50,
    after: str | None = None,
) -> Page[AuditEntry]:
    return await ctx.stores.orm.audit.page(
        ctx.admin, matching=condition_of(filter), order=order_of(order_by), first=first, after=after
    )


async def start_service(ctx: Context, *, input: ServiceWish) -> ServicePayloadRow:
    try:
        return ServicePayloadRow(service=await ctx.stores.services.start(input.name, by=ctx.admin))
    except EXPECTED as error:
        return ServicePayloadRow(service=None, user_errors=[user_error(error)])


async def stop_service(ctx: Context, *, input: ServiceWish) -> ServicePayloadRow:
    try:
        return ServicePayloadRow(service=await ctx.stores.services.stop(input.name, by=ctx.admin))
    except EXPECTED as error:
        return ServicePayloadRow(service=None, user_errors=[user_error(error)])


async def restart_service(ctx: Context, *, input: ServiceWish) -> ServicePayloadRow:
    try:
        return ServicePayloadRow(service=await ctx.stores.services.restart(input.name, by=ctx.admin))
    except EXPECTED as error:
        return ServicePayloadRow(service=None, user_errors=[user_error(error)])
