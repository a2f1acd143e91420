"""Checking what comes in against the columns that keep it, so that a bad value is refused by name and never reaches SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, Column, Integer, SmallInteger, String, Table

from fullon_master_api.apis.orm.columns import ID_MAX, EnumText, JsonText, Money, Scopes, UtcTime, canonical
from fullon_master_api.apis.orm.spellings import parse
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Scope

SMALL_MAX: Final = 2**15 - 1
INTEGER_MAX: Final = 2**31 - 1
TEXT_MAX: Final = 100_000


def checked(table: Table, values: Mapping[str, object], fields: Collection[str], *, new: bool = False) -> dict[str, Any]:
    """The values as their columns take them.

    `fields` are the columns that this caller may give; with `new` those that have no default must be there.
    Raises: BadUserInput with the field's path.
    """
    for name in values:
        if name not in fields:
            raise BadUserInput(f"there is no field {name!r} here; known are {', '.join(sorted(fields))}", path=(name,))
    if new:
        for name in fields:
            column = table.c[name]
            if values.get(name) is None and not column.nullable and column.default is None:
                raise BadUserInput(f"{name} is missing", path=(name,))
    kept = values.items()
    if new:  # None means "the default" for a new row.
        kept = [(name, value) for name, value in kept if value is not None]  # type: ignore[assignment]
    return {name: checked_value(table.c[name], value) for name, value in kept}


def checked_value(column: Column[Any], value: object) -> Any:
    """One value as its column takes it. Raises: BadUserInput."""
    name, kind = column.name, column.type
    if value is None:
        if not column.nullable:
            raise BadUserInput(f"{name} must not be null", path=(name,))
        return None
    if isinstance(kind, Money):
        return money(name, value)
    if isinstance(kind, EnumText):
        return parse(kind.enum, text(name, value, 40), path=(name,))
    if isinstance(kind, UtcTime):
        return instant(name, value)
    if isinstance(kind, Scopes | JsonText):
        return value
    if isinstance(kind, Boolean):
        if not isinstance(value, bool):
            raise BadUserInput(f"{name} was {value!r}, must be true or false", path=(name,))
        return value
    if isinstance(kind, Integer):
        most = SMALL_MAX if isinstance(kind, SmallInteger) else ID_MAX if column.foreign_keys else INTEGER_MAX
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise BadUserInput(f"{name} was {value!r}, must be a number from 0 to {most}", path=(name,))
        return value
    assert isinstance(kind, String), f"no check for {kind!r}"
    return text(name, value, kind.length or TEXT_MAX)


def money(name: str, value: object) -> Decimal:
    """An exact decimal; floats are not exact and refused. Raises: BadUserInput."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise BadUserInput(f"{name} was {value!r}, must be an exact number", path=(name,))
    try:
        return canonical(Decimal(value))
    except BadUserInput as error:
        raise BadUserInput(f"{name}: {error.message}", path=(name,)) from error


def text(name: str, value: object, most: int) -> str:
    """Text that both stores can keep. Raises: BadUserInput."""
    if not isinstance(value, str):
        raise BadUserInput(f"{name} was {value!r}, must be text", path=(name,))
    if len(value) > most:
        raise BadUserInput(f"{name} had {len(value)} characters, at most {most} are kept", path=(name,))
    if "\x00" in value or (not value.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in value)):
        raise BadUserInput(f"{name} holds a character that cannot be kept", path=(name,))
    return value


def instant(name: str, value: object) -> datetime:
    """An instant with a time zone. Raises: BadUserInput."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise BadUserInput(f"{name} was {value!r}, must be a time with a time zone", path=(name,))
    return value


def scopes(value: Collection[Scope | str]) -> frozenset[Scope]:
    """Scopes by their words. Raises: BadUserInput."""
    found = frozenset(parse(Scope, word, path=("scopes",)) for word in value)
    if not found:
        raise BadUserInput("scopes were empty, name at least one of read, write, admin", path=("scopes",))
    return found
