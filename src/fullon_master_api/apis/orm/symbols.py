"""Symbols at exchanges: what anyone signed in may read, and an admin may change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, insert, select, update

from fullon_master_api.apis.orm import inputs
from fullon_master_api.apis.orm.conditions import Condition
from fullon_master_api.apis.orm.database import Database, Write, must_be_admin
from fullon_master_api.apis.orm.paging import FIRST_DEFAULT, Listing, Page
from fullon_master_api.apis.orm.records import Wanted
from fullon_master_api.apis.orm.tables import cat_exchanges, symbols
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import Fence, Principal, Record, Symbol, Timeframe

_SOURCE: Final = symbols.join(cat_exchanges, symbols.c.cat_ex_id == cat_exchanges.c.cat_ex_id)
_LISTING: Final = Listing(
    "symbols",
    Symbol,
    symbols,
    symbols.c.symbol_id,
    source=_SOURCE,
    columns={"exchange": cat_exchanges.c.name},
    sorts={"symbol_id": symbols.c.symbol_id, "symbol": symbols.c.symbol},
    default="symbol_id",
)
_CHANGEABLE: Final = (
    "symbol",
    "updateframe",
    "backtest",
    "decimals",
    "quantity_decimals",
    "base",
    "quote",
    "ex_base",
    "futures",
    "only_ticker",
    "active",
)
_FIELDS: Final = ("cat_ex_id", *_CHANGEABLE)

FOUND_LIFE_S: Final = 1.0
FOUND_MAX: Final = 10_000
TURNS: Final = 64


class SymbolFilter(Record, frozen=True, kw_only=True):
    exchange: str | None = None
    cat_ex_id: int | None = None
    symbol: str | None = None
    base: str | None = None
    quote: str | None = None
    active: bool | None = None
    search: str | None = None  # part of the symbol, in any case


class Symbols:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._found_until_s: dict[tuple[str, str], float] = {}
        self._turns = [asyncio.Lock() for _ in range(TURNS)]

    async def get_many(
        self, symbol_ids: Sequence[int], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[Symbol | None]:
        async with self._database.read() as connection:
            return await _LISTING.many(connection, symbol_ids, wanted=wanted)

    async def by_names(
        self, names: Sequence[tuple[str, str]], principal: Principal | None = None, *, wanted: Wanted = None
    ) -> list[Symbol | None]:
        """Symbol of each (exchange name, symbol)."""
        async with self._database.read() as connection:
            return await _LISTING.pairs(connection, (cat_exchanges.c.name, symbols.c.symbol), names, wanted=wanted)

    async def missing(self, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of these (exchange name, symbol) that the catalogue does not have, in their order.

        A name that was found is not asked for again within a second, nor by two at a time: a crowd that subscribes asks once.
        A change made by this process holds at once, one of another process within that second.
        """
        doubtful = self._doubtful(names)
        if not doubtful:
            return []
        async with self._turns[hash(doubtful[0]) % TURNS]:
            doubtful = self._doubtful(doubtful)
            return await self._look_up(doubtful) if doubtful else []

    def _doubtful(self, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that were not found lately."""
        now_s, found = monotonic(), self._found_until_s
        return [name for name in names if found.get(name, 0.0) <= now_s]

    async def _look_up(self, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that are not there; the others are remembered."""
        now_s, found = monotonic(), self._found_until_s
        symbols = await self.by_names(names)
        if len(found) + len(names) > FOUND_MAX:
            found.clear()
        for name, symbol in zip(names, symbols, strict=True):
            if symbol is not None:
                found[name] = now_s + FOUND_LIFE_S
        return [name for name, symbol in zip(names, symbols, strict=True) if symbol is None]

    async def of_exchanges(
        self,
        cat_ex_ids: Sequence[int],
        principal: Principal | None = None,
        *,
        filters: SymbolFilter | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        wanted: Wanted = None,
    ) -> list[Page[Symbol]]:
        where = _conditions(filters or SymbolFilter())
        async with self._database.read() as connection:
            parent = symbols.c.cat_ex_id
            return await _LISTING.pages_of(
                connection, parent, cat_ex_ids, *where, first=first, after=after, order=order, matching=matching, wanted=wanted
            )

    async def page(
        self,
        principal: Principal | None = None,
        *,
        filters: SymbolFilter | None = None,
        order: str | None = None,
        matching: Condition | None = None,
        first: int = FIRST_DEFAULT,
        after: str | None = None,
        total: bool = False,
        wanted: Wanted = None,
    ) -> Page[Symbol]:
        where = _conditions(filters or SymbolFilter())
        async with self._database.read() as connection:
            return await _LISTING.page(
                connection, *where, first=first, after=after, order=order, matching=matching, total=total, wanted=wanted
            )

    async def active(self, exchanges: Sequence[str] = ()) -> list[Symbol]:
        """Every symbol that is to be collected, of the named exchanges or of all, for the services."""
        where: list[ColumnElement[bool]] = [symbols.c.active]
        if exchanges:
            where.append(cat_exchanges.c.name.in_(exchanges))
        async with self._database.read() as connection:
            return await _LISTING.all(connection, *where)

    async def add(self, principal: Principal | None, values: Mapping[str, object]) -> Symbol:
        """Base and quote come from the symbol where they are not given.

        Raises: Forbidden, BadUserInput, Conflict when the exchange has that symbol.
        """
        must_be_admin(principal)
        row = inputs.checked(symbols, _with_parts(values), _FIELDS, new=True)
        _check(row)
        async with self._database.write() as write:
            known = await write.connection.scalar(
                select(cat_exchanges.c.name).where(cat_exchanges.c.cat_ex_id == row["cat_ex_id"])
            )
            if known is None:
                raise BadUserInput(f"no exchange {row['cat_ex_id']} in the catalogue", path=("cat_ex_id",))
            symbol_id = await write.connection.scalar(insert(symbols).values(**row).returning(symbols.c.symbol_id))
            await write.audit(principal, "symbol.add", f"symbol:{symbol_id}", symbol=row["symbol"])
            return await _read(write, symbols.c.symbol_id == symbol_id)

    async def modify(self, symbol_id: int, principal: Principal | None, values: Mapping[str, object]) -> Symbol:
        """Raises: Forbidden, NotFound, BadUserInput, Conflict."""
        must_be_admin(principal)
        row = inputs.checked(symbols, values, _CHANGEABLE)
        _check(row)
        async with self._database.write() as write:
            if row:
                await write.connection.execute(update(symbols).where(symbols.c.symbol_id == symbol_id).values(**row))
            symbol = await _read(write, symbols.c.symbol_id == symbol_id)
            await write.audit(principal, "symbol.modify", f"symbol:{symbol_id}", fields=sorted(row))
        self._found_until_s.clear()
        return symbol

    async def remove(self, symbol_id: int, principal: Principal | None) -> Symbol:
        """Remove a symbol with the feeds that read it. Raises: Forbidden, NotFound."""
        must_be_admin(principal)
        async with self._database.write() as write:
            symbol = await _read(write, symbols.c.symbol_id == symbol_id)
            await write.connection.execute(delete(symbols).where(symbols.c.symbol_id == symbol_id))
            await write.audit(principal, "symbol.remove", f"symbol:{symbol_id}", symbol=symbol.symbol)
        self._found_until_s.clear()
        return symbol

    async def set_decimals(self, symbol_id: int, *, decimals: int, quantity_decimals: int, fence: Fence | None = None) -> None:
        """What the exchange's own market rules say, kept by a service. Raises: StaleEpoch."""
        row = inputs.checked(symbols, {"decimals": decimals, "quantity_decimals": quantity_decimals}, _CHANGEABLE)
        async with self._database.write(fence=fence) as write:
            await write.connection.execute(update(symbols).where(symbols.c.symbol_id == symbol_id).values(**row))


def _conditions(filters: SymbolFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filters.exchange is not None:
        where.append(cat_exchanges.c.name == filters.exchange)
    for name in ("cat_ex_id", "symbol", "base", "quote", "active"):
        value = getattr(filters, name)
        if value is not None:
            where.append(symbols.c[name] == value)
    if filters.search:
        where.append(symbols.c.symbol.icontains(inputs.text("search", filters.search, 40), autoescape=True))
    return where


def _with_parts(values: Mapping[str, object]) -> dict[str, object]:
    """`BTC/USD:USD` tells base BTC and quote USD."""
    given = dict(values)
    base, _, rest = str(given.get("symbol") or "").partition("/")
    if given.get("base") is None and base:
        given["base"] = base
    if given.get("quote") is None and base:
        given["quote"] = rest.partition(":")[0] or "USD"
    return given


def _check(row: Mapping[str, Any]) -> None:
    known = [timeframe.value for timeframe in Timeframe]
    if "updateframe" in row and row["updateframe"] not in known:
        raise BadUserInput(f"updateframe was {row['updateframe']!r}, must be one of {', '.join(known)}", path=("updateframe",))
    if "symbol" in row and not row["symbol"].strip():
        raise BadUserInput("symbol must not be empty", path=("symbol",))
    for name in ("decimals", "quantity_decimals"):
        if row.get(name, 0) > 18:
            raise BadUserInput(f"{name} was {row[name]}, must be 0 to 18", path=(name,))


async def _read(write: Write, where: ColumnElement[bool]) -> Symbol:
    symbol = await _LISTING.one(write.connection, where)
    if symbol is None:
        raise NotFound("no such symbol", path=("symbol_id",))
    return symbol
