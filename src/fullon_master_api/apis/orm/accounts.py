"""Users' accounts at exchanges, and the sealed credentials that the account service opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Unpack

from sqlalchemy import ColumnElement, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.database import Database, Write, may_write, must_be_admin, sees_all
from fullon_master_api.apis.orm.owned import Paging, owned_by
from fullon_master_api.apis.orm.paging import Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import bot_exchanges, cat_exchanges, exchange_credentials, exchanges, utc_now
from fullon_master_api.apis.orm.vault import Secrets, Vault
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import ExchangeAccount, Principal

_SOURCE: Final = exchanges.join(cat_exchanges, exchanges.c.cat_ex_id == cat_exchanges.c.cat_ex_id)
_LISTING: Final = Listing(
    "exchange_accounts",
    ExchangeAccount,
    exchanges,
    exchanges.c.ex_id,
    source=_SOURCE,
    columns={"exchange": cat_exchanges.c.name},
    sorts={"ex_id": exchanges.c.ex_id, "name": exchanges.c.name, "created_at": exchanges.c.created_at},
    default="ex_id",
)

_OF_BOTS: Final = Listing(
    "bot_accounts",
    ExchangeAccount,
    exchanges,
    exchanges.c.ex_id,
    source=_SOURCE.join(bot_exchanges, bot_exchanges.c.ex_id == exchanges.c.ex_id),
    columns={"exchange": cat_exchanges.c.name},
    sorts={"ex_id": exchanges.c.ex_id},
    default="ex_id",
)


def visible(principal: Principal | None) -> ColumnElement[bool]:
    return owned_by(exchanges.c.uid, principal)


class Accounts:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def get_many(
        self, ex_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[ExchangeAccount | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, ex_ids, visible(principal), wanted=wanted)

    async def of_users(
        self, uids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[ExchangeAccount]]:
        async with self._database.read() as connection:
            return await _LISTING.lists_of(connection, exchanges.c.uid, uids, visible(principal), wanted=wanted)

    async def of_bots(
        self, bot_ids: Sequence[int], principal: Principal | None, *, wanted: Wanted = None
    ) -> list[list[ExchangeAccount]]:
        """Accounts that each bot trades on."""
        async with self._database.read() as connection:
            return await _OF_BOTS.lists_of(connection, bot_exchanges.c.bot_id, bot_ids, visible(principal), wanted=wanted)

    async def page(
        self,
        principal: Principal | None,
        *,
        exchange: str | None = None,
        active: bool | None = None,
        total: bool = False,
        **paging: Unpack[Paging],
    ) -> Page[ExchangeAccount]:
        where = [visible(principal)]
        if exchange is not None:
            where.append(cat_exchanges.c.name == exchange)
        if active is not None:
            where.append(exchanges.c.active == active)
        async with self._database.read() as connection:
            return await _LISTING.page(connection, *where, total=total, **paging)

    async def active(self) -> list[ExchangeAccount]:
        """Every account that is switched on, for the account service."""
        async with self._database.read() as connection:
            return await _LISTING.all(connection, exchanges.c.active)

    async def add(
        self, principal: Principal | None, values: Mapping[str, object], *, secrets: Secrets | None = None
    ) -> ExchangeAccount:
        """Open an account of the caller (of `uid` for an admin) at `cat_ex_id`, with its key and secret if it has them.

        Raises: Forbidden, BadUserInput, Conflict when the caller has one of that name there.
        """
        may_write(principal)
        owner = {} if principal is None else {"uid": principal.uid}
        row = inputs.checked(exchanges, owner | dict(values), ("uid", "cat_ex_id", "name", "test", "active"), new=True)
        if not sees_all(principal) and row["uid"] != owner["uid"]:
            raise NotFound(f"no user {row['uid']}", path=("uid",))
        async with self._database.write() as write:
            known = await write.connection.scalar(
                select(cat_exchanges.c.name).where(cat_exchanges.c.cat_ex_id == row["cat_ex_id"])
            )
            if known is None:
                raise BadUserInput(f"no exchange {row['cat_ex_id']} in the catalogue", path=("cat_ex_id",))
            ex_id = await write.connection.scalar(insert(exchanges).values(**row).returning(exchanges.c.ex_id))
            assert ex_id is not None, "an insert answers its key"
            if secrets is not None:
                await self._seal(write, ex_id, secrets)
            await write.audit(principal, "account.add", f"account:{ex_id}", credentials=secrets is not None)
            return await _read(write, ex_id, principal)

    async def modify(
        self,
        ex_id: int,
        principal: Principal | None,
        values: Mapping[str, object],
        *,
        secrets: Secrets | None = None,
    ) -> ExchangeAccount:
        """Change name, test, active or the credentials. Raises: NotFound, Forbidden, BadUserInput, Conflict."""
        may_write(principal)
        row = inputs.checked(exchanges, values, ("name", "test", "active"))
        async with self._database.write() as write:
            await _read(write, ex_id, principal)
            if row:
                await write.connection.execute(update(exchanges).where(exchanges.c.ex_id == ex_id).values(**row))
            if secrets is not None:
                await self._seal(write, ex_id, secrets)
            await write.audit(
                principal, "account.modify", f"account:{ex_id}", fields=sorted(row), credentials=secrets is not None
            )
            return await _read(write, ex_id, principal)

    async def remove(self, ex_id: int, principal: Principal | None) -> ExchangeAccount:
        """Raises: NotFound, Forbidden; Conflict when orders or trades refer to it: those stay, switch it off instead."""
        may_write(principal)
        async with self._database.write() as write:
            account = await _read(write, ex_id, principal)
            await write.connection.execute(delete(exchanges).where(exchanges.c.ex_id == ex_id))
            await write.audit(principal, "account.remove", f"account:{ex_id}", name=account.name)
            return account

    # ---- credentials ---------------------------------------------------------------------------------------------------

    async def credentials(self, ex_id: int) -> Secrets | None:
        """Key and secret of an account, for the account service alone; no face of the gateway may call it.

        Raises: Unavailable when the key they were sealed with is gone.
        """
        table = exchange_credentials
        async with self._database.read() as connection:
            row = (await connection.execute(select(table.c.key_id, table.c.sealed).where(table.c.ex_id == ex_id))).first()
        return None if row is None else self._vault.open(ex_id, row.key_id, row.sealed)

    async def rotate_credentials(self, principal: Principal | None = None) -> int:
        """Seal anew, with the first key, what an older key sealed; answers how many. Then the older key may go.

        Raises: Forbidden; Unavailable when a key is missing, and nothing is changed.
        """
        must_be_admin(principal)
        table = exchange_credentials
        async with self._database.write() as write:
            old = select(table).where(table.c.key_id != (self._vault.key_id or "")).with_for_update()
            rows = (await write.connection.execute(old)).all()
            for row in rows:
                await self._seal(write, row.ex_id, self._vault.open(row.ex_id, row.key_id, row.sealed))
            await write.audit(principal, "credentials.rotate", "accounts", count=len(rows))
        return len(rows)

    async def _seal(self, write: Write, ex_id: int, secrets: Secrets) -> None:
        key_id, sealed = self._vault.seal(ex_id, secrets)
        table = exchange_credentials
        await write.connection.execute(delete(table).where(table.c.ex_id == ex_id))
        row = {"ex_id": ex_id, "key_id": key_id, "sealed": sealed, "updated_at": utc_now()}
        await write.connection.execute(insert(table).values(**row))


async def _read(write: Write, ex_id: int, principal: Principal | None) -> ExchangeAccount:
    account = await _LISTING.one(write.connection, exchanges.c.ex_id == ex_id, visible(principal))
    if account is None:
        raise NotFound(f"no exchange account {ex_id}", path=("ex_id",))
    return account
