"""What the benchmark of the executor asks: the same rows, resolvers, schema and queries for all its peers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import strawberry
from strawberry.dataloader import DataLoader
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.executor.fields import batched, rooted
from fullon_master_api.executor.fragments import Lasting
from fullon_master_api.executor.scalars import SCALARS, decimal_text, nanosecond_text


class CandleRow(msgspec.Struct, frozen=True):
    ts_ns: int
    open: str
    high: str
    low: str
    close: str
    volume: str


class TickerRow(msgspec.Struct, frozen=True):
    bid: str
    ask: str
    last: str
    volume: str
    at_ns: int


class SymbolRow(msgspec.Struct, frozen=True):
    id: int
    name: str
    exchange: str
    base: str
    quote: str
    price_decimals: int
    quantity_decimals: int
    active: bool


class OrderRow(msgspec.Struct, frozen=True):
    id: int
    bot_id: int
    symbol_id: int
    side: str
    status: str
    price: Decimal
    quantity: Decimal
    filled: Decimal
    placed_at: int
    live: bool


class BotRow(msgspec.Struct, frozen=True):
    id: int
    user_id: int
    name: str


class UserRow(msgspec.Struct, frozen=True):
    id: int
    mail: str


SYMBOLS = [SymbolRow(n, f"C{n}/USD", "kraken", f"C{n}", "USD", 2, 8, True) for n in range(200)]
TICKERS = {n: TickerRow(f"{n}.10", f"{n}.20", f"{n}.15", f"{n * 7}.5", 1_762_776_000_000_000_000 + n) for n in range(200)}
CANDLES = [
    CandleRow(
        1_762_776_000_000_000_000 + n * 60_000_000_000, f"{100 + n}.25", f"{101 + n}.5", f"{99 + n}.75", f"{100 + n}.5", "12.3456"
    )
    for n in range(1_000)
]
FLAWLESS = [SymbolRow(n, f"C{n}/USD", "kraken", f"C{n}", "USD", 2, 8, True) for n in range(1_000)]
SPOILT = [row if row.id != 500 else SymbolRow(500, "C500/USD", "kraken", "C500", "USD", 2, 2**40, True) for row in FLAWLESS]
USERS = {n: UserRow(n, f"user{n}@fullon") for n in range(20)}
BOTS = {u: [BotRow(u * 10 + n, u, f"bot {u}-{n}") for n in range(10)] for u in range(20)}
ORDERS = {
    bot.id: [
        OrderRow(
            bot.id * 50 + n,
            bot.id,
            (bot.id + n) % 200,
            "buy",
            "open",
            Decimal("100.25"),
            Decimal("0.5"),
            Decimal(0),
            1_762_776_000_000_000_000,
            True,
        )
        for n in range(50)
    ]
    for bots in BOTS.values()
    for bot in bots
}


@dataclass
class Ctx:
    request_id: str = "bench"
    principal: None = None
    loaders: dict[Any, Any] = field(default_factory=dict)


async def get_symbol(ctx: Any, *, name: str) -> SymbolRow:
    return SYMBOLS[int(name[1:-4])]


async def get_flawless(ctx: Any) -> list[SymbolRow]:
    return FLAWLESS


async def get_symbols(ctx: Any) -> list[SymbolRow]:
    return SYMBOLS


async def get_spoilt(ctx: Any) -> list[SymbolRow]:
    """Symbols of which one has a price that cannot be shown."""
    return SPOILT


async def get_me(ctx: Any) -> UserRow:
    return USERS[3]


async def tickers_of(parents: Sequence[SymbolRow], ctx: Any) -> list[TickerRow | None]:
    return [TICKERS.get(parent.id) for parent in parents]


async def spoilt_tickers_of(parents: Sequence[SymbolRow], ctx: Any) -> list[TickerRow | Exception | None]:
    """As `tickers_of`, and one row of them an error."""
    return [LookupError("no ticker") if parent.id == 50 else TICKERS.get(parent.id % 200) for parent in parents]


async def whole_tickers_of(parents: Sequence[SymbolRow], ctx: Any) -> list[TickerRow | None]:
    return [TICKERS.get(parent.id % 200) for parent in parents]


async def candles_of(parents: Sequence[SymbolRow], ctx: Any, *, limit: int = 100) -> list[list[CandleRow]]:
    return [Lasting(CANDLES[-limit:], (parent.name, limit)) for parent in parents]


async def bots_of(parents: Sequence[UserRow], ctx: Any) -> list[list[BotRow]]:
    return [BOTS[parent.id] for parent in parents]


async def orders_of(parents: Sequence[BotRow], ctx: Any, *, first: int = 50) -> list[list[OrderRow]]:
    return [ORDERS[parent.id][:first] for parent in parents]


async def symbols_of(parents: Sequence[OrderRow], ctx: Any) -> list[SymbolRow]:
    return [SYMBOLS[parent.symbol_id] for parent in parents]


def loaded(resolver: Callable[..., Awaitable[list[Any]]], key: Callable[[Any], int], **arguments: Any) -> Callable[..., Any]:
    """The usual Strawberry resolver: one DataLoader per field and request, one key per row."""

    async def resolve(root: Any, info: strawberry.Info) -> Any:
        loaders = info.context.loaders
        loader = loaders.get(resolver)
        if loader is None:
            rows: dict[int, Any] = {}

            async def load(keys: list[int]) -> list[Any]:
                return list(await resolver([rows[key] for key in keys], info.context, **arguments))

            loader = loaders[resolver] = (DataLoader(load_fn=load), rows)
        loader[1][key(root)] = root
        return await loader[0].load(key(root))

    return resolve


def schemas() -> tuple[strawberry.Schema, strawberry.Schema]:
    """The schema with batch resolvers, and the same schema the way Strawberry's documentation writes it."""
    return _schema(use_batches=True), _schema(use_batches=False)


def _schema(*, use_batches: bool) -> strawberry.Schema:
    def way(resolver: Any, key: Callable[[Any], int], **arguments: Any) -> Any:
        if use_batches:
            return batched(resolver, description="")
        return strawberry.field(resolver=loaded(resolver, key, **arguments))

    def root(resolver: Any) -> Any:
        return rooted(resolver, description="")

    namespace: dict[str, Any] = {}

    def of(name: str, fields: dict[str, Any], **defaults: Any) -> Any:
        made = type(name, (), {"__annotations__": fields, **defaults})
        namespace[name] = strawberry.type(made)
        return namespace[name]

    def parent_id(row: Any) -> int:
        return int(row.id)

    ticker = of("Ticker", {"bid": Decimal, "ask": Decimal, "last": Decimal, "volume": Decimal, "at_ns": datetime})
    candle = of(
        "Candle", {"ts_ns": datetime, "open": Decimal, "high": Decimal, "low": Decimal, "close": Decimal, "volume": Decimal}
    )
    symbol = of(
        "Symbol",
        {
            "id": strawberry.ID,
            "name": str,
            "exchange": str,
            "base": str,
            "quote": str,
            "price_decimals": int,
            "quantity_decimals": int | None,
            "active": bool,
            "ticker": ticker | None,
            "whole_ticker": ticker | None,
            "spoilt_ticker": ticker | None,
            "candles": list[candle],  # type: ignore[valid-type]
        },
        ticker=way(tickers_of, parent_id),
        whole_ticker=way(whole_tickers_of, parent_id),
        spoilt_ticker=way(spoilt_tickers_of, parent_id),
        candles=way(candles_of, parent_id, limit=1000),
    )
    order = of(
        "Order",
        {
            "id": strawberry.ID,
            "side": str,
            "status": str,
            "price": Decimal,
            "quantity": Decimal,
            "filled": Decimal,
            "placed_at": datetime,
            "live": bool,
            "symbol": symbol,
        },
        symbol=way(symbols_of, parent_id),
    )
    bot = of("Bot", {"id": strawberry.ID, "name": str, "orders": list[order]}, orders=way(orders_of, parent_id))  # type: ignore[valid-type]
    user = of("User", {"id": strawberry.ID, "mail": str, "bots": list[bot]}, bots=way(bots_of, parent_id))  # type: ignore[valid-type]
    query = of(
        "Query",
        {"symbol": symbol | None, "symbols": list[symbol], "flawless": list[symbol], "spoilt": list[symbol], "me": user | None},  # type: ignore[valid-type]
        symbol=root(get_symbol),
        symbols=root(get_symbols),
        flawless=root(get_flawless),
        spoilt=root(get_spoilt),
        me=root(get_me),
    )
    return strawberry.Schema(query, config=StrawberryConfig(scalar_map=SCALARS))


LIMIT = "(limit: 1000)"
QUERIES = {
    "Q1": '{ symbol(name: "C7/USD") { candles(limit: 1000) { tsNs open high low close volume } } }',
    "Q2": "{ me { bots { name orders { id side status price quantity filled placedAt live symbol { base quote } } } } }",
    "Q3": "{ symbols { id name exchange base quote priceDecimals quantityDecimals active ticker { bid ask last volume atNs } } }",
    "Q4": "{ me { id mail } }",
}


FAULTS = {
    "a leaf": ("{ flawless { id name quantityDecimals } }", "{ spoilt { id name quantityDecimals } }"),
    "a batch row": ("{ flawless { id wholeTicker { bid ask } } }", "{ flawless { id spoiltTicker { bid ask } } }"),
}
"""The same thousand rows without and with one field that fails where null is allowed."""


def as_plain() -> dict[str, Any]:
    """The rows for peers in other languages, keyed by GraphQL names, values as they leave."""
    candle_keys = ("tsNs", "open", "high", "low", "close", "volume")
    return {
        "symbols": [
            {
                "id": str(row.id),
                "name": row.name,
                "exchange": row.exchange,
                "base": row.base,
                "quote": row.quote,
                "priceDecimals": row.price_decimals,
                "quantityDecimals": row.quantity_decimals,
                "active": row.active,
            }
            for row in SYMBOLS
        ],
        "tickers": [
            {"bid": row.bid, "ask": row.ask, "last": row.last, "volume": row.volume, "atNs": nanosecond_text(row.at_ns)}
            for row in TICKERS.values()
        ],
        "candles": [
            dict(zip(candle_keys, (nanosecond_text(row.ts_ns), *msgspec.structs.astuple(row)[1:]), strict=True))
            for row in CANDLES
        ],
        "users": [{"id": str(row.id), "mail": row.mail} for row in USERS.values()],
        "bots": [[{"id": str(bot.id), "name": bot.name} for bot in bots] for bots in BOTS.values()],
        "orders": [[_plain_order(row) for row in rows] for rows in ORDERS.values()],
    }


def _plain_order(row: OrderRow) -> dict[str, Any]:
    money = {name: decimal_text(getattr(row, name)) for name in ("price", "quantity", "filled")}
    placed = nanosecond_text(row.placed_at)
    return {
        "id": str(row.id),
        "side": row.side,
        "status": row.status,
        **money,
        "placedAt": placed,
        "live": row.live,
        "symbolId": row.symbol_id,
    }
