"""Which failures of a mutation are data, and how they are told."""

from __future__ import annotations

from typing import Final

from strawberry.utils.str_converters import to_camel_case

from fullon_master_api.errors import BadUserInput, Conflict, ErrorCode, ExchangeRefused, GatewayError, NotFound, Unavailable
from fullon_master_api.model import Record

EXPECTED: Final = (BadUserInput, Conflict, ExchangeRefused, NotFound, Unavailable)
"""What a caller has to expect of a mutation; everything else fails the request."""


NAMES: Final = {
    "uid": "userId",
    "ex_id": "exchangeAccountId",
    "cat_ex_id": "exchangeId",
    "cat_str_id": "strategyTemplateId",
    "str_id": "strategyId",
    "order_id": "id",
    "lastname": "lastName",
    "decimals": "priceDecimals",
    "backtest": "backtestDays",
    "size_pct": "sizePercent",
    "order": "number",
    "volume": "quantity",
    "order_type": "type",
}
"""The stores' names that the graph spells in another way than in camel case."""


class UserErrorRow(Record, frozen=True, kw_only=True):
    code: ErrorCode
    message: str
    path: list[str] | None


def user_error(error: GatewayError) -> UserErrorRow:
    """An expected failure as data, its path in the graph's words, and so the field with which its message begins."""
    steps = [str(step) for step in error.path]
    message = error.message
    if steps and message.startswith(f"{steps[-1]} "):
        message = graph_name(steps[-1]) + message.removeprefix(steps[-1])
    path = ["input", *map(graph_name, steps)] if steps else None
    return UserErrorRow(code=ErrorCode(error.code), message=message, path=path)


def graph_name(name: str) -> str:
    """The graph's name of a store's field."""
    return NAMES.get(name) or to_camel_case(name)
