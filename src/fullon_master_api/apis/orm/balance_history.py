"""The trail of an account's balances, one line for each time that a total changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import ColumnElement, func, insert, select

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database
from fullon_master_api.apis.orm.owned import owned_by
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.tables import exchange_history, exchanges
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Balance, Fence, Principal, Record


class BalanceLine(Record, frozen=True, kw_only=True):
    """What an account held in all of one currency at a time."""

    history_id: int
    ex_id: int
    uid: int
    currency: str
    balance: Decimal
    comment: str | None = None
    created_at: datetime


_LISTING: Final = Listing(
    "balance_history",
    BalanceLine,
    exchange_history,
    exchange_history.c.history_id,
    sorts={"history_id": exchange_history.c.history_id, "created_at": exchange_history.c.created_at},
    default="-history_id",
)


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(exchange_history.c.uid, principal)


class BalanceHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_accounts(
        self, ex_ids: Sequence[int], principal: Principal | None, *, first: int = FIRST_DEFAULT, after: str | None = None
    ) -> list[Page[BalanceLine]]:
        """A page of each account's lines, newest first."""
        async with self._database.read() as connection:
            parent = exchange_history.c.ex_id
            return await _LISTING.pages_of(connection, parent, ex_ids, visible(principal), first=first, after=after)

    async def newest(self, ex_id: int) -> dict[str, Decimal]:
        """The last line of each currency of an account, for a service."""
        last = select(func.max(exchange_history.c.history_id)).where(exchange_history.c.ex_id == ex_id)
        statement = select(exchange_history.c.currency, exchange_history.c.balance).where(
            exchange_history.c.history_id.in_(last.group_by(exchange_history.c.currency))
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.currency: row.balance for row in rows}

    async def save(
        self, ex_id: int, balances: Sequence[Balance], *, comment: str | None = None, fence: Fence | None = None
    ) -> int:
        """Keep the totals of an account, for a service; answers how many lines. Raises: NotFound, StaleEpoch."""
        given = [{"currency": row.currency, "balance": row.total, "comment": comment} for row in balances]
        rows = [inputs.checked(exchange_history, row, tuple(row)) for row in given]
        async with self._database.write(fence=fence) as write:
            uid = await write.connection.scalar(select(exchanges.c.uid).where(exchanges.c.ex_id == ex_id))
            if uid is None:
                raise NotFound(f"no exchange account {ex_id}", path=("ex_id",))
            if rows:
                owned = [row | {"ex_id": ex_id, "uid": uid} for row in rows]
                await write.connection.execute(insert(exchange_history), owned)
        return len(rows)
