"""Records as bytes between processes: the kind's name with MessagePack of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from fullon_master_api.model import Record


class Packed(NamedTuple):
    """A message as it travels. `stamps` are fields that the broker gave it: who reads them needs not unpack the rest."""

    kind: str
    payload: bytes
    stamps: dict[str, int]
    entry_id: bytes


_encoder = msgspec.msgpack.Encoder()


def pack(record: Record) -> tuple[str, bytes]:
    """Kind and payload of a record; Decimal and datetime keep every digit."""
    return type(record).__name__, _encoder.encode(record)


def unpack(packed: Packed) -> Record:
    """The record again. Raises: LookupError for a kind that this release does not know, msgspec.DecodeError."""
    record: Record = _decoder(packed.kind).decode(packed.payload)
    return msgspec.structs.replace(record, **packed.stamps) if packed.stamps else record


@cache
def _decoder(kind: str) -> msgspec.msgpack.Decoder[Any]:
    found = {record for record in _all_kinds(Record) if record.__name__ == kind}
    if len(found) != 1:
        raise LookupError(f"{len(found)} kinds of record are named {kind!r}")
    return msgspec.msgpack.Decoder(found.pop())


def _all_kinds(above: type[Record]) -> Iterator[type[Record]]:
    """Every kind that can travel. One named as the kind above it is that kind with some of its fields, made for reading rows."""
    for kind in above.__subclasses__():
        if kind.__name__ != above.__name__:
            yield kind
            yield from _all_kinds(kind)
