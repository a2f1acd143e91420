"""The audit trail: who did what to what, for admins to read; each noun writes its own rows in its own transactions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fullon_master_api.apis.orm.conditions import Condition
from fullon_master_api.apis.orm.database import Database
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.tables_services import audit
from fullon_master_api.errors import Forbidden
from fullon_master_api.model import Principal, Record


class AuditEntry(Record, frozen=True, kw_only=True):
    """`uid` and `mail` of who did it, None for the platform itself; `subject` as `user:7`."""

    audit_id: int
    uid: int | None
    mail: str | None
    action: str
    subject: str
    detail: dict[str, Any]
    created_at: datetime


_LISTING: Final = Listing(
    "audit",
    AuditEntry,
    audit,
    audit.c.audit_id,
    sorts={"audit_id": audit.c.audit_id},
    default="-audit_id",
)


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, principal: Principal | None, action: str, subject: str, **detail: object) -> None:
        """Keep an action that changes nothing else here (a login, a forced health check)."""
        async with self._database.write() as write:
            await write.audit(principal, action, subject, **detail)

    async def page(
        self,
        principal: Principal | None,
        *,
        action: str | None = None,
        subject: str | None = None,
        uid: int | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        total: bool = False,
    ) -> Page[AuditEntry]:
        """Newest first. Raises: Forbidden for all but admins."""
        if principal is not None and not principal.is_admin:
            raise Forbidden("Admin access required")
        given = {"action": action, "subject": subject, "uid": uid}
        where = [audit.c[name] == value for name, value in given.items() if value is not None]
        async with self._database.read() as connection:
            return await _LISTING.page(connection, *where, first=first, after=after, order=order, matching=matching, total=total)
