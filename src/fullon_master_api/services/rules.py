"""The market's rules for an order: steps, minimums, and whether the balance is enough."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.adapter import Market, OrderRequest
from fullon_master_api.model import Balance, Order, OrderType, Side


def to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` that `value` rounds to, with as many digits as the step has."""
    return (value / step).to_integral_value(rounding=rounding) * step


def request_of(order: Order, market: Market) -> OrderRequest:
    """The order as the market takes it: quantity cut down to its step, a limit moved to the step in the trader's favour.

    Favour: a buyer never pays more than asked, a seller never gets less.
    Raises: BadUserInput for what is smaller than the market's minimums, or an inactive market.
    """
    if not market.active:
        raise BadUserInput(f"{market.symbol} does not trade at the exchange now", path=("input", "symbol"))
    quantity = to_step(order.volume, market.quantity_step, ROUND_DOWN)
    if quantity <= 0 or quantity < market.quantity_min:
        smallest = max(market.quantity_min, market.quantity_step)
        raise BadUserInput(
            f"quantity was {plain(order.volume)}, must be at least {plain(smallest)} {market.base}", path=("input", "quantity")
        )
    price = None
    if order.order_type is not OrderType.MARKET:
        if order.price is None or order.price <= 0:
            raise BadUserInput(f"a {order.order_type.value} order needs a price above zero", path=("input", "price"))
        price = to_step(order.price, market.price_step, ROUND_FLOOR if order.side is Side.BUY else ROUND_CEILING)
        if price <= 0:
            raise BadUserInput(
                f"price was {plain(order.price)}, must be at least {plain(market.price_step)}", path=("input", "price")
            )
        if quantity * price < market.cost_min:
            cost = quantity * price
            raise BadUserInput(
                f"cost was {plain(cost)}, must be at least {plain(market.cost_min)} {market.quote}", path=("input", "quantity")
            )
    return OrderRequest(
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        quantity=quantity,
        price=price,
        client_order_id=order.client_order_id,
    )


def check_balance(request: OrderRequest, market: Market, balances: Mapping[str, Balance], touch: Decimal | None) -> None:
    """Refuse what the account cannot pay; `touch` is the price of a market order now, None where no ticker was seen.

    Raises: BadUserInput saying what is free and what is needed. The exchange has the last word: this only saves the trip.
    """
    if request.side is Side.SELL:
        currency, needed = market.base, request.quantity
    else:
        price = request.price if request.price is not None else touch
        if price is None:
            return
        currency, needed = market.quote, request.quantity * price * (1 + market.taker_fee)
    held = balances.get(currency)
    free = held.free if held is not None else Decimal(0)
    if needed > free:
        raise BadUserInput(f"{plain(needed)} {currency} are needed, {plain(free)} are free", path=("input", "quantity"))


def market_cost_is_enough(request: OrderRequest, market: Market, touch: Decimal | None) -> None:
    """The smallest cost, for a market order: known only from the ticker.

    Raises: BadUserInput.
    """
    if request.price is None and touch is not None and request.quantity * touch < market.cost_min:
        raise BadUserInput(
            f"cost was about {plain(request.quantity * touch)}, must be at least {plain(market.cost_min)} {market.quote}",
            path=("input", "quantity"),
        )


def fee_of(cost: Decimal, market: Market, *, maker: bool) -> Decimal:
    """The fee in quote currency."""
    return cost * (market.maker_fee if maker else market.taker_fee)


def plain(value: Decimal) -> str:
    """The number without an exponent and without zeros at its end."""
    return format(value.normalize(), "f")
