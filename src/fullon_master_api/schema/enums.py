"""Closed sets of values, as GraphQL spells and describes them."""

from __future__ import annotations

from enum import Enum
from typing import Final

import strawberry

from fullon_master_api import model
from fullon_master_api.apis.ohlcv import Fill
from fullon_master_api.apis.orm.statistics import TradeKind
from fullon_master_api.errors import ErrorCode

ENUMS: Final[dict[type[Enum], str]] = {
    model.Role: "What a user may do: USER their own things, ADMIN everything.",
    model.Scope: "What a credential may do: READ, WRITE what its user may change, ADMIN what an admin may.",
    model.Side: "BUY or SELL, seen from the base asset.",
    model.OrderType: "How an order is executed; UNKNOWN for a type that this server does not know.",
    model.OrderStatus: "Where an order stands in its life.",
    model.Timeframe: "Length of a candle.",
    model.CandleSource: "Where a candle came from: EXCHANGE the exchange's own, IMPORT a file, TRADES built from the public tape,"
    " ROLLUP added up from shorter ones. An earlier one of these is not overwritten by a later one.",
    model.ServiceName: "A collecting service.",
    model.DesiredState: "What an admin wants a service to do.",
    model.ServiceState: "What a service was seen doing; FAILED and CRASH_LOOP carry their reason in `lastError`.",
    TradeKind: "Fills at the exchange, or of dry runs.",
    Fill: "What stands in for a span without trades.",
    ErrorCode: "The closed list of error codes.",
}

for _enum, _description in ENUMS.items():
    strawberry.enum(_enum, description=_description)
