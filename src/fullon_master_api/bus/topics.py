"""Names of the bus topics: one function for each kind, so that no room spells a topic by hand."""

from __future__ import annotations

from typing import Final
from zlib import crc32

SERVICES_TOPIC: Final = "services"
"""Every change of any service, for those who watch them all."""

PROCESSES_TOPIC: Final = "processes"
"""Carries `Process`: every report of any process."""

DISCONNECTS_TOPIC: Final = "disconnects"
"""Carries `Disconnect`: whose sockets every process closes."""

MARKET_KINDS: Final = ("ticker", "candle", "public_trades")
MARKET_PARTITIONS: Final = 4
PRIVATE_PARTITION: Final = "private"
PARTITIONS: Final = (*(f"market-{number}" for number in range(MARKET_PARTITIONS)), PRIVATE_PARTITION)
"""The streams that carry all topics between processes: a flood of tickers never pushes an order's hint out of history."""


def ticker_topic(exchange: str, symbol: str) -> str:
    """Carries `Ticker`; the newest one is the truth."""
    return f"ticker:{exchange}:{symbol}"


def candle_topic(exchange: str, symbol: str, timeframe: str) -> str:
    """Carries `CandleEvent`; `timeframe` in the exchange's spelling (`1m`)."""
    return f"candle:{exchange}:{symbol}:{timeframe}"


def public_trades_topic(exchange: str, symbol: str) -> str:
    """Carries `MarketTrades`: each message holds trades that no other one holds."""
    return f"public_trades:{exchange}:{symbol}"


def orders_topic(uid: int) -> str:
    """Lossless: the orders of one user. The message is a hint, the events are in the outbox."""
    return f"orders:{uid}"


def trades_topic(uid: int) -> str:
    """Lossless: the fills of one user."""
    return f"trades:{uid}"


def account_topic(ex_id: int) -> str:
    """Lossless: balances and positions of one exchange account."""
    return f"account:{ex_id}"


def service_topic(name: str) -> str:
    """Lossless: desired and observed state of one service."""
    return f"service:{name}"


def bot_topic(bot_id: int) -> str:
    """Carries `BotStatus`; the newest one is the truth."""
    return f"bot:{bot_id}"


def order_states_topic(ex_id: int) -> str:
    """Carries `Order` as the cache has it: what the exchange said last of each order of an account."""
    return f"order_states:{ex_id}"


def placed_order_topic(local_id: str) -> str:
    """Carries `PlacedOrder`: the exchange took an order of ours."""
    return f"placed_order:{local_id}"


def user_trades_topic(uid: int, exchange: str) -> str:
    """Carries `Trade`: a fill of a user's order waits to be stored."""
    return f"user_trades:{uid}:{exchange}"


def broadcast_topic(process_type: str) -> str:
    """Carries `Broadcast`: what an admin tells all processes of a type."""
    return f"broadcast:{process_type}"


def balances_topic(ex_id: int) -> str:
    """Carries `Balances` as the cache has them; the newest one is the truth."""
    return f"balances:{ex_id}"


def positions_topic(ex_id: int) -> str:
    """Carries `Positions` as the cache has them; the newest one is the truth."""
    return f"positions:{ex_id}"


def partition_of(topic: str) -> str:
    """The partition that carries a topic: the same in every process and every release, so it is not `hash()`."""
    kind = topic.partition(":")[0]
    if kind in MARKET_KINDS:
        return f"market-{crc32(topic.encode()) % MARKET_PARTITIONS}"
    return PRIVATE_PARTITION
