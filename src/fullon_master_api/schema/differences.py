"""What a client notices of the difference between two printed schemas."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from graphql import build_schema
from graphql.utilities import find_breaking_changes, find_dangerous_changes


class Impact(StrEnum):
    """How far a change reaches into clients that were written against the older schema."""

    BREAKING = "breaking"
    """An operation that was valid is refused, or its answer has another type."""
    DANGEROUS = "dangerous"
    """Every operation stays valid; a client that handles closed sets may meet one that it does not know."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change: `kind` is graphql-core's name of it (`FIELD_REMOVED`), `text` says where."""

    impact: Impact
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.impact}: {self.text} [{self.kind}]"


def schema_changes(older: str, newer: str) -> list[SchemaChange]:
    """Breaking and dangerous changes from one SDL to another, breaking ones first; what was only added is neither."""
    before, after = build_schema(older, assume_valid_sdl=True), build_schema(newer, assume_valid_sdl=True)
    found = [
        SchemaChange(Impact.BREAKING, change.type.name, change.description) for change in find_breaking_changes(before, after)
    ]
    dangerous = find_dangerous_changes(before, after)
    return found + [SchemaChange(Impact.DANGEROUS, change.type.name, change.description) for change in dangerous]
