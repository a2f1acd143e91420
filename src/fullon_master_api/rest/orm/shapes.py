"""The bodies of the ORM's records: the original's field names, and their models for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, create_model

from fullon_master_api.model import (
    ApiKey,
    Bot,
    BotLog,
    DryTrade,
    Exchange,
    ExchangeAccount,
    Feed,
    Order,
    Record,
    Strategy,
    StrategyTemplate,
    Symbol,
    Trade,
    User,
)
from fullon_master_api.rest.orm.exact import Number

R = TypeVar("R", bound=Record)


class Shape(Generic[R]):
    """How a record is written: `rename` to the original's names, `without` some, with `extra` computed ones."""

    def __init__(
        self,
        name: str,
        record: type[R],
        *,
        rename: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        extra: Mapping[str, tuple[Any, Callable[[R], Any]]] | None = None,
    ) -> None:
        hints = get_type_hints(record)
        names = {field: (rename or {}).get(field, field) for field in record.__struct_fields__ if field not in without}
        self._fields = list(names.items())
        self._extra = {key: compute for key, (_, compute) in (extra or {}).items()}
        fields: dict[str, Any] = {names[field]: (_rest_type(hints[field]), ...) for field in names}
        fields |= {key: (kind, ...) for key, (kind, _) in (extra or {}).items()}
        self.model: type[BaseModel] = create_model(name, **fields)
        self.many: Any = list.__class_getitem__(self.model)

    def body(self, record: R) -> dict[str, Any]:
        """The record's fields as plain values."""
        body = {name: getattr(record, field) for field, name in self._fields}
        return body | {key: compute(record) for key, compute in self._extra.items()}


def _rest_type(hint: Any) -> Any:
    """The type of a field in the document: decimals are JSON numbers."""
    if hint is Decimal:
        return Number
    if get_origin(hint) in (Union, UnionType):
        kept = [_rest_type(part) for part in get_args(hint) if part is not NoneType]
        return kept[0] | None if NoneType in get_args(hint) else hint
    return hint


def _words(values: frozenset[StrEnum]) -> str:
    return ",".join(sorted(value.value for value in values))


_TIME: Final = {"created_at": "timestamp"}

USER: Final = Shape("UserBody", User, rename=_TIME)
EXCHANGE: Final = Shape("CatalogExchangeBody", Exchange)
ACCOUNT: Final = Shape(
    "UserExchangeBody",
    ExchangeAccount,
    rename=_TIME,
    extra={"is_testnet": (bool, lambda account: account.test), "ex_named": (str, lambda account: account.name)},
)
SYMBOL: Final = Shape(
    "SymbolBody",
    Symbol,
    rename={"exchange": "exchange_name"},
    extra={
        "base_asset": (str, lambda symbol: symbol.base),
        "quote_asset": (str, lambda symbol: symbol.quote),
        "price_decimals": (int, lambda symbol: symbol.decimals),
    },
)
BOT: Final = Shape("BotBody", Bot, rename=_TIME)
BOT_LOG: Final = Shape("BotLogBody", BotLog, rename=_TIME)
TEMPLATE: Final = Shape("CatalogStrategyBody", StrategyTemplate)
STRATEGY: Final = Shape("StrategyBody", Strategy, extra={"parameters": (dict[str, str], lambda _: {})})
"""The parameters are filled in by the routes of strategies."""

FEED: Final = Shape("FeedBody", Feed, extra={"symbol": (str | None, lambda _: None)})
"""The symbol's name is filled in by the route."""

ORDER: Final = Shape(
    "OrderBody",
    Order,
    rename=_TIME,
    without=("status", "status_text"),
    extra={"status": (str, lambda order: order.status_text or order.status.value)},
)
TRADE: Final = Shape("TradeBody", Trade)
DRY_TRADE: Final = Shape("DryTradeBody", DryTrade, rename=_TIME)
API_KEY: Final = Shape(
    "ApiKeyBody",
    ApiKey,
    without=("scopes",),
    extra={"scopes": (str, lambda key: _words(key.scopes)), "key_id": (int, lambda key: key.api_key_id)},
)
