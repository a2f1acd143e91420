"""Subscriptions: which topics a stream follows, what an event of it looks like, who may share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fullon_master_api.apis.orm.orders import OrderFilter
from fullon_master_api.bus import (
    SERVICES_TOPIC,
    account_topic,
    candle_topic,
    orders_topic,
    public_trades_topic,
    ticker_topic,
    trades_topic,
)
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.executor.live import PUBLIC, Delivery, Feed, Snapshot, own_share, read_stream_cursor, stream_cursor
from fullon_master_api.model import (
    OPEN_STATUSES,
    Balance,
    Balances,
    Candle,
    CandleEvent,
    DryTrade,
    Event,
    Gap,
    MarketTrade,
    MarketTrades,
    Order,
    Position,
    Positions,
    Record,
    Service,
    Ticker,
    Timeframe,
    Trade,
)
from fullon_master_api.resolvers import markets
from fullon_master_api.resolvers.context import Context
from fullon_master_api.resolvers.identity import number_of

MIN_INTERVAL_MS_MAX: Final = 60_000
OPEN_ORDERS_MAX: Final = 500


class TickersRow(Record, frozen=True, kw_only=True):
    sequence: int
    gap: bool
    tickers: Sequence[Ticker]


class PublicTradesRow(Record, frozen=True, kw_only=True):
    trades: Sequence[MarketTrade]
    gap: bool = False


class OrderRow(Record, frozen=True, kw_only=True):
    cursor: str
    snapshot: bool
    order: Order


class TradeRow(Record, frozen=True, kw_only=True):
    cursor: str
    trade: Trade | None = None
    dry_trade: DryTrade | None = None


class AccountRow(Record, frozen=True, kw_only=True):
    cursor: str
    snapshot: bool
    balances: Sequence[Balance] | None = None
    positions: Sequence[Position] | None = None


class ServiceRow(Record, frozen=True, kw_only=True):
    cursor: str | None
    service: Service


async def ticker(ctx: Context, *, exchange: str, symbol: str, snapshot: bool = True, min_interval: int = 0) -> Feed:
    await markets.known_symbols(ctx, exchange, [symbol])
    cache = ctx.stores.cache

    async def now() -> Snapshot:
        found = await cache.tickers.get_many([(exchange, symbol)])
        return Snapshot(events=[ticker for ticker in found if ticker is not None])

    return Feed(
        topics=[ticker_topic(exchange, symbol)],
        project=as_it_is,
        share=PUBLIC,
        snapshot=now if snapshot else None,
        min_interval_s=_seconds(min_interval),
    )


async def tickers(ctx: Context, *, exchange: str, symbols: list[str], snapshot: bool = True, min_interval: int = 0) -> Feed:
    names = list(dict.fromkeys(symbols))
    await markets.known_symbols(ctx, exchange, names)
    cache = ctx.stores.cache

    async def now() -> Snapshot:
        found = await cache.tickers.get_many([(exchange, name) for name in names])
        return Snapshot(events=[ticker for ticker in found if ticker is not None])

    return Feed(
        topics=[ticker_topic(exchange, name) for name in names],
        project=as_it_is,
        merge=lambda events, sequence, gap: TickersRow(sequence=sequence, gap=gap, tickers=list(events)),
        share=PUBLIC,
        snapshot=now if snapshot else None,
        min_interval_s=_seconds(min_interval),
    )


async def candle(
    ctx: Context,
    *,
    exchange: str,
    symbol: str,
    timeframe: Timeframe,
    snapshot: bool = True,
    min_interval: int = 0,
) -> Feed:
    await markets.known_symbols(ctx, exchange, [symbol])
    ohlcv = ctx.stores.ohlcv

    async def now() -> Snapshot:
        found = (await ohlcv.candles([(exchange, symbol)], timeframe, limit=1))[0]
        return Snapshot(events=found)

    return Feed(
        topics=[candle_topic(exchange, symbol, timeframe.value)],
        project=candle_of,
        key=lambda _topic, event: event.candle.opened_ns,
        share=PUBLIC,
        snapshot=now if snapshot else None,
        min_interval_s=_seconds(min_interval),
    )


async def public_trades(ctx: Context, *, exchange: str, symbol: str) -> Feed:
    await markets.known_symbols(ctx, exchange, [symbol])
    return Feed(
        topics=[public_trades_topic(exchange, symbol)],
        project=trades_of,
        delivery=Delivery.EVERY,
        share=PUBLIC,
    )


async def orders(ctx: Context, *, after: str | None = None, snapshot: bool = False) -> Feed:
    caller, orm = ctx.user, ctx.stores.orm
    topic = orders_topic(caller.uid)

    async def now() -> Snapshot:
        """The newest open orders. Read after the sequence: what changed in between is told again, and never lost."""
        last = await orm.events.last_sequence(topic)
        own = await orm.orders.page(caller, filters=OrderFilter(statuses=OPEN_STATUSES, uid=caller.uid), first=OPEN_ORDERS_MAX)
        cursor = stream_cursor(topic, last)
        events = [OrderRow(cursor=cursor, snapshot=True, order=order) for order in reversed(own.rows)]
        return Snapshot(events=events, after=last)

    return Feed(
        topics=[topic],
        project=order_of,
        delivery=Delivery.LOSSLESS,
        share=own_share(caller),
        snapshot=now if snapshot else None,
        after=read_stream_cursor(topic, after),
    )


async def trades(ctx: Context, *, after: str | None = None) -> Feed:
    caller = ctx.user
    topic = trades_topic(caller.uid)
    return Feed(
        topics=[topic],
        project=trade_of,
        delivery=Delivery.LOSSLESS,
        share=own_share(caller),
        after=read_stream_cursor(topic, after),
    )


async def account(ctx: Context, *, exchange_account_id: str, after: str | None = None, snapshot: bool = True) -> Feed:
    caller, cache, events = ctx.user, ctx.stores.cache, ctx.stores.orm.events
    ex_id = number_of("ExchangeAccount", exchange_account_id, argument="exchangeAccountId")
    if (await ctx.stores.orm.accounts.get_many([ex_id], caller))[0] is None:
        raise NotFound(f"no exchange account {exchange_account_id[:60]!r}", path=("exchangeAccountId",))
    topic = account_topic(ex_id)

    async def now() -> Snapshot:
        last = await events.last_sequence(topic)
        balances = (await cache.accounts.get_balances([ex_id]))[0]
        positions = (await cache.accounts.get_positions([ex_id]))[0]
        row = AccountRow(cursor=stream_cursor(topic, last), snapshot=True, balances=balances, positions=positions)
        return Snapshot(events=[row], after=last)

    return Feed(
        topics=[topic],
        project=account_of,
        delivery=Delivery.LOSSLESS,
        share=own_share(caller),
        snapshot=now if snapshot else None,
        after=read_stream_cursor(topic, after),
    )


async def services(ctx: Context, *, snapshot: bool = True) -> Feed:
    caller, manager, events = ctx.admin, ctx.stores.services, ctx.stores.orm.events

    async def now() -> Snapshot:
        last = await events.last_sequence(SERVICES_TOPIC)
        cursor = stream_cursor(SERVICES_TOPIC, last)
        rows = [ServiceRow(cursor=cursor, service=service) for service in await manager.get_all()]
        return Snapshot(events=rows, after=last)

    return Feed(
        topics=[SERVICES_TOPIC],
        project=service_of,
        delivery=Delivery.LOSSLESS,
        share=own_share(caller),
        snapshot=now if snapshot else None,
    )


# ---- what an event looks like ------------------------------------------------------------------------------------------


def as_it_is(_topic: str, message: Any) -> Any:
    return message


def candle_of(_topic: str, message: CandleEvent) -> Candle:
    return message.candle


def trades_of(_topic: str, message: MarketTrades | Gap) -> PublicTradesRow:
    if isinstance(message, Gap):
        return PublicTradesRow(trades=[], gap=True)
    return PublicTradesRow(trades=message.trades)


def order_of(topic: str, event: Event) -> OrderRow:
    order = msgspec.json.decode(event.payload, type=Order)
    return OrderRow(cursor=stream_cursor(topic, event.sequence), snapshot=False, order=order)


def trade_of(topic: str, event: Event) -> TradeRow:
    cursor = stream_cursor(topic, event.sequence)
    if event.kind == "dry_trade":
        return TradeRow(cursor=cursor, dry_trade=msgspec.json.decode(event.payload, type=DryTrade))
    return TradeRow(cursor=cursor, trade=msgspec.json.decode(event.payload, type=Trade))


def account_of(topic: str, event: Event) -> AccountRow | None:
    cursor = stream_cursor(topic, event.sequence)
    if event.kind == "balances":
        balances = msgspec.json.decode(event.payload, type=Balances).balances
        return AccountRow(cursor=cursor, snapshot=False, balances=balances)
    if event.kind == "positions":
        positions = msgspec.json.decode(event.payload, type=Positions).positions
        return AccountRow(cursor=cursor, snapshot=False, positions=positions)
    return None


def service_of(topic: str, event: Event) -> ServiceRow:
    service = msgspec.json.decode(event.payload, type=Service)
    return ServiceRow(cursor=stream_cursor(topic, event.sequence), service=service)


def _seconds(min_interval: int) -> float:
    if not 0 <= min_interval <= MIN_INTERVAL_MS_MAX:
        raise BadUserInput(
            f"minInterval was {min_interval}, must be 0 to {MIN_INTERVAL_MS_MAX} milliseconds", path=("minInterval",)
        )
    return min_interval / 1_000
