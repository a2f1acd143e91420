"""Records for the cache's tests, with only what a test cares about left to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from fullon_master_api.model import Balance, Candle, MarketTrade, Order, OrderStatus, OrderType, Position, Side, Ticker, Trade

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def tick(
    symbol: str = "BTC/USD", last: str = "100.5", *, event_ns: int | None = 1, received_ns: int = 1, exchange: str = "kraken"
) -> Ticker:
    return Ticker(exchange=exchange, symbol=symbol, last=last, event_ns=event_ns, received_ns=received_ns)


def order(ex_order_id: str | None = "O-1", *, ex_id: int = 1, status: OrderStatus = OrderStatus.OPEN, second: int = 0) -> Order:
    return Order(
        order_id=7,
        bot_id=1,
        uid=1,
        ex_id=ex_id,
        cat_ex_id=1,
        exchange="kraken",
        symbol="BTC/USD",
        order_type=OrderType.LIMIT,
        side=Side.BUY,
        volume=Decimal("0.5"),
        price=Decimal("100.1"),
        status=status,
        ex_order_id=ex_order_id,
        created_at=DAY,
        updated_at=DAY + timedelta(seconds=second),
    )


def balance(currency: str = "USD", total: str = "10.50", *, ex_id: int = 1) -> Balance:
    return Balance(ex_id=ex_id, currency=currency, total=Decimal(total), free=Decimal(total) - 1, used=Decimal(1), updated_ns=5)


def position(symbol: str = "BTC/USD", quantity: str = "-0.25", *, ex_id: int = 1) -> Position:
    return Position(
        ex_id=ex_id,
        symbol=symbol,
        quantity=Decimal(quantity),
        price=Decimal("100.1"),
        cost=Decimal("25.025"),
        fee=Decimal("0.0001"),
        count=2,
        updated_ns=5,
    )


def fill(number: int) -> Trade:
    return Trade(
        trade_id=0,
        ex_trade_id=f"T-{number}",
        ex_order_id="O-1",
        uid=1,
        ex_id=1,
        symbol="BTC/USD",
        order_type=OrderType.LIMIT,
        side=Side.BUY,
        volume=Decimal("0.10"),
        price=Decimal("100.1"),
        cost=Decimal("10.01"),
        fee=Decimal("0.0026"),
        time=DAY + timedelta(seconds=number),
    )


def trade(number: int) -> MarketTrade:
    return MarketTrade(trade_id=str(number), event_ns=number, price="100.10", quantity="0.00000001", side=Side.SELL)


def candle(minute: int, close: str = "101", *, final: bool = True) -> Candle:
    opened_ns = minute * 60_000_000_000
    return Candle(opened_ns=opened_ns, open="100", high="102.5", low="99", close=close, volume="3.2", trades=4, final=final)
