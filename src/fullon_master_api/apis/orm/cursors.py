"""Cursors: a place in a list in one order, as an opaque text that this server reads again."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement

from fullon_master_api.apis.orm.asked import possible_keys
from fullon_master_api.apis.orm.columns import UtcTime
from fullon_master_api.errors import BadCursor
from fullon_master_api.model import Record

VERSION: Final = 1
URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

Mark = tuple[Any, Any]
"""Where a row stands in its list: the value that sorts it, and its key."""


class Cursors(msgspec.Struct, frozen=True):
    """Writes the cursors of a list in one order; `at` is the field that sorts its records, `key` that of their key."""

    listing: str
    order: str
    at: str
    key: str

    def of(self, record: Record) -> str:
        at = getattr(record, self.at)
        value = at.isoformat() if isinstance(at, datetime) else at
        raw = msgspec.json.encode((VERSION, self.listing, self.order, value, getattr(record, self.key)))
        return binascii.b2a_base64(raw, newline=False).translate(URL_SAFE, b"=").decode()


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    version: int
    listing: str
    order: str
    at: str | int
    key: str | int


def read_cursor(cursor: str, listing: str, order: str, place: tuple[ColumnElement[Any], ColumnElement[Any]]) -> Mark:
    """The mark of a cursor of this list and order, whose rows are sorted by `place`. Raises: BadCursor."""
    at_type, key_type = place[0].type, place[1].type
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made = msgspec.json.decode(raw, type=_Cursor)
        at: Any = datetime.fromisoformat(str(made.at)) if isinstance(at_type, UtcTime) else made.at
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise BadCursor("the cursor is not one of this server's", path=("after",)) from error
    fits = type(at) in (datetime, at_type.python_type) and type(made.key) is key_type.python_type
    if (made.version, made.listing, made.order) != (VERSION, listing, order) or not fits:
        raise BadCursor("the cursor belongs to another list or another order", path=("after",))
    if (isinstance(at, datetime) and at.tzinfo is None) or not all(possible_keys([value]) for value in (at, made.key)):
        raise BadCursor("the cursor is not one of this server's", path=("after",))
    return at, made.key
