"""What a page says of itself: its edges and its place in the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fullon_master_api.apis.orm import Page
from fullon_master_api.executor.fields import reads
from fullon_master_api.model import Record


class EdgeRow(Record, frozen=True, kw_only=True):
    cursor: str
    node: Any


class PageInfoRow(Record, frozen=True, kw_only=True):
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


def edges_of(pages: Sequence[Page[Any]], _ctx: object) -> list[list[EdgeRow]]:
    return [[EdgeRow(cursor=cursor, node=row) for cursor, row in zip(page.cursors, page.rows, strict=True)] for page in pages]


@reads()
def infos_of(pages: Sequence[Page[Any]], _ctx: object) -> list[PageInfoRow]:
    return [
        PageInfoRow(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.writer.of(page.rows[0]) if page.rows else None,
            end_cursor=page.writer.of(page.rows[-1]) if page.rows else None,
        )
        for page in pages
    ]
