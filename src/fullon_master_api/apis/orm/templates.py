"""The catalogue of strategies: what anyone signed in may read, and an admin may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, insert, select

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.conditions import Condition
from fullon_master_api.apis.orm.database import Database, chunks, must_be_admin
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import cat_strategies, cat_strategies_params
from fullon_master_api.errors import NotFound
from fullon_master_api.model import Principal, StrategyTemplate

TEMPLATES: Final = Listing(
    "strategy_templates",
    StrategyTemplate,
    cat_strategies,
    cat_strategies.c.cat_str_id,
    sorts={"cat_str_id": cat_strategies.c.cat_str_id, "name": cat_strategies.c.name},
    default="cat_str_id",
)
_FIELDS: Final = tuple(name for name in StrategyTemplate.__struct_fields__ if name != "cat_str_id")


class Templates:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(
        self, cat_str_ids: Sequence[int], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[StrategyTemplate | None]:
        async with self._database.read() as connection:
            return await TEMPLATES.many(connection, cat_str_ids, wanted=wanted)

    async def by_names(
        self, names: Sequence[str], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[StrategyTemplate | None]:
        async with self._database.read() as connection:
            return await TEMPLATES.many(connection, names, by=cat_strategies.c.name, wanted=wanted)

    async def page(
        self,
        principal: Principal | None = None,
        *,
        order: str | None = None,
        matching: Condition | None = None,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        total: bool = False,
        wanted: Wanted = None,
    ) -> Page[StrategyTemplate]:
        async with self._database.read() as connection:
            return await TEMPLATES.page(
                connection, first=first, after=after, order=order, matching=matching, total=total, wanted=wanted
            )

    async def params_of(self, cat_str_ids: Sequence[int]) -> list[dict[str, str]]:
        """Default parameters of each template, aligned."""
        table = cat_strategies_params
        found: dict[int, dict[str, str]] = {}
        async with self._database.read() as connection:
            for part in chunks(list(dict.fromkeys(cat_str_ids))):
                for row in await connection.execute(select(table).where(table.c.cat_str_id.in_(part)).order_by(table.c.name)):
                    found.setdefault(row.cat_str_id, {})[row.name] = row.value
        return [found.get(cat_str_id, {}) for cat_str_id in cat_str_ids]

    async def install(
        self, principal: Principal | None, values: Mapping[str, object], *, params: Mapping[str, str] | None = None
    ) -> StrategyTemplate:
        """Add a strategy to the catalogue. Raises: Forbidden, BadUserInput, Conflict when the name is taken."""
        must_be_admin(principal)
        row = inputs.checked(cat_strategies, values, _FIELDS, new=True)
        kept = [
            inputs.checked(cat_strategies_params, {"name": name, "value": value}, ("name", "value"), new=True)
            for name, value in (params or {}).items()
        ]
        async with self._database.write() as write:
            statement = insert(cat_strategies).values(**row).returning(cat_strategies.c.cat_str_id)
            cat_str_id = await write.connection.scalar(statement)
            if kept:
                rows = [param | {"cat_str_id": cat_str_id} for param in kept]
                await write.connection.execute(insert(cat_strategies_params), rows)
            await write.audit(principal, "template.install", f"template:{cat_str_id}", name=row["name"])
            template = await TEMPLATES.one(write.connection, cat_strategies.c.cat_str_id == cat_str_id)
            assert template is not None, "it was inserted in this transaction"
            return template

    async def remove(self, cat_str_id: int, principal: Principal | None) -> StrategyTemplate:
        """Remove a strategy of the catalogue, and from every bot that uses it. Raises: Forbidden, NotFound."""
        must_be_admin(principal)
        async with self._database.write() as write:
            template = await TEMPLATES.one(write.connection, cat_strategies.c.cat_str_id == cat_str_id)
            if template is None:
                raise NotFound(f"no strategy {cat_str_id} in the catalogue", path=("cat_str_id",))
            await write.connection.execute(delete(cat_strategies).where(cat_strategies.c.cat_str_id == cat_str_id))
            await write.audit(principal, "template.remove", f"template:{cat_str_id}", name=template.name)
            return template
