"""The dry-run matcher: fills orders from the exchange's live ticker, in memory, without a word to the exchange."""

from __future__ import annotations

from decimal import Decimal

from fullon_master_api.model import Order, OrderType, Record, Side, Ticker

TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT)


class Match(Record, frozen=True, kw_only=True):
    """One fill of a dry-run order; `price` in quote currency. A maker's order was waiting when the market came to it."""

    quantity: Decimal
    price: Decimal
    maker: bool


class Matcher:
    """The dry-run orders of one symbol that wait for the market.

    An order fills whole, at the touch: a buyer pays the ask, a seller gets the bid, and the last price stands in for a
    side that the exchange does not send. A limit order that can trade when it arrives takes that price, as a taker; one
    that waited gets its own price, as a maker. `stop` and `stop_limit` wake when the market moves against the holder up
    to `price`, `take_profit` when it moves in favour; a woken `stop_limit` goes on as a limit order at `plimit`.
    Queue position, depth and the market's answer to the order are not modelled: a dry run is kinder than the exchange.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Order] = {}
        self._seen: set[int] = set()  # orders that have met at least one ticker: they rest in the book
        self._woken: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, order: Order) -> None:
        self._waiting.setdefault(order.order_id, order)

    def remove(self, order_id: int) -> bool:
        """Take an order out; false if it is not here, because it filled or was never added."""
        self._seen.discard(order_id)
        self._woken.discard(order_id)
        return self._waiting.pop(order_id, None) is not None

    @property
    def orders(self) -> list[Order]:
        return list(self._waiting.values())

    def meet(self, ticker: Ticker) -> list[tuple[Order, Match]]:
        """What this ticker fills, oldest order first. The orders stay until `remove`, so a failed write is tried again."""
        return [(order, match) for order in sorted(self._waiting.values(), key=_age) if (match := self._meet_one(order, ticker))]

    def _meet_one(self, order: Order, ticker: Ticker) -> Match | None:
        quantity = order.volume - (order.final_volume or Decimal(0))
        touch = touch_of(order.side, ticker)
        if touch is None or quantity <= 0:
            return None
        rests = order.order_id in self._seen
        if order.order_type in TRIGGERED and order.order_id not in self._woken:
            if not is_triggered(order, ticker):
                self._seen.add(order.order_id)
                return None
            self._woken.add(order.order_id)
            rests = False
        limit = limit_of(order)
        if limit is None:
            return Match(quantity=quantity, price=touch, maker=False)
        reached = touch <= limit if order.side is Side.BUY else touch >= limit
        if not reached:
            self._seen.add(order.order_id)
            return None
        return Match(quantity=quantity, price=limit if rests else touch, maker=rests)


def touch_of(side: Side, ticker: Ticker) -> Decimal | None:
    """The price at which an order of this side would trade at once: the ask for a buyer, the bid for a seller."""
    text = (ticker.ask if side is Side.BUY else ticker.bid) or ticker.last
    return None if text is None else Decimal(text)


def limit_of(order: Order) -> Decimal | None:
    """The worst price the order takes; None: any."""
    if order.order_type is OrderType.LIMIT:
        return order.price
    if order.order_type is OrderType.STOP_LIMIT:
        return order.plimit if order.plimit is not None else order.price
    return None


def is_triggered(order: Order, ticker: Ticker) -> bool:
    """True once the market reached the trigger of a stop or take-profit order, which is its `price`."""
    touch, trigger = touch_of(order.side, ticker), order.price
    if touch is None or trigger is None:
        return False
    rises = (order.side is Side.BUY) is not (order.order_type is OrderType.TAKE_PROFIT)
    return touch >= trigger if rises else touch <= trigger


def _age(order: Order) -> int:
    return order.order_id
