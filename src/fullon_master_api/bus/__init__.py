"""Topics in and out: the bus between the rooms of a process and between processes."""

from fullon_master_api.bus.bus import Bus, BusHealth, BusQueues, Listener, open_bus
from fullon_master_api.bus.connection import RedisOptions
from fullon_master_api.bus.history import HistoryReader
from fullon_master_api.bus.mailboxes import Delivery, LatestMailbox, Letter, QueueMailbox
from fullon_master_api.bus.rings import Callback, Cursor
from fullon_master_api.bus.topics import (
    DISCONNECTS_TOPIC,
    PROCESSES_TOPIC,
    SERVICES_TOPIC,
    account_topic,
    balances_topic,
    bot_topic,
    broadcast_topic,
    candle_topic,
    order_states_topic,
    orders_topic,
    placed_order_topic,
    positions_topic,
    public_trades_topic,
    service_topic,
    ticker_topic,
    trades_topic,
    user_trades_topic,
)

__all__ = [
    "DISCONNECTS_TOPIC",
    "PROCESSES_TOPIC",
    "SERVICES_TOPIC",
    "Bus",
    "BusHealth",
    "BusQueues",
    "Callback",
    "Cursor",
    "Delivery",
    "HistoryReader",
    "LatestMailbox",
    "Letter",
    "Listener",
    "QueueMailbox",
    "RedisOptions",
    "account_topic",
    "balances_topic",
    "bot_topic",
    "broadcast_topic",
    "candle_topic",
    "open_bus",
    "order_states_topic",
    "orders_topic",
    "placed_order_topic",
    "positions_topic",
    "public_trades_topic",
    "service_topic",
    "ticker_topic",
    "trades_topic",
    "user_trades_topic",
]
