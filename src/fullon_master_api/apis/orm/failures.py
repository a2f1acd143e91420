"""What a client is told when the database fails: no SQL and no driver's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fullon_master_api.errors import BadUserInput, Conflict, GatewayError, StoreUnavailable

_UNIQUE: Final = ("23505", "UNIQUE constraint failed")
_FOREIGN: Final = ("23503", "23001", "FOREIGN KEY constraint failed")  # PostgreSQL's states, SQLite's words
_AWAY: Final = ("08", "53", "57", "25P03", "40")
"""PostgreSQL's states: connection lost, too few resources, shut down, idle in a transaction for too long, rolled back."""

_DATA: Final = "22"  # a value that cannot be stored or compared


@contextmanager
def translated() -> Generator[None, None, None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except Exception as error:
        raise_told(error)
        raise


def raise_told(error: BaseException) -> None:
    """Raise what a client is told of a library's error; nothing where it is no such error."""
    told = _told(error)
    if told is not None:
        raise told from error


def _told(error: BaseException) -> GatewayError | None:
    away = StoreUnavailable("the SQL store does not answer")
    unfit = BadUserInput("a value holds what the store cannot keep")
    match error:
        case IntegrityError():
            return _integrity(error)
        case asyncpg.InterfaceError():  # The driver could not write the value down, or has no connection.
            return unfit if isinstance(error, ValueError) else away
        case OperationalError() | InterfaceError() | PoolTimeout() | OSError() | sqlite3.OperationalError():
            return away
        case DBAPIError() | asyncpg.PostgresError():
            state = str(getattr(getattr(error, "orig", error), "sqlstate", ""))
            if getattr(error, "connection_invalidated", False) or state.startswith(_AWAY):
                return away
            return unfit if state.startswith(_DATA) else None
        case StatementError():  # A column refused the value.
            return error.orig if isinstance(error.orig, GatewayError) else None
        case UnicodeEncodeError() | sqlite3.DataError() | OverflowError():
            return unfit
    return None


def _integrity(error: IntegrityError) -> GatewayError:
    text = f"{getattr(error.orig, 'sqlstate', '')} {error.orig}"
    if any(word in text for word in _UNIQUE):
        return Conflict("something of that name or number is there already")
    if any(word in text for word in _FOREIGN):
        return Conflict("what it refers to is not there, or something else still refers to it")
    return BadUserInput("a value is missing or outside what the store keeps")
