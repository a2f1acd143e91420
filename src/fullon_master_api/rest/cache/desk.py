"""What an endpoint of the cache is made of: what it may read, its actions, its streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from typing import Annotated, Any, Final, TypeVar

import msgspec
import orjson

from fullon_master_api.apis.cache import Cache
from fullon_master_api.bus import Bus, Cursor
from fullon_master_api.errors import Unavailable
from fullon_master_api.model import Bot, DecimalText, ExchangeAccount, Gap, Principal, Symbol

GAP_KEY: Final = "gap"
SYMBOLS_MAX: Final = 200
PATIENCE_S: Final = 60.0
RETRY_S: Final = 0.25

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the endpoints work with.

    `authenticate` takes the values of `Authorization` and of the API key header; None where both are absent.
    `get_accounts` and `get_bots` answer what a principal owns: nothing else of accounts, orders and bots is shown to him.
    `get_symbols` answers the catalogue's active symbols, for requests that leave the exchange or the symbol open.
    """

    cache: Cache
    bus: Bus
    authenticate: Callable[[str | None, str | None], Awaitable[Principal | None]]
    get_accounts: Callable[[Principal], Awaitable[Sequence[ExchangeAccount]]]
    get_bots: Callable[[Principal], Awaitable[Sequence[Bot]]]
    get_symbols: Callable[[], Awaitable[Sequence[Symbol]]]
    api_key_header: str = "X-API-Key"


class Refused(Exception):
    """An action said no; `code` is one of the sockets' own codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Params(msgspec.Struct, frozen=True):
    """What an action takes; a wrong type is refused before the action sees it."""


@dataclass(frozen=True, slots=True)
class Action:
    """Answers once."""

    params: type[Params]
    answer: Callable[[Desk, Principal, Any], Awaitable[Json]]
    admin_only: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """Answers whenever there is news. `open` refuses bad parameters before the stream is confirmed.

    With `parts` it is a bare stream: its parameters stand beside `action`, every part is a stream under its own name, none
    is confirmed, and the items have no envelope. Asking for a part again changes nothing.
    """

    params: type[Params]
    open: Callable[[Desk, Principal, Any], Awaitable[AsyncGenerator[Json]]]
    item: str = ""
    parts: Callable[[Any], list[tuple[str, Params]]] | None = None
    admin_only: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """All that may be asked on one socket."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    admin_only: bool = False


def gap_of(gap: Gap) -> Json:
    """An item that says: some may be missing here. It goes out under its own name, so that no client takes it for news."""
    return {GAP_KEY: True, "topic": gap.topic, "reason": gap.reason}


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What a stream reads again after it began, tried while the cache is away: a Redis that restarts must not end streams.

    Raises: Unavailable after `PATIENCE_S`.
    """
    give_up_at = monotonic() + PATIENCE_S
    while True:
        try:
            return await read()
        except Unavailable:
            if monotonic() >= give_up_at:
                raise
            await asyncio.sleep(RETRY_S)


def cursor_of(after: str | None, topics: Sequence[str]) -> Cursor | None:
    """Where a stream goes on. Raises: BadCursor; Refused where it has several topics, since a cursor belongs to one."""
    if after is None:
        return None
    if len(topics) != 1:
        raise Refused("INVALID_PARAMS", f"`after` goes on with one topic and {len(topics)} are meant: name exchange and symbol")
    return Cursor.read(after)


def text_of(cursor: Cursor | None) -> str | None:
    return None if cursor is None else str(cursor)


def own_accounts(accounts: Sequence[ExchangeAccount], exchange: str | int | None) -> list[ExchangeAccount]:
    """Those of a principal's accounts that `exchange` means: an account's id or name, or its exchange's name; all if None."""
    if exchange is None:
        return list(accounts)
    said = str(exchange)
    return [account for account in accounts if said in (str(account.ex_id), account.exchange, account.name)]


def number(value: DecimalText | Decimal | None) -> orjson.Fragment | None:
    """A JSON number with exactly these digits: no float stands between."""
    if value is None:
        return None
    return orjson.Fragment(format(value, "f") if isinstance(value, Decimal) else value)


def seconds(ns: int | None) -> float | None:
    """Epoch seconds, as the original's sockets tell time."""
    return None if ns is None else ns / 1e9
