"""The nouns of the platform: records that travel between rooms and never change.

Money is `Decimal`. Market data (`Ticker`, `Candle`, `MarketTrade`) carries `DecimalText`, the exchange's own digits in
plain notation. Instants are UTC: aware `datetime` in stored rows, integer nanoseconds since 1970 (`…_ns`) in market data.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, Final

import msgspec

DecimalText = str
"""An exact decimal in plain notation: no exponent, no NaN, no Infinity."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What travels: built once, compared by value, never changed."""


class Wanted(frozenset[str]):
    """Names of the attributes of rows that will be read; `shown` are those of them that do nothing but go into an answer.

    A decimal or an instant that is only shown may be given as the text in which it leaves, a member of an enum as its value.
    `read` are those that code reads.
    """

    __slots__ = ("shown",)
    shown: frozenset[str]

    def __new__(cls, read: Iterable[str] = (), shown: Iterable[str] = ()) -> Wanted:
        named = frozenset(read)
        made = super().__new__(cls, named.union(shown))
        made.shown = frozenset(shown) - named
        return made


class Role(StrEnum):
    ADMIN = "ADMIN"
    USER = "USER"


class Scope(StrEnum):
    """What a credential may do; a token of a login has all that its role allows."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    UNKNOWN = "unknown"


class OrderStatus(StrEnum):
    NEW = "new"
    PENDING = "pending"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ERROR = "error"


OPEN_STATUSES: Final = (OrderStatus.NEW, OrderStatus.PENDING, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)


class Timeframe(Enum):
    """Length of a candle; the value is the exchange's spelling, which REST keeps."""

    MINUTE_1 = "1m"
    MINUTE_3 = "3m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_2 = "2h"
    HOUR_4 = "4h"
    HOUR_6 = "6h"
    HOUR_8 = "8h"
    HOUR_12 = "12h"
    DAY_1 = "1d"
    DAY_3 = "3d"
    WEEK_1 = "1w"
    MONTH_1 = "1M"


class ServiceName(StrEnum):
    TICKER = "ticker"
    OHLCV = "ohlcv"
    ACCOUNT = "account"
    HEALTH_MONITOR = "health_monitor"


class DesiredState(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class ServiceState(StrEnum):
    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    FAILED = "FAILED"
    CRASH_LOOP = "CRASH_LOOP"


# ---- who asks ----------------------------------------------------------------------------------------------------------


class Principal(Record, frozen=True, kw_only=True):
    """Who asks: everything that a rule about rights may read."""

    uid: int
    mail: str
    role: Role
    scopes: frozenset[Scope]
    token_id: str | None = None
    api_key_id: int | None = None
    expires_s: float | None = None  # UTC seconds since 1970 at which the credential ends; None: never

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN and Scope.ADMIN in self.scopes

    @property
    def may_write(self) -> bool:
        return Scope.WRITE in self.scopes


class User(Record, frozen=True, kw_only=True):
    uid: int
    mail: str
    role: Role
    name: str = ""
    lastname: str = ""
    phone: str = ""
    id_num: str = ""
    note: str | None = None
    manager: int | None = None
    external_id: str | None = None
    active: bool = True
    created_at: datetime


class ApiKey(Record, frozen=True, kw_only=True):
    """A key's row; the secret itself is shown once, when it is made, and is not here."""

    api_key_id: int
    uid: int
    prefix: str
    name: str
    description: str | None = None
    scopes: frozenset[Scope]
    is_active: bool = True
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


# ---- markets -----------------------------------------------------------------------------------------------------------


class Exchange(Record, frozen=True, kw_only=True):
    """An exchange of the catalogue."""

    cat_ex_id: int
    name: str
    ohlcv_view: str = ""


class Symbol(Record, frozen=True, kw_only=True):
    """A symbol at an exchange. `decimals` and `quantity_decimals` count digits behind the point."""

    symbol_id: int
    cat_ex_id: int
    exchange: str
    symbol: str
    base: str
    quote: str
    ex_base: str | None = None
    updateframe: str = "1h"
    backtest: int = 30  # days of history to collect on the first run
    decimals: int = 8
    quantity_decimals: int = 8
    futures: bool = False
    only_ticker: bool = False
    active: bool = True


class Ticker(Record, frozen=True, kw_only=True):
    """Latest bid, ask and last of a symbol, in quote currency; `volume` of 24 hours in base units."""

    exchange: str
    symbol: str
    bid: DecimalText | None = None
    ask: DecimalText | None = None
    last: DecimalText | None = None
    bid_quantity: DecimalText | None = None
    ask_quantity: DecimalText | None = None
    high: DecimalText | None = None
    low: DecimalText | None = None
    volume: DecimalText | None = None
    change: DecimalText | None = None
    percentage: float | None = None
    event_ns: int | None = None  # the exchange's own time, where it sends one
    received_ns: int
    sequence: int = 0  # rises by one with every stored ticker of this symbol


class MarketTrade(Record, frozen=True, kw_only=True):
    """One trade of the public tape. `trade_id` is the exchange's."""

    trade_id: str
    event_ns: int
    price: DecimalText
    quantity: DecimalText
    side: Side
    order_type: OrderType = OrderType.UNKNOWN


class CandleSource(IntEnum):
    """Where a stored candle came from. A greater one is not overwritten by a smaller one, whatever the order of arrival."""

    ROLLUP = 0  # added up from shorter candles
    TRADES = 1
    IMPORT = 2
    EXCHANGE = 3


class Candle(Record, frozen=True, kw_only=True):
    """OHLCV of one timeframe, stamped with its open time; prices in quote currency, volume in base units."""

    opened_ns: int
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    trades: int | None = None
    final: bool = True
    filled: bool = False  # made up on read for a span without trades: the previous close, volume 0
    source: CandleSource | None = None  # None of one that was not stored: made up, or on its way from an exchange
    revision: int = 0  # changes after it was final; of one added up on read those of its parts


class CandleColumns(Record, frozen=True, kw_only=True):
    """The same candles as columns of floats, for charts; `opened_ms` in UTC milliseconds since 1970."""

    opened_ms: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class CandleEvent(Record, frozen=True, kw_only=True):
    """A candle of a symbol changed, or closed (`candle.final`)."""

    exchange: str
    symbol: str
    timeframe: str
    candle: Candle


class MarketTrades(Record, frozen=True, kw_only=True):
    """New trades of a symbol, oldest first."""

    exchange: str
    symbol: str
    trades: list[MarketTrade]


# ---- accounts and trading ----------------------------------------------------------------------------------------------


class ExchangeAccount(Record, frozen=True, kw_only=True):
    """A user's account at an exchange."""

    ex_id: int
    uid: int
    cat_ex_id: int
    exchange: str
    name: str
    test: bool = False
    active: bool = True
    created_at: datetime


class Balance(Record, frozen=True, kw_only=True):
    """What an account holds of one currency; `total` = `free` + `used`."""

    ex_id: int
    currency: str
    total: Decimal
    free: Decimal
    used: Decimal
    updated_ns: int


class Position(Record, frozen=True, kw_only=True):
    """What an account holds of one symbol: `quantity` signed, long above zero; `price` the average entry."""

    ex_id: int
    symbol: str
    quantity: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    count: int
    realized_pnl: Decimal = Decimal(0)
    updated_ns: int


class Order(Record, frozen=True, kw_only=True):
    """An order. `volume` is the asked quantity in base units, `final_volume` what was filled of it."""

    order_id: int
    bot_id: int | None
    uid: int
    ex_id: int
    cat_ex_id: int
    exchange: str
    symbol: str
    order_type: OrderType
    side: Side
    volume: Decimal
    final_volume: Decimal | None = None
    price: Decimal | None = None
    average_price: Decimal | None = None
    plimit: Decimal | None = None
    tick: Decimal | None = None
    futures: bool = False
    leverage: Decimal | None = None
    status: OrderStatus
    status_text: str = ""  # the spelling that came in, which REST answers
    command: str | None = None
    subcommand: str | None = None
    reason: str = ""
    dry_run: bool = True
    client_order_id: str | None = None
    ex_order_id: str | None = None
    created_at: datetime
    updated_at: datetime


class Trade(Record, frozen=True, kw_only=True):
    """A fill of the user's own order at the exchange. It never changes once stored."""

    trade_id: int
    ex_trade_id: str
    ex_order_id: str
    uid: int
    ex_id: int
    cat_ex_id: int | None = None
    bot_id: int | None = None
    order_id: int | None = None
    symbol: str
    order_type: OrderType
    side: Side
    volume: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_currency: str | None = None
    cur_volume: Decimal | None = None
    cur_avg_price: Decimal | None = None
    cur_avg_cost: Decimal | None = None
    cur_fee: Decimal | None = None
    roi: Decimal | None = None
    roi_pct: Decimal | None = None
    total_fee: Decimal | None = None
    leverage: Decimal = Decimal(1)
    time: datetime


class DryTrade(Record, frozen=True, kw_only=True):
    """A fill of a dry-run order, made by our own matcher from the live ticker."""

    trade_id: int
    bot_id: int | None
    uid: int
    ex_id: int
    cat_ex_id: int | None = None
    order_id: int | None = None
    symbol: str
    side: Side
    volume: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    roi: Decimal | None = None
    roi_pct: Decimal | None = None
    reason: str | None = None
    closingtrade: bool = False
    created_at: datetime


# ---- bots --------------------------------------------------------------------------------------------------------------


class Bot(Record, frozen=True, kw_only=True):
    bot_id: int
    uid: int
    name: str
    dry_run: bool = True
    active: bool = True
    test: bool = False
    created_at: datetime


class StrategyTemplate(Record, frozen=True, kw_only=True):
    """A strategy of the catalogue; risk values in percent."""

    cat_str_id: int
    name: str
    description: str | None = None
    class_name: str | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    trailing_stop: Decimal | None = None
    timeout: Decimal | None = None
    pre_load_bars: int = 200
    feeds: int = 2
    pairs: bool = False


class Strategy(Record, frozen=True, kw_only=True):
    """A catalogue strategy attached to a bot; `size_pct` in percent of funds."""

    str_id: int
    bot_id: int
    cat_str_id: int
    name: str | None = None
    active: bool = True
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    trailing_stop: Decimal | None = None
    timeout: Decimal | None = None
    leverage: Decimal = Decimal(1)
    size_pct: Decimal | None = None
    size: Decimal | None = None
    size_currency: str | None = None
    pre_load_bars: int | None = None
    feeds: int = 2
    pairs: bool = False


class Feed(Record, frozen=True, kw_only=True):
    """What a strategy reads: `period` × `compression` of a symbol; `order` is its number in the strategy."""

    feed_id: int
    str_id: int
    symbol_id: int
    period: str
    compression: int
    order: int
    ex_id: int | None = None
    cat_ex_id: int | None = None


class BotLog(Record, frozen=True, kw_only=True):
    bot_log_id: int
    bot_id: int
    feed_num: int
    ex_id: int
    symbol: str
    position: Decimal
    message: str
    level: str = "INFO"
    created_at: datetime


class Simulation(Record, frozen=True, kw_only=True):
    num: int
    bot_id: int
    name: str
    json: dict[str, Any]


# ---- services and events -----------------------------------------------------------------------------------------------


class FeedHealth(Record, frozen=True, kw_only=True):
    """How one stream of a service does: `feed` is `exchange:symbol:kind`."""

    feed: str
    messages: int = 0
    last_message_ns: int | None = None
    lag_ms: float | None = None
    reconnects: int = 0
    gaps: int = 0
    refused: int = 0
    error: str | None = None


class Service(Record, frozen=True, kw_only=True):
    """Desired and observed state of one collecting service."""

    name: ServiceName
    desired: DesiredState
    generation: int
    observed_generation: int
    state: ServiceState
    owner: str | None = None
    epoch: int = 0
    heartbeat_at: datetime | None = None
    started_at: datetime | None = None
    restarts: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None
    feeds: list[FeedHealth] = []


class Process(Record, frozen=True, kw_only=True):
    """A running part that reports its heartbeat, in the words of the original's process cache."""

    process_id: str
    process_type: str
    component: str
    status: str
    message: str | None = None
    params: dict[str, Any] = {}
    created_at: datetime
    updated_at: datetime
    heartbeat_at: datetime


class Broadcast(Record, frozen=True, kw_only=True):
    """What an admin tells all processes of a type."""

    process_type: str
    message: str
    data: dict[str, Any] = {}
    sent_ns: int


class Event(Record, frozen=True, kw_only=True):
    """A row of the transactional outbox: what changed, committed together with the change itself.

    `sequence` rises within the whole store, without a promise of no holes; a reader asks for rows after the last it saw.
    `topic` is the bus topic whose readers want it; `kind` says how to decode `payload` (JSON of the record).
    """

    sequence: int
    topic: str
    kind: str
    payload: bytes
    created_at: datetime


class Disconnect(Record, frozen=True, kw_only=True):
    """All sockets of a user are to be closed, on every process; `by` is the admin who asked."""

    uid: int
    by: int


class Fence(Record, frozen=True, kw_only=True):
    """The lease under which an owner writes: a store refuses the write (`StaleEpoch`) once it saw a higher epoch."""

    service: str
    epoch: int


class Gap(Record, frozen=True, kw_only=True):
    """Messages of `topic` may be missing before this one: the broker's history was cut or lost."""

    topic: str
    reason: str


class PlacedOrder(Record, frozen=True, kw_only=True):
    """Which id the exchange gave to an order of ours."""

    local_id: str
    ex_order_id: str
    placed_ns: int


class Freshness(Record, frozen=True, kw_only=True):
    """When something was last collected: trades of an exchange, or the fills of an account there."""

    key: str
    at_ns: int


class BotStatus(Record, frozen=True, kw_only=True):
    """What a running bot says of itself: one free-form object for each of its feeds (`"feed_1"`, `"feed_2"`, ...)."""

    bot_id: int
    feeds: dict[str, dict[str, Any]]
    updated_ns: int


class Block(Record, frozen=True, kw_only=True):
    """A bot holds a symbol of an exchange account for itself, until `expires_ns` unless it renews."""

    ex_id: int
    symbol: str
    bot_id: int
    expires_ns: int


class Balances(Record, frozen=True, kw_only=True):
    """All balances of one exchange account as of `updated_ns`."""

    ex_id: int
    balances: list[Balance]
    updated_ns: int


class Positions(Record, frozen=True, kw_only=True):
    """All open positions of one exchange account as of `updated_ns`."""

    ex_id: int
    positions: list[Position]
    updated_ns: int


class ProcessHealth(Record, frozen=True, kw_only=True):
    """All processes that reported within the last hour, counted; healthy when none is stale or in error."""

    healthy: bool
    total_processes: int
    by_type: dict[str, int]
    by_status: dict[str, int]
    stale_processes: list[str]
    error_processes: list[str]
