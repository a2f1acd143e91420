"""What an OHLCV request asks for: who, which symbol, which span, in which format."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime

from fullon_master_api.apis.ohlcv import OhlcvStore
from fullon_master_api.apis.orm.store import Orm
from fullon_master_api.errors import BadUserInput, Forbidden, NotFound
from fullon_master_api.model import Principal, Scope, Symbol
from fullon_master_api.rest.access import Caller

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
RANGE_LIMIT_MAX: Final = 10_000


class Format(Enum):
    """What `Accept` may ask for; JSON where it names none of these."""

    JSON = "application/json"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


def reader(principal: Caller) -> Principal:
    """The signed-in caller. Raises: Forbidden for a key without the scope `read`."""
    if Scope.READ not in principal.scopes:
        raise Forbidden("this key may not read: it needs the scope 'read'")
    return principal


def get_ohlcv(request: Request) -> OhlcvStore:
    store: OhlcvStore = request.app.state.stores.ohlcv
    return store


def get_orm(request: Request) -> Orm:
    orm: Orm = request.app.state.stores.orm
    return orm


def wanted_format(request: Request) -> Format:
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return next((kind for kind in (Format.ARROW, Format.CSV) if kind.value in accepted), Format.JSON)


async def find_symbol(orm: Orm, exchange: str, symbol: str) -> Symbol:
    """The catalogue's symbol; a read of what it does not have is refused before any store is asked.

    Raises: NotFound with the original's words.
    """
    (found,) = await orm.symbols.by_names([(exchange, symbol)])
    if found is None:
        raise NotFound(f"Exchange '{exchange}' or symbol '{symbol}' not found")
    return found


def get_ns(instant: datetime) -> int:
    """An aware instant in nanoseconds since 1970.

    Raises: BadUserInput for years that nanoseconds of 64 bits do not reach.
    """
    microseconds = (instant - EPOCH) // timedelta(microseconds=1)
    if microseconds < 0 or instant.year > 2200:
        raise BadUserInput(f"time was {instant.isoformat()}, must be in the years 1970 to 2200")
    return microseconds * 1000


Who = Annotated[Principal, Depends(reader)]
Ohlcv = Annotated[OhlcvStore, Depends(get_ohlcv)]
Catalogue = Annotated[Orm, Depends(get_orm)]
Wanted = Annotated[Format, Depends(wanted_format)]
Limit = Annotated[int, Query(ge=1, le=5000, description="Rows at most.")]
RangeLimit = Annotated[int, Query(ge=1, le=RANGE_LIMIT_MAX, description="Rows at most.")]
Start = Annotated[AwareDatetime, Query(description="Beginning, inclusive; RFC 3339 with an offset.")]
End = Annotated[AwareDatetime, Query(description="End, exclusive; RFC 3339 with an offset.")]
Zone = Annotated[str, Query(description="IANA zone whose midnight cuts hours, days, weeks and months.", max_length=64)]
