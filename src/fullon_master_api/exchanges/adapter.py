"""What the services need of an exchange, whatever library stands behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from typing import Protocol

from fullon_master_api.model import (
    Balance,
    Candle,
    DecimalText,
    MarketTrade,
    OrderStatus,
    OrderType,
    Record,
    Side,
    Ticker,
    Timeframe,
)


class Market(Record, frozen=True, kw_only=True):
    """A symbol's rules at its exchange; steps and minimums in base (`quantity`) or quote (`price`, `cost`) units."""

    symbol: str
    base: str
    quote: str
    price_step: Decimal
    quantity_step: Decimal
    quantity_min: Decimal
    cost_min: Decimal
    taker_fee: Decimal  # as a fraction: 0.004 is 0.4 %
    maker_fee: Decimal
    active: bool = True

    @property
    def price_decimals(self) -> int:
        return decimals_of(self.price_step)

    @property
    def quantity_decimals(self) -> int:
        return decimals_of(self.quantity_step)


class Capabilities(Record, frozen=True, kw_only=True):
    """What the exchange can stream; what it cannot is polled over REST."""

    stream_tickers: bool
    stream_trades: bool
    stream_candles: bool
    stream_balances: bool
    stream_orders: bool
    stream_my_trades: bool
    positions: bool
    candles_from_trades: bool  # its candle history is too short: build candles from its trades (Kraken)


class OrderRequest(Record, frozen=True, kw_only=True):
    """An order to send; quantities and prices already rounded to the market's steps."""

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    client_order_id: str | None = None


class OrderState(Record, frozen=True, kw_only=True):
    """What the exchange says of an order now. A stream's state may lag behind the fills, which are the truth."""

    ex_order_id: str
    client_order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    order_type: OrderType | None = None
    status: OrderStatus
    quantity: Decimal | None = None
    filled: Decimal | None = None
    price: Decimal | None = None
    average_price: Decimal | None = None
    reason: str = ""
    event_ns: int | None = None


class Fill(Record, frozen=True, kw_only=True):
    """One execution of an own order."""

    ex_trade_id: str
    ex_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: DecimalText
    cost: Decimal
    fee: Decimal
    fee_currency: str | None
    event_ns: int


class ExchangeAdapter(Protocol):
    """One connection to one exchange, public or with an account's credentials.

    Streams yield until the caller closes them (`aclosing`) and end only with an error: `ExchangeUnavailable` when the
    socket dropped, stalled or the exchange is under maintenance; `ExchangeDenied` for credentials; `ExchangeRefused` for
    a symbol it does not have. A stream never re-subscribes by itself: its owner waits, catches up over REST, opens anew.
    Every call and the first message of every stream has a time limit.
    """

    name: str
    capabilities: Capabilities

    async def load_markets(self) -> dict[str, Market]: ...
    async def aclose(self) -> None: ...

    # Public market data.
    def stream_tickers(self, symbols: Sequence[str]) -> AsyncGenerator[list[Ticker], None]: ...
    def stream_trades(self, symbol: str) -> AsyncGenerator[list[MarketTrade], None]: ...
    def stream_candles(self, symbol: str) -> AsyncGenerator[list[Candle], None]: ...
    async def fetch_tickers(self, symbols: Sequence[str]) -> list[Ticker]: ...
    async def fetch_trades(self, symbol: str, *, since_ns: int, limit: int) -> list[MarketTrade]: ...
    async def fetch_candles(self, symbol: str, timeframe: Timeframe, *, since_ns: int, limit: int) -> list[Candle]: ...

    # The account whose credentials it holds.
    async def fetch_balances(self, ex_id: int) -> list[Balance]: ...
    def stream_balances(self, ex_id: int) -> AsyncGenerator[list[Balance], None]: ...
    async def fetch_open_orders(self) -> list[OrderState]: ...
    async def fetch_orders(
        self, ex_order_ids: Sequence[str], *, symbols: Sequence[str | None] | None = None
    ) -> list[OrderState | None]:
        """The state of each order, in the order asked; None where the exchange does not know it.

        Most exchanges look an order up in its market only: `symbols` names them, in the same order. Without it those are
        found that this connection saw before, and others raise ExchangeRefused. Kraken needs none.
        """
        ...

    def stream_orders(self) -> AsyncGenerator[list[OrderState], None]: ...
    async def fetch_fills(self, *, since_ns: int, symbols: Sequence[str] | None = None) -> list[Fill]:
        """Own executions from `since_ns` on, oldest first; `symbols` as for `fetch_orders`, Kraken answers all."""
        ...

    def stream_fills(self) -> AsyncGenerator[list[Fill], None]: ...
    async def place_order(self, request: OrderRequest) -> OrderState: ...
    async def cancel_order(self, ex_order_id: str, symbol: str) -> OrderState: ...


def decimals_of(step: Decimal) -> int:
    """Digits behind the point of a step: 0.05 has 2, 1 and 10 have none."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), f"step was {step}, must be a finite number"
    return max(0, -exponent)
