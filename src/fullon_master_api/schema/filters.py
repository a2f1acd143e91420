"""What lists may be filtered and ordered by."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from fullon_master_api.model import OrderStatus, OrderType, Role, Side
from fullon_master_api.resolvers.filters import Direction

T = TypeVar("T")

AND = "All of these must hold."
OR = "One of these must hold."
NOT = "This must not hold."


@strawberry.input(description="A condition on a text; all that it says must hold. Case is ignored where parts are looked for.")
class StringFilter:
    eq: str | None = strawberry.field(default=None, description="Is exactly this.")
    in_: list[str] | None = strawberry.field(default=None, name="in", description="Is one of these, at most 500.")
    contains: str | None = strawberry.field(default=None, description="Has this part.")
    starts_with: str | None = strawberry.field(default=None, description="Begins with this.")
    is_null: bool | None = strawberry.field(default=None, description="Is not there, or is.")


@strawberry.input(description="A condition on an instant; all that it says must hold.")
class DateTimeFilter:
    gt: datetime | None = strawberry.field(default=None, description="After this.")
    gte: datetime | None = strawberry.field(default=None, description="At or after this.")
    lt: datetime | None = strawberry.field(default=None, description="Before this.")
    lte: datetime | None = strawberry.field(default=None, description="At or before this.")


@strawberry.input(description="A condition on one of a closed set of values.")
class EnumFilter(Generic[T]):
    eq: T | None = strawberry.field(default=None, description="Is this.")
    in_: list[T] | None = strawberry.field(default=None, name="in", description="Is one of these.")


@strawberry.input(description="Which symbols.")
class SymbolFilter:
    symbol: StringFilter | None = strawberry.field(default=None, description="Unified name.")
    exchange: StringFilter | None = strawberry.field(default=None, description="Name of the exchange.")
    base: StringFilter | None = strawberry.field(default=None, description="Base asset.")
    quote: StringFilter | None = strawberry.field(default=None, description="Quote asset.")
    active: bool | None = strawberry.field(default=None, description="Whether it is collected.")
    futures: bool | None = strawberry.field(default=None, description="Whether it is a derivative.")
    and_: list[SymbolFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[SymbolFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: SymbolFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which users.")
class UserFilter:
    mail: StringFilter | None = strawberry.field(default=None, description="Mail address.")
    name: StringFilter | None = strawberry.field(default=None, description="First name.")
    lastname: StringFilter | None = strawberry.field(default=None, name="lastName", description="Family name.")
    role: EnumFilter[Role] | None = strawberry.field(default=None, description="Role.")
    active: bool | None = strawberry.field(default=None, description="Whether they may log in.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, description="When they were added.")
    and_: list[UserFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[UserFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: UserFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which exchange accounts.")
class ExchangeAccountFilter:
    name: StringFilter | None = strawberry.field(default=None, description="The user's label.")
    exchange: StringFilter | None = strawberry.field(default=None, description="Name of the exchange.")
    active: bool | None = strawberry.field(default=None, description="Whether it is collected.")
    test: bool | None = strawberry.field(default=None, description="Whether it is at a test site.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, description="When it was added.")
    and_: list[ExchangeAccountFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[ExchangeAccountFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: ExchangeAccountFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which bots.")
class BotFilter:
    name: StringFilter | None = strawberry.field(default=None, description="The owner's label.")
    active: bool | None = strawberry.field(default=None, description="Whether it should run.")
    dry_run: bool | None = strawberry.field(default=None, description="Whether its orders are only simulated.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, description="When it was added.")
    and_: list[BotFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[BotFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: BotFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which orders.")
class OrderFilter:
    symbol: StringFilter | None = strawberry.field(default=None, description="Unified name.")
    exchange: StringFilter | None = strawberry.field(default=None, description="Name of the exchange.")
    side: EnumFilter[Side] | None = strawberry.field(default=None, description="BUY or SELL.")
    order_type: EnumFilter[OrderType] | None = strawberry.field(default=None, name="type", description="How it is executed.")
    status: EnumFilter[OrderStatus] | None = strawberry.field(default=None, description="Where it stands.")
    dry_run: bool | None = strawberry.field(default=None, description="Whether it is only simulated.")
    client_order_id: StringFilter | None = strawberry.field(default=None, description="The caller's own key.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, description="When it was placed.")
    updated_at: DateTimeFilter | None = strawberry.field(default=None, description="When it last changed.")
    and_: list[OrderFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[OrderFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: OrderFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which fills.")
class TradeFilter:
    symbol: StringFilter | None = strawberry.field(default=None, description="Unified name.")
    side: EnumFilter[Side] | None = strawberry.field(default=None, description="BUY or SELL.")
    time: DateTimeFilter | None = strawberry.field(default=None, name="tradedAt", description="When it happened.")
    and_: list[TradeFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[TradeFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: TradeFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which dry-run fills.")
class DryTradeFilter:
    symbol: StringFilter | None = strawberry.field(default=None, description="Unified name.")
    side: EnumFilter[Side] | None = strawberry.field(default=None, description="BUY or SELL.")
    closingtrade: bool | None = strawberry.field(default=None, name="closing", description="Whether it closed a position.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, name="tradedAt", description="When it happened.")
    and_: list[DryTradeFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[DryTradeFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: DryTradeFilter | None = strawberry.field(default=None, name="not", description=NOT)


@strawberry.input(description="Which entries of the audit trail.")
class AuditFilter:
    action: StringFilter | None = strawberry.field(default=None, description="What was done, as `user.add`.")
    subject: StringFilter | None = strawberry.field(default=None, description="To what, as `user:7`.")
    mail: StringFilter | None = strawberry.field(default=None, description="By whom.")
    created_at: DateTimeFilter | None = strawberry.field(default=None, description="When it was done.")
    and_: list[AuditFilter] | None = strawberry.field(default=None, name="and", description=AND)
    or_: list[AuditFilter] | None = strawberry.field(default=None, name="or", description=OR)
    not_: AuditFilter | None = strawberry.field(default=None, name="not", description=NOT)


class AuditSort(Enum):
    ID = "audit_id"


class SymbolSort(Enum):
    ID = "symbol_id"
    SYMBOL = "symbol"


class UserSort(Enum):
    ID = "uid"
    MAIL = "mail"
    NAME = "name"
    CREATED_AT = "created_at"


class ExchangeAccountSort(Enum):
    ID = "ex_id"
    NAME = "name"
    CREATED_AT = "created_at"


class BotSort(Enum):
    ID = "bot_id"
    NAME = "name"
    CREATED_AT = "created_at"


class OrderSort(Enum):
    ID = "order_id"
    SYMBOL = "symbol"
    CREATED_AT = "created_at"


class TradeSort(Enum):
    ID = "trade_id"
    SYMBOL = "symbol"
    TRADED_AT = "time"


class DryTradeSort(Enum):
    ID = "trade_id"
    SYMBOL = "symbol"
    TRADED_AT = "created_at"


strawberry.enum(Direction, description="Smallest or oldest first, or the other way round.")
for _sort in (AuditSort, SymbolSort, UserSort, ExchangeAccountSort, BotSort, OrderSort, TradeSort, DryTradeSort):
    strawberry.enum(_sort, description="What a list may be ordered by; rows that are equal in it keep the order of their ids.")


@strawberry.input(description="How a list is ordered.")
class OrderBy(Generic[T]):
    field: T = strawberry.field(description="By what.")
    direction: Direction = strawberry.field(default=Direction.ASC, description="In which direction.")


def listed(filters: Any, sort: Any, **more: Any) -> dict[str, Any]:
    """The arguments of a list that can be filtered and ordered."""
    return {
        "filter": Annotated[filters | None, strawberry.argument(description="Only rows of which this holds.")],
        "order_by": Annotated[OrderBy[sort] | None, strawberry.argument(description="In which order; its own by default.")],
        "first": "How many rows at most, 1 to 500.",
        "after": "Cursor of the row before the first wanted one; it belongs to one filter and order.",
        **more,
    }
