"""The catalogue of exchanges: what anyone signed in may read, and an admin may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, insert, select

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.conditions import Condition
from fullon_master_api.apis.orm.database import Database, chunks, must_be_admin
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import cat_exchanges, cat_exchanges_params
from fullon_master_api.model import Exchange, Principal

_LISTING: Final = Listing(
    "exchanges",
    Exchange,
    cat_exchanges,
    cat_exchanges.c.cat_ex_id,
    sorts={"cat_ex_id": cat_exchanges.c.cat_ex_id, "name": cat_exchanges.c.name},
    default="cat_ex_id",
)


class Exchanges:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(
        self, cat_ex_ids: Sequence[int], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[Exchange | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, cat_ex_ids, wanted=wanted)

    async def by_names(
        self, names: Sequence[str], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[Exchange | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, names, by=cat_exchanges.c.name, wanted=wanted)

    async def page(
        self,
        principal: Principal | None = None,
        *,
        name: str | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        total: bool = False,
        offset: int = 0,
        wanted: Wanted = None,
    ) -> Page[Exchange]:
        where: list[ColumnElement[bool]] = [] if name is None else [cat_exchanges.c.name == name]
        async with self._database.read() as connection:
            return await _LISTING.page(
                connection,
                *where,
                first=first,
                after=after,
                order=order,
                matching=matching,
                total=total,
                offset=offset,
                wanted=wanted,
            )

    async def params_of(self, cat_ex_ids: Sequence[int]) -> list[dict[str, str]]:
        """Named values of each exchange, aligned."""
        table = cat_exchanges_params
        found: dict[int, dict[str, str]] = {}
        async with self._database.read() as connection:
            for part in chunks(list(dict.fromkeys(cat_ex_ids))):
                for row in await connection.execute(select(table).where(table.c.cat_ex_id.in_(part)).order_by(table.c.name)):
                    found.setdefault(row.cat_ex_id, {})[row.name] = row.value
        return [found.get(cat_ex_id, {}) for cat_ex_id in cat_ex_ids]

    async def install(
        self, principal: Principal | None, name: str, *, ohlcv_view: str = "", params: Mapping[str, str] | None = None
    ) -> Exchange:
        """Add an exchange to the catalogue. Raises: Forbidden, BadUserInput, Conflict when the name is taken."""
        must_be_admin(principal)
        values = inputs.checked(cat_exchanges, {"name": name, "ohlcv_view": ohlcv_view}, ("name", "ohlcv_view"), new=True)
        async with self._database.write() as write:
            added = insert(cat_exchanges).values(**values).returning(cat_exchanges.c.cat_ex_id)
            cat_ex_id = await write.connection.scalar(added)
            rows = [
                inputs.checked(cat_exchanges_params, {"name": key, "value": value}, ("name", "value"), new=True)
                for key, value in (params or {}).items()
            ]
            if rows:
                await write.connection.execute(insert(cat_exchanges_params), [row | {"cat_ex_id": cat_ex_id} for row in rows])
            await write.audit(principal, "exchange.install", f"exchange:{cat_ex_id}", name=name)
            exchange = await _LISTING.one(write.connection, cat_exchanges.c.cat_ex_id == cat_ex_id)
            assert exchange is not None, "it was inserted in this transaction"
            return exchange
